#!/usr/bin/env bash
# Compile the registry and compare with the committed class: `make contracts`.
# With --update, take what was compiled in its place.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/toolchain.sh"

update=
case ${1:-} in
  '') ;;
  --update) update=yes ;;
  *) fail "arguments: expected --update or none, got $1" ;;
esac

require_program starknet-compile
require_program starknet-sierra-compile
require_corelib

artifacts=$here/../jaxstark/starknet/artifacts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Both refuse libfuncs that are not on the list of audited ones of this version.
"$TOOLCHAIN/bin/starknet-compile" "$here/registry" "$work/registry.sierra.json" \
  --contract-path jaxstark_registry::registry::Registry
"$TOOLCHAIN/bin/starknet-sierra-compile" "$work/registry.sierra.json" "$work/registry.casm.json"

changed=
for name in registry.sierra.json registry.casm.json; do
  cmp -s "$work/$name" "$artifacts/$name" || changed="$changed $name"
done
if [ -z "$changed" ]; then
  echo "registry: Cairo $CAIRO_VERSION gives the committed class"
elif [ -n "$update" ]; then
  mkdir -p "$artifacts"
  cp "$work"/registry.*.json "$artifacts/"
  echo "registry: replaced$changed; set the hashes in jaxstark/starknet/registry.py that" \
    "experiments/registry.py --action=class_hash prints"
else
  fail "registry: expected the committed class, got another:$changed; run make contracts UPDATE=1" \
    "if the contract was meant to change"
fi
