# The pinned Cairo toolchain; sourced by build.sh and test.sh.
#
# Cairo 2.16.0: the programs come from the crates of that name; the core library, which no crate of
# the compiler has, from a crate that ships it for its own tests. The cache is ~/.cache/jaxstark, or
# the folder that JAXSTARK_CAIRO names.
CAIRO_VERSION=2.16.0
CORELIB_CRATE=cairo-native
CORELIB_CRATE_VERSION=0.9.0-rc.2
CORELIB_SHA256=03c0723aa68fe3b5c9058b2a681e942fb0a5b0cdb15e946435e283a61bc930f6

TOOLCHAIN=${JAXSTARK_CAIRO:-${XDG_CACHE_HOME:-$HOME/.cache}/jaxstark/cairo-$CAIRO_VERSION}
unset CARGO_MANIFEST_DIR # the compiler looks for a core library there first

fail() {
  echo "contracts: $*" >&2
  exit 1
}

# Digest of all files of a core library, names included.
corelib_digest() {
  (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) | sha256sum |
    cut -d ' ' -f 1
}

require_cargo() {
  command -v cargo >/dev/null || fail "expected cargo on PATH to build the Cairo" \
    "compiler, got none; the compiled contract is in jaxstark/starknet/artifacts, so only changes" \
    "of the contract need this"
}

# require_program CRATE: build a program of the toolchain unless it is in the cache.
require_program() {
  [ -x "$TOOLCHAIN/bin/$1" ] && return
  require_cargo
  echo "contracts: building $1 $CAIRO_VERSION (some minutes, once)" >&2
  CARGO_TARGET_DIR=$TOOLCHAIN/target CARGO_PROFILE_RELEASE_OPT_LEVEL=1 \
    CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_DEBUG=0 \
    nice cargo install --quiet --locked --root "$TOOLCHAIN" "$1@$CAIRO_VERSION" ||
    fail "could not build $1 $CAIRO_VERSION; the messages above say why"
}

# The compiler finds the core library beside the folder of its programs.
require_corelib() {
  [ -d "$TOOLCHAIN/corelib" ] && return
  require_cargo
  local crate=$CORELIB_CRATE-$CORELIB_CRATE_VERSION found=
  # Of the ways to have a crate without its dependencies, this is the one that cargo has.
  (cd / && cargo info --quiet "$CORELIB_CRATE@$CORELIB_CRATE_VERSION" >/dev/null) ||
    fail "could not download the crate $crate, which has the core library"
  for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$crate"/corelib; do
    [ -d "$folder" ] && found=$folder
  done
  [ -n "$found" ] || fail "expected the core library in the unpacked crate $crate, got none"
  local got
  got=$(corelib_digest "$found")
  [ "$got" = "$CORELIB_SHA256" ] ||
    fail "core library of $crate: expected SHA-256 $CORELIB_SHA256, got $got"
  mkdir -p "$TOOLCHAIN"
  local new=$TOOLCHAIN/corelib.$$
  cp -r "$found" "$new"
  mv "$new" "$TOOLCHAIN/corelib"
}
