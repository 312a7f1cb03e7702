"""What an agent loads and installs; `protoledger bench edge` tells what that weighs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"galois", "numba", "web3", "scipy", "pandas", "matplotlib", "rich.table", "river"}

IMPORT = """
import json, sys
import protoledger.edge.cli
print(json.dumps(sorted(sys.modules)))
"""


def run(script, cache):
    """Run a script as it would run where the agent is installed: with compiled modules."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=ROOT,
        env={
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": str(cache),
            "PATH": "/usr/bin:/bin",
        },
    )
    return done.stdout


def test_an_agent_loads_nothing_heavy(tmp_path):
    loaded = set(json.loads(run(IMPORT, tmp_path)))
    assert "protoledger.edge.agent" in loaded
    assert not loaded & HEAVY
    above = {f"protoledger.{name}" for name in ("gateway", "contracts", "emulator")}
    assert not loaded & above


@pytest.mark.long  # asks the package index
@pytest.mark.parametrize("version", ["3.11", "3.13"])
def test_an_agent_installs_on_a_pi_without_a_compiler(version):
    """Wheels alone, for Raspberry Pi OS Bookworm and Trixie; there lgpio comes from apt.

    Trixie's libc is 2.41, the newest that uv knows is 2.40.
    """
    glibc = {"3.11": "2_36", "3.13": "2_40"}[version]
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "edge"]
    command += ["--python-version", version, "--python-platform", f"aarch64-manylinux_{glibc}"]
    command += ["--only-binary", ":all:", "--no-header", "--no-annotate", "--quiet"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT
    )
    if done.returncode and any(word in done.stderr for word in ("dns", "connect", "offline")):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    found = dict(line.split("==") for line in done.stdout.splitlines())
    assert {"gpiozero", "gpiod", "cryptography", "numpy", "adafruit-blinka"} <= set(found)
    assert not HEAVY & set(found)
    # 0.0.0.2 is an empty package that pip takes for Python 3.13
    assert found.get("lgpio", "0.2.2").startswith("0.2.2")
    assert ("lgpio" in found) == (version == "3.11")
