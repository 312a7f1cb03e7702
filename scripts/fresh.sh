#!/usr/bin/env bash
# The README's two commands on clean Debian 12 and 13, as root and as an unprivileged user. Needs
# root on Debian or Ubuntu; arguments choose: debian12 debian13 root user; page: `make test-page`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ $(id -u) != 0 ]]; then
  echo "fresh.sh: clean root trees are made and entered by root; run it with sudo" >&2
  exit 1
fi
bash scripts/need.sh "mmdebstrap systemd-container git" mmdebstrap systemd-nspawn git || exit 69
exec .venv/bin/python -m tests.fresh.run "$@"
