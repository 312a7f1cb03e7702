#!/usr/bin/env bash
# The tests: the contracts' under forge, then everything else under pytest.
# With arguments (pytest's own: a file, -k NAME …) only pytest runs. `--long` adds the long ones,
# `--quick` takes those that tell most in half a minute, `--pi` runs those on an emulated Pi, which
# nothing else does, and `--coverage` is for coverage.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

marks=(-m "not long and not pi and not fleet and not page")
run=(.venv/bin/python)
if [[ ${1-} == --long ]]; then
  marks=(-m "not pi and not fleet and not page")
  shift
  export FOUNDRY_PROFILE=long
elif [[ ${1-} == --quick ]]; then
  shift
  # Each layer's core, and nothing that starts a broker or a chain or compiles. Mathematics and
  # decoders are held by recorded vectors and few random examples, the rounds by whole sites in
  # memory, and that a part can be loaded at all by its command's --help.
  quick=(tests/protocol/{test_field,test_schema,test_vectors,rounds/test_rounds}.py
    tests/sensors/{test_sensors,test_filters,drivers/test_switches}.py
    tests/runtime/test_{command,exits,key_files}.py
    tests/edge/{readings/test_readings,test_clock}.py
    tests/gateway/test_{codebook,significance}.py)
  set -- --numprocesses auto --maxprocesses 4 --dist load --hypothesis-profile quick \
    "${quick[@]}" "$@"
elif [[ ${1-} == --coverage ]]; then
  shift
  run=(.venv/bin/coverage run)
elif [[ ${1-} == --pi ]]; then
  export PATH=$PATH:/usr/sbin:/sbin
  shift
  set -- -vv -rP --durations=0 --durations-min=0.1 tests/pi "$@"
  marks=(-m pi)
fi
if [[ $# == 0 ]]; then
  .venv/bin/python -m protoledger.contracts.tools.toolchain forge test
  # a file at a time on each core: tests of a file share a broker or a chain
  set -- --numprocesses auto --maxprocesses 4 --dist loadfile --durations 10
fi
exec "${run[@]}" -m pytest "${marks[@]}" "$@"
