#!/usr/bin/env bash
# The tests: the contracts' under forge, then everything else under pytest.
# With arguments (pytest's own: a file, -k NAME …) only pytest runs. `--long` adds the long ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

marks=(-m "not long")
if [[ ${1-} == --long ]]; then
  marks=()
  shift
  export FOUNDRY_PROFILE=long
fi
if [[ $# == 0 ]]; then
  .venv/bin/python -m contracts.toolchain forge test
  # a file at a time on each core: tests of a file share a broker or a chain
  set -- --numprocesses auto --maxprocesses 4 --dist loadfile
fi
exec .venv/bin/python -m pytest ${marks[@]+"${marks[@]}"} "$@"
