#!/usr/bin/env bash
# What share of the code the tests run, in their own processes and in those that they start:
# `coverage.sh [pytest's arguments]` ends with the files that are run least. pyproject.toml says what is
# measured. A process that ends by SIGKILL takes its figures along.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

coverage=.venv/bin/coverage
$coverage erase
status=0
bash scripts/test.sh --coverage "$@" || status=$?
$coverage combine --quiet
$coverage report --sort=-cover | tail -n 24
exit $status
