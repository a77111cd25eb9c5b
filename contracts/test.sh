#!/usr/bin/env bash
# The registry's tests in Cairo: `make contracts-test`. An argument selects tests by name.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/toolchain.sh"

require_program cairo-test
require_corelib
"$TOOLCHAIN/bin/cairo-test" --starknet "$here/registry" --filter "${1:-}"
