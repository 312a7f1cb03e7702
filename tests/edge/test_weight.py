"""What an agent's process weighs: a Pi Zero has 512 MB, and starts slowly enough without more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PEAK_MB = 68  # with the pages of libraries, which processes share
OWN_MB = 38
HEAVY = {"galois", "numba", "web3", "scipy", "pandas", "matplotlib", "rich.table", "river"}

IMPORT = """
import json, sys
import protoledger.edge.cli
print(json.dumps(sorted(sys.modules)))
"""

# Five agents and their gateway, at L = 1,000, in one process: one alone may only weigh less.
ROUND = """
import json, pathlib, tempfile
import ssl
import protoledger.edge.cli
from tests.support import in_memory_site as attic
from protoledger.protocol.rounds.gateway import Completed
from protoledger.protocol.wire.messages import Kind


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a site's own authority, not the system's hundred
with tempfile.TemporaryDirectory() as folder:
    site = attic.make_site(pathlib.Path(folder), count=5, windows=170)
assert site.gateway._terms.length >= 1000
for number in range(1, 4):
    mail = [(name, attic.GATEWAY, send) for send in site.gateway.start(number, 0.0)
            for name in site.agents]
    outcome = None
    while mail:
        target, sender, send = mail.pop(0)
        if target == attic.GATEWAY:
            if send.kind is Kind.SUM and outcome:
                continue
            step = site.gateway.handle(send.kind, sender, send.payload, 0.0)
            out, outcome = step.send, step.outcome or outcome
        else:
            out = site.agents[target].handle(send.kind, sender, send.payload, 0.0)
        for one in out:
            to = [one.receiver] if one.receiver else [attic.GATEWAY]
            if target == attic.GATEWAY:
                to = list(site.agents)
            mail += [(name, target, one) for name in to]
    assert isinstance(outcome, Completed)
# not getrusage: that counts what was before the exec, too
found = {}
for line in pathlib.Path("/proc/self/status").read_text().splitlines():
    if line.startswith(("VmHWM", "RssAnon")):
        found[line.split(":")[0]] = int(line.split()[1]) / 1024
print(json.dumps(found))
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


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks Linux how much it took")
def test_an_agent_stays_small(tmp_path):
    run(ROUND, tmp_path)  # compiles
    found = json.loads(run(ROUND, tmp_path))
    assert found["VmHWM"] < PEAK_MB
    assert found["RssAnon"] < OWN_MB


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
