"""Set-up: what pip was set up with reaches uv, and no stamp without tools that run."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# npm that installs nothing, as npm 9 does with optional packages that ask for a newer Node
NPM = """#!/bin/sh
for word; do
  case $word in
    ci) mkdir -p node_modules; exit 0 ;;
    */anvil-*) cp anvil.tgz node_modules/.foundry/; exit 0 ;;
    */forge-*) cp forge.tgz node_modules/.foundry/; exit 0 ;;
  esac
done
exit 1
"""
RUNS = "#!/bin/sh\necho 1.0\n"
FAILS = "#!/bin/sh\necho the loader is missing >&2\nexit 127\n"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Checkout:
    """The scripts of this one, with programs of the test's own before all others on the PATH."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(ROOT / "scripts", folder / "scripts")
        (folder / ".venv").mkdir()
        self.lock = {}
        program(folder / "bin/npm", NPM)
        program(folder / "bin/uname", "#!/bin/sh\necho Linux x86_64\n")
        program(folder / "contracts/solc", RUNS)

    def publish(self, tool, text):
        """Offer a package with such a program, and lock it."""
        program(self.folder / f"package/bin/{tool}", text)
        archive = self.folder / f"{tool}.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(self.folder / "package", "package")
        shutil.rmtree(self.folder / "package")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        self.lock[f"node_modules/@foundry-rs/{tool}-linux-amd64"] = {
            "version": "1.0.0",
            "integrity": f"sha512-{digest}",
        }
        (self.folder / "package-lock.json").write_text(json.dumps({"packages": self.lock}))

    def setup(self, part):
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        script = self.folder / "scripts/setup.sh"
        command = ["bash", str(script), part]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def ready(self, part):
        return (self.folder / part).exists()


@pytest.fixture
def checkout(tmp_path):
    made = Checkout(tmp_path)
    made.publish("anvil", RUNS)
    made.publish("forge", RUNS)
    return made


def test_tools_that_npm_leaves_out_are_unpacked(checkout):
    done = checkout.setup("node")
    assert done.returncode == 0, done.stderr
    assert checkout.ready("node_modules/.ready")
    assert checkout.ready("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
    assert not checkout.ready("node_modules/.foundry")


def test_a_package_that_is_not_the_locked_one_is_refused(checkout):
    checkout.publish("forge", RUNS + "echo other\n")
    wanted = checkout.lock["node_modules/@foundry-rs/forge-linux-amd64"]["integrity"]
    checkout.publish("forge", RUNS)
    text = (checkout.folder / "package-lock.json").read_text()
    found = checkout.lock["node_modules/@foundry-rs/forge-linux-amd64"]["integrity"]
    (checkout.folder / "package-lock.json").write_text(text.replace(found, wanted))
    done = checkout.setup("node")
    assert done.returncode == 1
    assert f"{found} instead of {wanted}" in done.stderr
    assert not checkout.ready("node_modules/.ready")
    assert not checkout.ready("node_modules/@foundry-rs/forge-linux-amd64/bin/forge")


@pytest.mark.parametrize("broken", ["anvil", "forge", "solc"])
def test_a_tool_that_does_not_run_is_no_set_up(checkout, broken):
    (checkout.folder / "node_modules").mkdir()
    (checkout.folder / "node_modules/.ready").touch()
    if broken == "solc":
        program(checkout.folder / "contracts/solc", FAILS)
    else:
        checkout.publish(broken, FAILS)
    done = checkout.setup("node")
    assert done.returncode == 1
    assert "does not run (exit code 127)" in done.stderr
    assert f"/{broken}" in done.stderr
    assert "the loader is missing" in done.stderr
    assert not checkout.ready("node_modules/.ready"), "an earlier stamp does not stand either"


def test_a_platform_without_anvil_is_told_what_works(checkout):
    program(checkout.folder / "bin/uname", "#!/bin/sh\necho Linux riscv64\n")
    done = checkout.setup("node")
    assert done.returncode == 1
    assert "anvil-linux-riscv64" in done.stderr
    assert "--chain URL" in done.stderr
    assert not checkout.ready("node_modules/.ready")


def test_a_registry_that_does_not_answer_is_told(checkout):
    program(checkout.folder / "bin/npm", "#!/bin/sh\nexit 1\n")
    done = checkout.setup("node")
    assert done.returncode == 1
    assert "npm config list" in done.stderr
    assert not checkout.ready("node_modules/.ready")


def test_a_broker_that_does_not_run_is_no_set_up(checkout):
    program(checkout.folder / "bin/mosquitto", FAILS)
    done = checkout.setup("broker")
    assert done.returncode == 1
    assert "the loader is missing" in done.stderr
    assert not checkout.ready(".venv/.broker")
    program(checkout.folder / "bin/mosquitto", "#!/bin/sh\necho mosquitto version 2\nexit 3\n")
    assert checkout.setup("broker").returncode == 0
    assert checkout.ready(".venv/.broker")


def uv_settings(folder, text, **more):
    """What uv gets where a file of pip's has this text, which overrides the machine's own files."""
    (folder / "pip.conf").write_text(text)
    ours = ("PIP_", "UV_", "SSL_", "ALL_PROXY")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"PIP_CONFIG_FILE": str(folder / "pip.conf"), **more}
    command = [sys.executable, "-I", str(ROOT / "scripts/pip_settings.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_uv_gets_what_pip_s_files_say(tmp_path):
    text = """
[global]
index-url = https://mirror.test/simple
extra-index-url =
    https://one.test/simple
    https://two.test/simple
trusted-host = one.test
find-links = /does/not/exist
timeout = 99
[install]
client-cert = /own.pem
"""
    found = uv_settings(tmp_path, text)
    expected = {
        "UV_DEFAULT_INDEX": "https://mirror.test/simple",
        "UV_INDEX": "https://one.test/simple https://two.test/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_INSECURE_HOST": "one.test",
        "UV_HTTP_TIMEOUT": "99",
        "SSL_CLIENT_CERT": "/own.pem",
    }
    assert found | expected == found
    assert "UV_FIND_LINKS" not in found
    assert ("SSL_CERT_FILE" in found) != ("UV_SYSTEM_CERTS" in found)


def test_variables_override_files_and_uv_s_own_stay(tmp_path):
    found = uv_settings(
        tmp_path,
        "[global]\nindex-url = https://file.test\ncert = /file.pem\nproxy = http://proxy.test\n",
        PIP_CERT="/variable.pem",
        UV_INDEX_URL="https://own.test",
        ALL_PROXY="http://own.test",
    )
    assert found["SSL_CERT_FILE"] == "/variable.pem"
    assert not {"UV_DEFAULT_INDEX", "ALL_PROXY", "UV_SYSTEM_CERTS"} & set(found)
