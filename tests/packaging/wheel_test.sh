#!/usr/bin/env bash
# Usage: wheel_test.sh PYTHON WHEEL REPOSITORY. Unpacks the wheel into a temporary folder, in front
# of the packages of an environment that has JAX, and runs the smoke test from there.
set -euo pipefail
python=$1 wheel=$2 repo=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
  --target "$folder/site" "$wheel"
cp "$repo/tests/packaging/wheel_smoke.py" "$folder/"
cd "$folder"
JAX_PLATFORMS=cpu PYTHONPATH="$folder/site" "$python" -W error wheel_smoke.py "$folder/site"
