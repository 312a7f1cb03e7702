#!/usr/bin/env bash
# Resolves the Python dependencies for every platform and Python version, with hashes and without
# naming the registry. `lock.sh --upgrade` takes the newest versions, else what is locked stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
  --output-file requirements.lock "$@"

# Slither needs an older web3 than the gateway, Halmos other solvers than anybody, and Home Assistant
# its own versions of nearly all: each gets a lock, and an environment, of its own.
for tool in slither halmos home-assistant; do
  .venv/bin/uv pip compile scripts/locks/$tool.in --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
    --output-file scripts/locks/$tool.lock "$@"
done

# What the benchmarks compare with, which our own lock must not be bent to.
printf 'flwr==1.41.0\n' | .venv/bin/uv pip compile - --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
  --output-file requirements-bench.lock "$@"
