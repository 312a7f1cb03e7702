#!/usr/bin/env bash
# Proves what contracts/test/*.proof.t.sol state, for all arguments and any storage, with Halmos.
# Byte strings of the lengths below stand for all: no record, one, and two, where a loop turns.
# `prove.sh --function NAME` proves one of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../contracts"

forge=$(../.venv/bin/python -c \
  'from protoledger.contracts.tools.toolchain import binary; print(binary("forge"))')
PATH=$(dirname "$forge"):$PATH
exec ../.venv/halmos/bin/halmos --match-contract 'Proof$' --default-bytes-lengths 0,9,18 --loop 3 "$@"
