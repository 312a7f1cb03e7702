#!/usr/bin/env bash
# Resolves the Python dependencies for every platform and Python version, with hashes and without
# naming the registry. `lock.sh --upgrade` takes the newest versions, else what is locked stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet \
  --output-file requirements.lock "$@"
