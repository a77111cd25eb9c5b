#!/usr/bin/env bash
# Usage: nojax_test.sh PYTHON REPOSITORY. PYTHON belongs to an environment with the wheel's base
# install. Runs the smoke test from a temporary folder.
set -euo pipefail
python=$1 repo=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp "$repo/tests/packaging/nojax_smoke.py" "$folder/"
cd "$folder"
env -u PYTHONPATH "$python" -W error nojax_smoke.py "$repo"
