"""What a fresh machine is told of the network that this one stands in: mirror, index, registry,
certificates and proxies, each read from the tool's own configuration and never written down here.
"""

import os
import re
import shutil
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_APT = re.compile(
    r"Acquire::(\w+::(Proxy|Verify|Ca|Ssl|Timeout)|Check-|Retries|Proxy)", re.IGNORECASE
)
_PIP = ("index-url", "extra-index-url", "trusted-host", "cert", "client-cert", "proxy", "timeout")
_NPM = ("registry", "cafile", "proxy", "https-proxy", "noproxy", "strict-ssl")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


class UnavailableError(RuntimeError):
    """No clean machine can be made here, whatever the project is like."""


@dataclass(frozen=True)
class Network:
    """The settings, as text for the files in which a machine has them."""

    mirror: str
    apt: list[str]
    pip: dict[str, str]
    npm: list[str]
    certificates: list[str]
    environment: dict[str, str] = field(default_factory=dict)

    def hand_to(self, tree: Path, home: Path) -> None:
        """Write them where the administrator of a machine, and its user in `home`, would."""
        lines = [f"{key} = {value}" for key, value in self.pip.items()]
        if lines:
            (tree / "etc/pip.conf").write_text("\n".join(["[global]", *lines, ""]))
        if self.npm:
            (home / ".npmrc").write_text("\n".join([*self.npm, ""]))
        known = set(_certificates(tree / "etc/ssl/certs/ca-certificates.crt"))
        folder = tree / "usr/local/share/ca-certificates"
        folder.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(one for one in self.certificates if one not in known):
            (folder / f"network-{number}.crt").write_text(text + "\n")
        _run("chroot", str(tree), "update-ca-certificates")
        for name in (self.pip.get("cert"), self.pip.get("client-cert"), *_cafiles(self.npm)):
            if name and not (tree / name.lstrip("/")).exists():
                (tree / name.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(name, tree / name.lstrip("/"))


def network() -> Network:
    """Ask the tools of this machine."""
    pip = _pip()
    npm = _npm()
    bundles = [ssl.get_default_verify_paths().cafile, "/etc/ssl/certs/ca-certificates.crt"]
    bundles += [pip.get("cert"), *_cafiles(npm), os.environ.get("NODE_EXTRA_CA_CERTS")]
    found = {text for name in bundles if name for text in _certificates(Path(name))}
    names = [word for name in _PROXIES for word in (name, name.upper())]
    return Network(
        mirror=_mirror(),
        apt=[line for line in _run("apt-config", "dump").splitlines() if _APT.match(line)],
        pip=pip,
        npm=npm,
        certificates=sorted(found),
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


def _mirror() -> str:
    if named := os.environ.get("DEBIAN_MIRROR"):
        return named
    if shutil.which("apt-get") is None:
        raise UnavailableError("this is not Debian or one of its relatives: there is no apt-get")
    shown = _run("apt-get", "indextargets", "--format", "$(LABEL)|$(SITE)", "Created-By: Packages")
    sites = dict(line.split("|", 1) for line in shown.splitlines())
    if "Debian" not in sites:
        raise UnavailableError("apt has no mirror of Debian here; name one: DEBIAN_MIRROR=URL")
    return sites["Debian"]


def _pip() -> dict[str, str]:
    sys.path.insert(0, str(ROOT / "scripts"))
    from pip_settings import read  # the path was just set

    settings = read(_run(sys.executable, "-I", "-m", "pip", "config", "list"))
    return {key: " ".join(settings[key].split()) for key in _PIP if settings.get(key)}


def _npm() -> list[str]:
    """Lines of an .npmrc; the user's own may hold passwords of registries, in lines with //."""
    shown = {key: _run("npm", "config", "get", key).strip() for key in _NPM}
    lines = [f"{key}={value}" for key, value in shown.items() if value not in {"", "null"}]
    own = Path.home() / ".npmrc"
    if own.is_file():
        lines += [line for line in own.read_text().splitlines() if line.startswith("//")]
    return lines


def _cafiles(npmrc: list[str]) -> list[str]:
    return [line.removeprefix("cafile=") for line in npmrc if line.startswith("cafile=")]


def _certificates(bundle: Path) -> list[str]:
    return _PEM.findall(bundle.read_text(errors="replace")) if bundle.is_file() else []


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr + done.stdout)[-2000:]}")
    return done.stdout
