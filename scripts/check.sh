#!/usr/bin/env bash
# All that can be found out without running the project; tells every failure, not only the first.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
failed=0

run() {
  printf '$ %s\n' "$*"
  "$@" || failed=1
}

bin=.venv/bin
run $bin/ruff check .
run $bin/ruff format --check .
run $bin/mypy
run $bin/lint-imports
run $bin/python -m protoledger.contracts.tools.toolchain forge fmt --check
run $bin/python -m protoledger.contracts.tools.build --check
run $bin/python -m protoledger.contracts.tools.analysis
# from its own folder, where ansible.cfg and .ansible-lint are; it looks for its tools on the PATH
# shellcheck disable=SC2329 # called by run
lint() { (cd ansible && PATH=$PWD/../$bin:$PATH "../$bin/ansible-lint" --offline -q); }
run lint
# shellcheck disable=SC2329
shell() { git grep -lzE '^#!.*\b(bash|sh)$' | xargs -0 "$bin/shellcheck"; }
run shell
run env NO_MKDOCS_2_WARNING=1 $bin/mkdocs build --quiet
# a test that moved is to move in the list of the quick ones, too
# shellcheck disable=SC2329
quickly() { bash scripts/test.sh --quick --collect-only --numprocesses 0 >/dev/null; }
run quickly
exit $failed
