"""`edge read`: on a terminal, for a program, and without a trace afterwards."""

import json
import math
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest
import yaml
from typer.testing import CliRunner

from protoledger.edge import cli
from protoledger.edge.check.show import sparkline
from tests.support.agent_files import AGENT, SITE, write_site

LIVE = {
    **AGENT,
    "sampling": {"read_every_s": 0.1},
    "sensors": [
        {"channel": "a", "driver": "mock", "options": {"level": 3.5, "unit": "°C"}},
        {"channel": "b", "driver": "mock", "options": {"missing_rate": 1.0}},
    ],
}


@pytest.fixture
def agent(tmp_path):
    write_site(tmp_path, SITE)
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(LIVE))
    return path


def invoke(*words):
    return CliRunner().invoke(cli.app, ["read", *map(str, words)])


def test_once_for_a_program(agent):
    done = invoke("-c", agent, "--once", "--json")
    first, second = json.loads(done.stdout)["sensors"]
    assert (first["value"], first["unit"], first["quality"]) == (3.5, "°C", "good")
    assert (second["value"], second["quality"]) == (None, "missing")
    assert "missed read" in second["reason"]
    assert done.exit_code == 69, "one of them is silent"


def test_once_in_plain_lines(agent):
    content = {**LIVE, "sensors": [*LIVE["sensors"][:1], {"channel": "b", "driver": "mock"}]}
    agent.write_text(yaml.safe_dump(content))
    done = invoke("-c", agent, "--once")
    assert done.stdout.splitlines() == ["a (mock): 3.5 °C, good", "b (mock): 0, good"]
    assert done.exit_code == 0


def test_a_bad_file_is_told_and_nothing_is_read(agent):
    agent.write_text(yaml.safe_dump({**LIVE, "colour": "red"}))
    assert invoke("-c", agent, "--once").exit_code in {0, 69}, "what can be read is read"
    agent.write_text(yaml.safe_dump({**LIVE, "sensors": [{"channel": "a", "driver": "moc"}]}))
    done = invoke("-c", agent, "--once")
    assert done.exit_code == 78
    assert "did you mean 'mock'" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_shows_a_table_until_it_is_told_to_end(agent, number):
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "protoledger", "edge", "read", "-c", str(agent), "--mock"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "90", "TERM": "xterm"},
    )
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 60
    try:
        while b"3.5" not in shown or "▁".encode() not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([controller], [], [], 0.2)[0]:
                shown += os.read(controller, 65536)
        process.send_signal(number)
        assert process.wait(60) == 0
        while select.select([controller], [], [], 0.2)[0]:
            try:
                shown += os.read(controller, 65536)
            except OSError:
                break
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    text = shown.decode(errors="replace")
    assert "Traceback" not in text
    assert "missing" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is back"


def test_bars():
    assert sparkline([]) == ""
    assert sparkline([math.nan]) == " "
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([0.0, math.nan, 7.0]) == "▁ █"
