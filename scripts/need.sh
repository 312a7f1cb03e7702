#!/usr/bin/env bash
# Sees that programs are there: `need.sh "PACKAGE …" PROGRAM…` installs Debian's packages, as root,
# where one is missing.
set -euo pipefail

read -r -a packages <<<"$1"
for tool in "${@:2}"; do
  if ! PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null; then
    echo "need.sh: $tool is missing; installing ${packages[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    install=(apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends)
    "${install[@]}" "${packages[@]}" >/dev/null 2>&1 ||
      { apt-get -qq update >/dev/null && "${install[@]}" "${packages[@]}" >/dev/null; }
    break
  fi
done
