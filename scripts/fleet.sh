#!/usr/bin/env bash
# The fleet's tests: hosts that are booted containers on a bridge of their own. Needs root on Linux;
# installs what it needs where it may. Arguments are pytest's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages="mmdebstrap systemd-container dpkg-dev iproute2 nftables openssh-client util-linux"
packages+=" fdisk mtools xz-utils"
tools=(mmdebstrap systemd-nspawn dpkg-scanpackages ip nft ssh-keygen nsenter sfdisk mcopy xz)

if [[ $(id -u) != 0 ]]; then
  echo "fleet.sh: containers and network namespaces need root; run it with sudo" >&2
  exit 1
fi
bash scripts/need.sh "$packages" "${tools[@]}"
exec .venv/bin/python -m pytest -m fleet -p no:cacheprovider -s "$@"
