#!/usr/bin/env bash
# Installs one part of what the project needs:
# `setup.sh python|node|safe|broker|mochi|bench|prio|slither|halmos|home-assistant|geth|validators|pi`.
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

ensure_pip() {
  .venv/bin/python -I -m pip --version >/dev/null 2>&1 || .venv/bin/python -I -m ensurepip >/dev/null
}

# uv does in seconds what takes pip more than a minute; its own version and hash are in the lock too.
install_uv() {
  local wanted
  wanted=$(sed -n 's/^uv==\([^ ;\\]*\).*/\1/p' requirements.lock)
  if [[ $(.venv/bin/uv --version 2>/dev/null) == "uv $wanted"* ]]; then return; fi
  ensure_pip
  awk '/^uv==/ { inside = 1 } inside { print } inside && !/\\$/ { exit }' requirements.lock \
    >.venv/uv.lock
  .venv/bin/python -I -m pip install --quiet --disable-pip-version-check --force-reinstall \
    --no-deps --require-hashes --requirement .venv/uv.lock
}

# uv asks the index that pip was set up with, and trusts what pip trusts.
hand_pip_settings_to_uv() {
  local setting
  ensure_pip
  while IFS= read -r setting; do export "${setting?}"; done \
    < <(.venv/bin/python -I scripts/pip_settings.py)
}

# Runs what was installed: set-up is done when its tools run, not when their files are there.
try() {
  local shown code=0
  shown=$("$@" 2>&1 </dev/null) || code=$?
  if [[ $code == 0 ]]; then return; fi
  die "this was installed, but does not run (exit code $code): $*"$'\n'"$(tail -c 2000 <<<"$shown")"
}

setup_python() {
  rm -f .venv/.ready
  make_environment
  install_uv
  hand_pip_settings_to_uv
  say "Python packages of requirements.lock"
  local uv=(.venv/bin/uv --no-config pip)
  # compiled now: where Python may not write bytecode, every process would compile all it loads
  if ! "${uv[@]}" sync --quiet --compile-bytecode --python .venv/bin/python --require-hashes \
    requirements.lock; then
    say "uv could not install them; trying pip, which takes minutes"
    .venv/bin/python -I -m pip install --quiet --require-hashes --requirement requirements.lock ||
      die "the Python packages could not be installed; is the package index reachable? A proxy," \
        "mirror or certificate of your network belongs in pip's configuration (pip config list)"
  fi
  "${uv[@]}" install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation \
    --editable .
  try .venv/bin/protoledger --version
  touch .venv/.ready
}

# Anvil and forge are optional packages, of which npm would install those for this platform; but it
# drops one silently whose `engines` do not name this Node (npm 9 of Debian 12 does), although what
# is in it is a binary that needs no Node. So they are unpacked here. Install scripts are not
# needed, so none runs.
npm=(npm --ignore-scripts --include=prod --no-audit --no-fund --no-progress --loglevel=error)

setup_node() {
  local tool platform
  command -v npm >/dev/null ||
    die "npm is not installed; it brings the chain's tools" \
      "(Debian, Ubuntu: apt install npm; macOS: brew install node)"
  platform=$(uname -s -m | sed 's/Linux/linux/; s/Darwin/darwin/; s/x86_64/amd64/; s/aarch64/arm64/')
  platform=${platform/ /-}
  say "chain tools of package-lock.json"
  rm -f node_modules/.ready
  "${npm[@]}" ci --omit=optional >&2 ||
    die "npm could not install the chain's tools; is its registry reachable? A proxy, mirror or" \
      "certificate of your network belongs in npm's configuration (npm config list)"
  for tool in anvil forge; do
    unpack_foundry "@foundry-rs/$tool-$platform"
    try "node_modules/@foundry-rs/$tool-$platform/bin/$tool" --version
  done
  try contracts/solc --version
  touch node_modules/.ready
}

# A multisignature owner for chains that have none. npm would install ethers beside it (a peer), of
# which nothing here makes use; so only its two compiled contracts are unpacked, by their hash.
safe_version=1.4.1-2
safe_hash=UFiqZOamt1lDbyQ16lpzBE8mDdzfnQ3OBftll1erLlwIrdfmhePicQqfLquvyXA8AlqPWQ3ktz1DzpC9UcN+JQ==

setup_safe() {
  local package=@safe-global/safe-contracts found folder=node_modules/.safe built
  built=package/build/artifacts/contracts
  rm -rf $folder node_modules/$package
  mkdir -p $folder node_modules/$package
  "${npm[@]}" pack --silent --pack-destination $folder $package@$safe_version >/dev/null ||
    die "npm could not load $package@$safe_version"
  found=$(sha512_of $folder/*.tgz)
  [[ $found == "$safe_hash" ]] ||
    die "$package@$safe_version is not what was tested: $found instead of $safe_hash"
  tar -xzf $folder/*.tgz -C $folder package/LICENSE $built/Safe.sol/Safe.json \
    $built/proxies/SafeProxyFactory.sol/SafeProxyFactory.json
  mv $folder/package/LICENSE $folder/$built/Safe.sol/Safe.json \
    $folder/$built/proxies/SafeProxyFactory.sol/SafeProxyFactory.json node_modules/$package
  rm -rf $folder
  touch node_modules/$package/.ready
}

# From the version and by the hash that are in the lock.
unpack_foundry() {
  local package=$1 version wanted found folder=node_modules/.foundry
  # shellcheck disable=SC2016 # it is JavaScript that the quotes hold
  read -r version wanted < <(node -p 'const all = require("./package-lock.json").packages;
    const one = all["node_modules/" + process.argv[1]] || {}; `${one.version} ${one.integrity}`' \
    "$package")
  [[ $version != undefined ]] ||
    die "Foundry publishes no $package; Anvil and forge run on 64-bit Linux and macOS, on Intel" \
      "and ARM (without them: .venv/bin/protoledger emulate --chain URL, an Ethereum node of yours)"
  rm -rf $folder "node_modules/$package"
  mkdir -p $folder "node_modules/$package"
  "${npm[@]}" pack --silent --pack-destination $folder "$package@$version" >/dev/null ||
    die "npm could not load $package@$version"
  found=sha512-$(sha512_of $folder/*.tgz)
  [[ $found == "$wanted" ]] ||
    die "$package@$version is not what package-lock.json names: $found instead of $wanted"
  tar -xzf $folder/*.tgz -C "node_modules/$package" --strip-components=1
  rm -rf $folder
}

sha512_of() {
  node -p 'require("crypto").createHash("sha512").update(
    require("fs").readFileSync(process.argv[1])).digest("base64")' "$1"
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
  local mosquitto
  export PATH=$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin
  if ! command -v mosquitto >/dev/null && ! install_mosquitto; then
    say "Mosquitto is not installed and could not be (Debian, Ubuntu: sudo apt install mosquitto;" \
      "macOS: brew install mosquitto): the emulation uses its embedded broker, and the tests that" \
      "need Mosquitto are skipped"
  else
    mosquitto=$(command -v mosquitto)
    # its help ends with exit code 3 in some versions
    [[ $("$mosquitto" -h 2>&1 </dev/null) == *"mosquitto version"* ]] ||
      die "$mosquitto does not run; repair or remove it: $("$mosquitto" -h 2>&1 </dev/null | tail -n 3)"
  fi
  touch .venv/.broker
}

# Slither checks the contracts in `make check`, Halmos proves them in `make prove`, Home Assistant
# judges what we tell it in `make test-home-assistant`. Each wants other versions of our packages'
# packages.
setup_tool() {
  local tool=$1
  local python=.venv/$tool/bin/python
  hand_pip_settings_to_uv
  say "scripts/locks/$tool.lock in .venv/$tool"
  rm -rf ".venv/$tool"
  .venv/bin/uv --no-config venv --quiet --python .venv/bin/python ".venv/$tool"
  .venv/bin/uv --no-config pip sync --quiet --python "$python" --require-hashes "scripts/locks/$tool.lock"
  touch ".venv/.$tool"
}

# Geth is no package of npm or PyPI: built from source, at one version, where Go is installed.
# Newer ones ask for a module that the public Go proxy does not hold.
geth_version=v1.16.9

find_go() {
  PATH=$PATH:/usr/local/go/bin command -v go ||
    die "$1 is built with Go, which is not installed" \
      "(Debian, Ubuntu: apt install golang-go; macOS: brew install go)"
}

setup_geth() {
  local go
  go=$(find_go Geth)
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

# Networks of several owners, for `protoledger emulate --chain clique|avalanche`: Geth with Clique,
# the last release that has it, and avalanchego with the published keys of its local network.
clique_version=v1.13.15
avalanche_version=v1.14.2

setup_validators() {
  local go minor
  go=$(find_go "A validator")
  minor=$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  mkdir -p .venv/validators
  build_clique "$go" "${minor:-0}"
  build_avalanche "$go"
}

build_clique() {
  local go=$1 built=.venv/validators/geth-clique flags=()
  if [[ $($built version 2>/dev/null) == *"Version: ${clique_version#v}-"* ]]; then return; fi
  # Go refuses since 1.23 what a library of that time does with the runtime's names
  if (($2 >= 23)); then flags=(-ldflags=-checklinkname=0); fi
  say "building Geth $clique_version, some minutes"
  env -u GOOS -u GOARCH GOBIN="$PWD/.venv/validators/bin" GOFLAGS=-trimpath \
    "$go" install "${flags[@]}" "github.com/ethereum/go-ethereum/cmd/geth@$clique_version" ||
    die "Geth $clique_version was not built; it needs a Go module proxy (GOPROXY) and 2 GB of disk"
  mv .venv/validators/bin/geth $built
  try $built version
}

# Its module replaces some of its own parts by folders that the module's archive lacks; they are
# modules too, so another module that requires it gets them.
build_avalanche() {
  local go=$1 built=$PWD/.venv/validators/avalanchego name=github.com/ava-labs/avalanchego source
  if [[ $("$built" --version 2>/dev/null) == "avalanchego/${avalanche_version#v} "* ]]; then return; fi
  say "building avalanchego $avalanche_version, about ten minutes"
  mkdir -p .venv/validators/module
  printf '%s\n' "module validators" "go 1.25.8" "require $name $avalanche_version" \
    "replace google.golang.org/genproto => google.golang.org/genproto v0.0.0-20240903143218-8af14fe29dc1" \
    >.venv/validators/module/go.mod
  (
    cd .venv/validators/module
    export GOWORK=off GOFLAGS="-mod=mod -trimpath"
    unset GOOS GOARCH
    "$go" build -o "$built" $name/main
  ) || die "avalanchego was not built; it needs Go 1.25.8 or newer, a C compiler," \
    "a Go module proxy (GOPROXY) and 4 GB of disk"
  source=$(cd .venv/validators/module && GOWORK=off GOFLAGS=-mod=mod "$go" list -m -f '{{.Dir}}' $name)
  rm -rf .venv/validators/avalanche-local
  mkdir -m 700 .venv/validators/avalanche-local
  install -m 600 "$source"/staking/local/*.key "$source"/staking/local/*.crt .venv/validators/avalanche-local
  try "$built" --version
}

# A broker of another make than Mosquitto, for the tests that hold one to the protocol: a program of
# two files around the library mochi-mqtt, whose version and hash stand in its go.mod and go.sum.
setup_mochi() {
  local go
  go=$(find_go "The broker")
  say "building tests/support/mochi with $("$go" env GOVERSION)"
  (
    cd tests/support/mochi
    env -u GOOS -u GOARCH GOWORK=off GOFLAGS="-trimpath -buildvcs=false" \
      "$go" build -o "$OLDPWD/.venv/bin/mochi" .
  ) || die "it was not built; it needs Go 1.21 or newer and a Go module proxy (GOPROXY)"
  try .venv/bin/mochi -help
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

# Prio3, the other that it compares with: the crates' versions and hashes are in Cargo.lock.
setup_prio() {
  local cargo
  cargo=$(PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin command -v cargo) ||
    die "Prio3 is built with cargo, which is not installed (https://rustup.rs)"
  env -u CARGO_BUILD_TARGET -u RUSTFLAGS CARGO_TARGET_DIR="$PWD/.venv/prio" "$cargo" build --quiet \
    --release --locked --manifest-path experiments/prio/Cargo.toml ||
    die "Prio3 was not built; it needs Rust 1.89 or newer, and the registry of crates"
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
mkfs.ext4 e2fsprogs
depmod kmod
mosquitto mosquitto
PACKAGES
  [[ ${#missing[@]} == 0 ]] || die "could not be installed: ${missing[*]}; on Debian or Ubuntu," \
    "as root: apt install ${missing[*]} (elsewhere \`make test-pi\` does not run)"
  say "the emulated Pi's system and packages; the first time some minutes"
  .venv/bin/python -m tests.pi.system.prepare
}

case ${1-} in
  slither | halmos | home-assistant) setup_tool "$1" ;;
  geth) setup_geth ;;
  mochi) setup_mochi ;;
  validators) setup_validators ;;
  python) setup_python ;;
  node) setup_node ;;
  safe) setup_safe ;;
  broker) setup_broker ;;
  bench) setup_bench ;;
  prio) setup_prio ;;
  pi) setup_pi ;;
  *) die "usage: setup.sh python|node|safe|broker|mochi|bench|prio|slither|halmos|home-assistant|geth|validators|pi" ;;
esac
