"""A network file on real connections: what passes is whole, in order, and as late as said.

Lower bounds of time only: how much later anything is says something about the machine.
"""

import json
import socket
import threading
import time

import pytest
from typer.testing import CliRunner

from protoledger.emulator.cli import app
from protoledger.emulator.processes.children import ChildEvent, Children
from protoledger.emulator.processes.relay import NAME, Line, by_way_of, server_of, start_relay
from protoledger.emulator.virtual.links import NetworkFile
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit


@pytest.fixture
def echo():
    """A server that sends back what it gets; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def told(children):
    """What the relay tells when it is stopped."""
    children.stop(NAME)
    while (event := children.wait_any(5)) is not None:
        if isinstance(event, ChildEvent) and event.data["event"] == "network":
            return event.data
    raise AssertionError("the relay told nothing")


def sent_back(port, data):
    """What comes back of some bytes, and after how long the last of it."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        threading.Thread(target=connection.sendall, args=(data,)).start()
        found = b""
        while len(found) < len(data):
            part = connection.recv(65536)
            assert part, "the connection was closed"
            found += part
    return found, time.monotonic() - began


def test_bytes_arrive_whole_in_order_and_late(tmp_path, echo):
    data = bytes(range(256)) * 2000
    weather = NetworkFile(delay_ms=60, jitter_ms=40, loss=0.05, duplicate=0.5)
    with Children(tmp_path / "logs") as children:
        (port,) = start_relay(children, tmp_path, weather, [Line("a", "127.0.0.1", echo)], 1)
        found, seconds = sent_back(port, data)
        counted = told(children)
    assert found == data
    assert seconds >= 0.32  # there and back, and at least one of 350 segments is sent again
    assert counted["connections"] == 1
    assert counted["carried_bytes"] == 2 * len(data)
    assert counted["segments_sent_again"] > 0


def test_a_cut_stops_one_device_until_it_ends(tmp_path, echo):
    weather = NetworkFile(cuts=({"from_s": 0, "to_s": 4, "devices": ["a"]},))
    lines = [Line(device, "127.0.0.1", echo) for device in ("a", "b")]
    with Children(tmp_path / "logs") as children:
        cut, free = start_relay(children, tmp_path, weather, lines, 1)
        with socket.create_connection(("127.0.0.1", cut), 60) as waits:
            began = time.monotonic()
            waits.sendall(b"later")
            assert sent_back(free, b"now")[0] == b"now"
            assert waits.recv(5) == b"later"
            assert time.monotonic() - began >= 3.9


def test_a_device_that_does_not_exist_is_refused(tmp_path):
    weather = NetworkFile(cuts=({"from_s": 0, "to_s": 4, "devices": ["c"]},))
    with (
        Children(tmp_path / "logs") as children,
        pytest.raises(ConfigurationError, match="there is no device c"),
    ):
        start_relay(children, tmp_path, weather, [Line("a", "127.0.0.1", 1)], 1)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://127.0.0.1:8545", ("127.0.0.1", 8545)),
        ("ws://127.0.0.1:8546/x", ("127.0.0.1", 8546)),
        ("https://127.0.0.1:8545", None),
        ("http://192.0.2.1:8545", None),
        ("http://127.0.0.1", None),
        (["http://127.0.0.1:8545"], None),
    ],
)
def test_only_nodes_of_this_machine_are_reached_by_the_relay(url, server):
    assert server_of(url) == server
    if server:
        assert by_way_of(url, 9).startswith(str(url).partition("127")[0] + "127.0.0.1:9")


def test_rounds_of_real_processes_pass_the_weather(tmp_path):
    network, report = tmp_path / "lossy.yaml", tmp_path / "r.json"
    network.write_text(
        "{delay_ms: 20, jitter_ms: 10, loss: 0.01, cuts: "
        "[{from_s: 1, to_s: 3, devices: [site-1.agent-2]}]}"
    )
    words = ["--sites", "1", "--agents", "4", "--rounds", "5", "--round-seconds", "30"]
    words += ["--broker", "embedded", "--network", str(network), "--json", str(report)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    found = json.loads(report.read_text())
    assert found["rounds_completed"] + found["rounds_failed"] == 5
    assert found["rounds_completed"] > 0
    assert found["aggregate_sum_error_max"] == 0
    assert found["round_ms"]["p50"] >= 4 * 20  # three messages at least, each over two links
    assert found["network"]["connections"] >= 5 + 1  # each device, and the gateway's node
    assert "through the network file" in done.output


@pytest.mark.parametrize(
    ("words", "content", "code", "said"),
    [
        (["--keep", "run"], "{}", Exit.USAGE, "no --keep"),
        (["--broker", "192.0.2.1:8883"], "{}", Exit.USAGE, "broker that is started here"),
        ([], "{loss: 2}", Exit.CONFIGURATION, "loss"),
        ([], "cuts: [{from_s: 1, to_s: 2, devices: [who]}]", Exit.CONFIGURATION, "no device who"),
    ],
)
def test_files_and_options_that_do_not_fit(tmp_path, words, content, code, said):
    (tmp_path / "n").write_text(content)
    done = CliRunner().invoke(app, ["--network", str(tmp_path / "n"), *words])
    assert done.exit_code == code
    assert said in done.output
