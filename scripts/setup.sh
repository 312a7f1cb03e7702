#!/usr/bin/env bash
# Installs one part of what the project needs: `setup.sh python|node|broker|bench|slither|geth|pi`.
# Called by make when the part's stamp is missing or older than what it depends on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Settings that would send packages, or Python itself, somewhere else than into .venv.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV CONDA_PREFIX __PYVENV_LAUNCHER__ \
  PIP_REQUIRE_VIRTUALENV PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_CONSTRAINT PIP_REQUIREMENT \
  PIP_PYTHON UV_SYSTEM_PYTHON UV_PYTHON UV_TARGET UV_PREFIX UV_CONSTRAINT UV_OVERRIDE \
  UV_PROJECT_ENVIRONMENT UV_CONFIG_FILE NODE_ENV NODE_OPTIONS

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Runs a command as root: directly, or by a sudo that asks no password; fails where neither works.
as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# Installs a package of Debian, Ubuntu or Homebrew; fails if that is not possible here.
install_package() {
  if [[ $(uname -s) == Darwin ]]; then
    command -v brew >/dev/null && HOMEBREW_NO_AUTO_UPDATE=1 brew install --quiet "$1" >&2
    return
  fi
  command -v apt-get >/dev/null && as_root true 2>/dev/null || return 1
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120)
  local install=("${apt[@]}" install -y --no-install-recommends "$1")
  say "installing the system package $1"
  as_root "${install[@]}" >/dev/null 2>&1 ||
    { as_root "${apt[@]}" update >/dev/null 2>&1 && as_root "${install[@]}" >/dev/null 2>&1; }
}

# 64 bits, 3.11 or newer, able to make virtual environments; prints the base interpreter's path,
# so that an activated .venv is not rebuilt out of itself.
probe='import sys, struct
sys.exit(2) if sys.version_info < (3, 11) or struct.calcsize("P") < 8 else None
print(getattr(sys, "_base_executable", sys.executable))'

find_python() {
  local name found
  for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14 python; do
    if found=$("$name" -I -c "$probe" 2>/dev/null) && [[ -x $found ]]; then
      printf '%s\n' "$found"
      return
    fi
  done
  return 1
}

make_environment() {
  local python version
  if .venv/bin/python -I -c "$probe" >/dev/null 2>&1; then return; fi
  python=$(find_python) || die "no 64-bit Python 3.11 or newer found; install one" \
    "(Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python)," \
    "or name it: make setup PYTHON=/path/to/python3"
  version=$("$python" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  if ! "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
    install_package "python$version-venv" ||
      die "$python cannot make virtual environments; install its package python$version-venv"
  fi
  say "Python $version in .venv"
  "$python" -I -m venv --clear .venv
}

# uv does in seconds what takes pip more than a minute; its own version and hash are in the lock too.
install_uv() {
  local wanted
  wanted=$(sed -n 's/^uv==\([^ ;\\]*\).*/\1/p' requirements.lock)
  if [[ $(.venv/bin/uv --version 2>/dev/null) == "uv $wanted"* ]]; then return; fi
  .venv/bin/python -I -m pip --version >/dev/null 2>&1 || .venv/bin/python -I -m ensurepip >/dev/null
  awk '/^uv==/ { inside = 1 } inside { print } inside && !/\\$/ { exit }' requirements.lock \
    >.venv/uv.lock
  .venv/bin/python -I -m pip install --quiet --disable-pip-version-check --force-reinstall \
    --no-deps --require-hashes --requirement .venv/uv.lock
}

# Where pip is told to use a mirror or a certificate of one's own, uv shall too.
pip_setting() { .venv/bin/python -I -m pip config get "global.$1" 2>/dev/null || true; }

hand_pip_settings_to_uv() {
  export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$(pip_setting index-url)}}
  export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-$(pip_setting cert)}}
  [[ -n $UV_DEFAULT_INDEX ]] || unset UV_DEFAULT_INDEX
  [[ -n $SSL_CERT_FILE ]] || unset SSL_CERT_FILE
}

setup_python() {
  make_environment
  install_uv
  hand_pip_settings_to_uv
  say "Python packages of requirements.lock"
  local uv=(.venv/bin/uv --no-config pip)
  # compiled now: where Python may not write bytecode, every process would compile all it loads
  if ! "${uv[@]}" sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes \
    requirements.lock; then
    say "uv did not manage; trying pip, which takes longer"
    .venv/bin/python -I -m ensurepip >/dev/null
    .venv/bin/python -I -m pip install --quiet --require-hashes --requirement requirements.lock
  fi
  "${uv[@]}" install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation \
    --editable .
  touch .venv/.ready
}

# The platform's binaries are optional packages; install scripts are not needed, so none runs.
npm=(npm --ignore-scripts --include=prod --include=optional --no-audit --no-fund --loglevel=error)

setup_node() {
  command -v npm >/dev/null ||
    die "npm is not installed; it brings the chain's tools" \
      "(Debian, Ubuntu: apt install npm; macOS: brew install node)"
  say "chain tools of package-lock.json"
  "${npm[@]}" ci >&2
  add_foundry_for_this_platform
  touch node_modules/.ready
}

# The lock has Anvil and forge for the platforms it was made for; elsewhere the same version is
# asked for by name, and what does not exist is missed only by who needs it.
add_foundry_for_this_platform() {
  local tool version platform missing=()
  platform=$(uname -s -m | sed 's/Linux/linux/; s/Darwin/darwin/; s/x86_64/amd64/; s/aarch64/arm64/')
  platform=${platform/ /-}
  version=$(sed -n 's/.*"@foundry-rs\/anvil-[^"]*": "\([^"]*\)".*/\1/p' package.json)
  for tool in anvil forge; do
    if [[ ! -x node_modules/@foundry-rs/$tool-$platform/bin/$tool ]]; then
      missing+=("@foundry-rs/$tool-$platform@$version")
    fi
  done
  if [[ ${#missing[@]} == 0 ]]; then return; fi
  "${npm[@]}" install --no-save --no-package-lock "${missing[@]}" >&2 ||
    say "not to be had for $platform: ${missing[*]}; without Anvil, give the emulation --chain URL"
}

# Debian starts a package's service when it installs it; nobody asked for a broker on port 1883.
install_mosquitto() {
  local systemd=false
  if [[ -d /run/systemd/system ]]; then systemd=true; fi
  if $systemd; then as_root systemctl --quiet --runtime mask mosquitto.service 2>/dev/null || true; fi
  local done=0
  install_package mosquitto || done=1
  if $systemd; then
    as_root systemctl --quiet --runtime unmask mosquitto.service 2>/dev/null || true
    as_root systemctl --quiet disable mosquitto.service 2>/dev/null || true
  fi
  return $done
}

setup_broker() {
  if PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin command -v mosquitto >/dev/null ||
    install_mosquitto; then
    :
  else
    say "Mosquitto could not be installed; the emulation will use its embedded broker"
  fi
  touch .venv/.broker
}

# Checks the contracts; only `make check` needs it. Its web3 is older than a gateway's.
setup_slither() {
  local python=.venv/slither/bin/python
  hand_pip_settings_to_uv
  say "Slither of scripts/slither.lock"
  rm -rf .venv/slither
  .venv/bin/uv --no-config venv --quiet --python .venv/bin/python .venv/slither
  .venv/bin/uv --no-config pip sync --quiet --python $python --require-hashes scripts/slither.lock
  touch .venv/.slither
}

# Geth is no package of npm or PyPI: built from source, at one version, where Go is installed.
# Newer ones ask for a module that the public Go proxy does not hold.
geth_version=v1.16.9

setup_geth() {
  local go
  go=$(PATH=$PATH:/usr/local/go/bin command -v go) ||
    die "Geth is built with Go, which is not installed" \
      "(Debian, Ubuntu: apt install golang-go; macOS: brew install go)"
  if [[ $(.venv/bin/geth version 2>/dev/null) == *"Version: ${geth_version#v}-"* ]]; then
    say "Geth $geth_version is in .venv/bin already"
    return
  fi
  local found minor
  found=$("$go" env GOVERSION) # such as go1.24.4
  minor=$(sed -n 's/^go1\.\([0-9]*\).*/\1/p' <<<"$found")
  if ((${minor:-0} < 24)); then
    die "Geth $geth_version needs Go 1.24 or newer, $go is $found"
  fi
  say "building Geth $geth_version with $found, some minutes"
  # Whatever the caller builds for or with must not end up in .venv/bin.
  env -u GOOS -u GOARCH GOBIN="$PWD/.venv/bin" GOFLAGS=-trimpath "$go" install \
    "github.com/ethereum/go-ethereum/cmd/geth@$geth_version" ||
    die "Geth was not built; it needs a Go module proxy (GOPROXY) and about 2 GB of disk"
  .venv/bin/geth version >/dev/null || die "the Geth that was built does not run"
}

# Flower, which `protoledger bench aggregation` compares with: it has a lock and an environment of
# its own, as it wants other versions of what we use too.
setup_bench() {
  if [[ .venv-bench/.ready -nt requirements-bench.lock ]]; then return; fi
  if [[ ! -x .venv/bin/uv ]]; then setup_python; fi
  hand_pip_settings_to_uv
  say "Flower of requirements-bench.lock in .venv-bench"
  .venv/bin/python -I -m venv --clear --without-pip .venv-bench
  .venv/bin/uv --no-config pip sync --quiet --python .venv-bench/bin/python --require-hashes \
    requirements-bench.lock
  touch .venv-bench/.ready
}

# What `make test-pi` emulates a Pi with; QEMU's package is large, and nothing else needs it.
setup_pi() {
  local program package missing=()
  export PATH=$PATH:/usr/sbin:/sbin
  while read -r program package; do
    command -v "$program" >/dev/null || install_package "$package" || missing+=("$package")
  done <<'PACKAGES'
qemu-system-aarch64 qemu-system-arm
mmdebstrap mmdebstrap
fdtoverlay device-tree-compiler
cpio cpio
depmod kmod
mosquitto mosquitto
PACKAGES
  [[ ${#missing[@]} == 0 ]] || die "could not be installed: ${missing[*]}; on Debian or Ubuntu," \
    "as root: apt install ${missing[*]} (elsewhere \`make test-pi\` does not run)"
  say "the emulated Pi's system and packages; the first time some minutes"
  .venv/bin/python -m tests.pi.prepare
}

case ${1-} in
  slither) setup_slither ;;
  geth) setup_geth ;;
  python) setup_python ;;
  node) setup_node ;;
  broker) setup_broker ;;
  bench) setup_bench ;;
  pi) setup_pi ;;
  *) die "usage: setup.sh python|node|broker|bench|slither|geth|pi" ;;
esac
