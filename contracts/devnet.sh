#!/usr/bin/env bash
# Find or build starknet-devnet, a local Starknet node, and print its path: `make devnet`.
#
# In this order: the program that STARKNET_DEVNET names, one of the pinned version in the cache, one
# on PATH. If there is none, it is built from the crate of that name, which takes some 25 minutes on
# two cores and 3 GB of disk; with --find, that is an error instead.
set -euo pipefail
VERSION=0.8.1
ROOT=${XDG_CACHE_HOME:-$HOME/.cache}/jaxstark/starknet-devnet-$VERSION

fail() {
  echo "devnet: $*" >&2
  exit 1
}

if [ -n "${STARKNET_DEVNET:-}" ]; then
  [ -x "$STARKNET_DEVNET" ] || fail "STARKNET_DEVNET: expected a program, got $STARKNET_DEVNET"
  echo "$STARKNET_DEVNET"
elif [ -x "$ROOT/bin/starknet-devnet" ]; then
  echo "$ROOT/bin/starknet-devnet"
elif command -v starknet-devnet; then
  :
else
  [ "${1:-}" != --find ] || fail "expected starknet-devnet in STARKNET_DEVNET, in the cache or on" \
    "PATH, got none; run make devnet to build it (some 25 minutes)"
  command -v cargo >/dev/null || fail "expected cargo on PATH to build starknet-devnet $VERSION," \
    "got none"
  echo "devnet: building starknet-devnet $VERSION (some 25 minutes, once)" >&2
  CARGO_TARGET_DIR=$ROOT/target CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    nice cargo install --locked --root "$ROOT" "starknet-devnet@$VERSION" >&2 ||
    fail "could not build starknet-devnet $VERSION; the messages above say why"
  rm -rf "$ROOT/target"
  echo "$ROOT/bin/starknet-devnet"
fi
