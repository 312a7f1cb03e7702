"""docs/by-hand.md: its ten commands make a site that runs, exactly as they stand there.

Real processes, a real Mosquitto and a real Anvil, at the ports that the page names, so in a network
namespace of their own: nothing else on this machine is met.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from protoledger.emulator.processes.broker import find_mosquitto
from tests.support.isolation import isolated

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/by-hand.md"
LIMIT_S = 400


def block():
    """The console block under the page's heading."""
    text = PAGE.read_text(encoding="utf-8").partition("## Ten commands")[2]
    return re.search(r"```console\n(.*?)```", text, re.DOTALL)[1].splitlines()


def commands():
    return [line.removeprefix("$ ") for line in block() if line.startswith("$ ")]


def masked(line):
    """A line without what differs from run to run: keys, addresses, numbers of processes."""
    line = line.partition(" rounds completed")[0]  # how many, depends on the machine
    line = re.sub(r"\b([a-z2-7]{4}-){3}[a-z2-7]{4}\b", "FINGERPRINT", line)
    line = re.sub(r"0x[0-9a-f]{40,64}|\b[0-9a-f]{8}\b", "HEX", line)
    return re.sub(r"\d[\d,]*", "N", line).rstrip()


def test_they_are_ten():
    assert len(commands()) == 10


@pytest.mark.timeout(LIMIT_S + 60)
def test_the_ten_commands_run_as_they_stand(tmp_path):
    isolation = isolated()
    if isolation is None or find_mosquitto() is None:
        pytest.skip("needs Mosquitto and a network namespace")
    script = tmp_path / "script"
    end = "trap 'kill $(jobs -p); wait' EXIT"
    script.write_text("\n".join(["set -e", end, *commands(), ""]))
    run = subprocess.run(
        [*isolation, "bash", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "rounds completed" in run.stdout
    shown = [masked(line) for line in block() if not line.startswith("$ ")]
    assert [masked(line) for line in run.stdout.splitlines()] == shown
    logs = run.stderr.lower()
    assert "traceback" not in logs
    assert "no reading" not in logs  # every agent has simulated pins of its own
    assert (tmp_path / "house/chain/state.json").exists()  # the chain can be started again
