"""Where the oracle's reporters read: the web, files and brokers, and all that these get wrong."""

import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from protoledger.contracts.oracle.sources import (
    CsvConfig,
    CsvSource,
    HttpConfig,
    HttpSource,
    MqttConfig,
    SourceError,
    as_number,
    number_in,
    open_source,
)
from protoledger.emulator.processes.broker import find_mosquitto
from tests.support import chain
from tests.support.ports import is_refused


class Web(http.server.BaseHTTPRequestHandler):
    """Answers that a source on the web may give."""

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
            return
        self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()
        if self.path == "/good":
            self.wfile.write(b'{"now": {"t": [1, 21.75]}}')
        elif self.path == "/huge":
            self.wfile.write(b"[" + b"1," * 60_000 + b"1]")
        elif self.path == "/slow":
            for _ in range(600):  # longer than anyone waits, and then it is a good page
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.05)
            self.wfile.write(b'{"now": {"t": [1, 21.75]}}')

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def http_source(url: str, path: str = "now.t[1]") -> HttpSource:
    return HttpSource(HttpConfig(kind="http", url=url, path=path, timeout_s=0.4))


def test_a_number_on_the_web_is_read_as_it_stands(web: str) -> None:
    assert http_source(f"{web}/good").read() == Decimal("21.75")


@pytest.mark.parametrize("page", ["moved", "broken", "huge", "slow", "empty"])
def test_a_bad_page_is_an_error(web: str, page: str) -> None:
    with pytest.raises(SourceError, match=web):
        http_source(f"{web}/{page}").read()


def test_a_server_that_is_away_is_an_error() -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        http_source(f"http://127.0.0.1:{chain.free_port()}/").read()


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"{", ""),
        (b"NaN", ""),
        (b"Infinity", ""),
        (b"true", ""),
        (b"null", ""),
        (b'"x"', ""),
        (b"[1]", ""),
        (b"[1]", "[1]"),
        (b"[1]", "[x]"),
        (b"[1]", "a"),
        (b'{"a": 1}', "b"),
        (b'{"a": 1}', "a.b"),
        (b'{"a": {"b": 1}}', "a"),
        (b"[" * 40_000, ""),
        (b"\xff\xfe", ""),
        (b"1e400000", ""),
    ],
)
def test_what_is_no_number_in_json_is_refused(body: bytes, path: str) -> None:
    with pytest.raises(SourceError):
        number_in(body, path, "here")


def test_numbers_stay_decimal() -> None:
    assert number_in(b"0.1", "", "here") == Decimal("0.1")
    assert number_in(b'{"t": "-3.50"}', "t", "here") == Decimal("-3.5")
    assert as_number(" 7 ", "here") == 7


def test_a_file_without_its_column_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    source = CsvSource(CsvConfig(kind="csv", file=file, column="t"))
    for content in (None, "", "t\n", "u\n1\n", "t\n1\nx\n"):
        if content is not None:
            file.write_text(content)
        with pytest.raises(SourceError):
            source.read()
    file.write_text("u,t\n1,2\n3,4\n")
    assert source.read() == 4


def test_a_broker_that_is_away_gives_no_number() -> None:
    config = MqttConfig(
        kind="mqtt", host="127.0.0.1", port=chain.free_port(), topic="t", plaintext=True
    )
    source = open_source(config)
    with pytest.raises(SourceError, match="no message on t"):
        source.read()
    source.close()
    source.close()


@pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")
def test_a_topic_gives_its_newest_message_while_it_is_young() -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    port = chain.free_port()
    command = [str(find_mosquitto()), "-p", str(port)]
    nowhere = subprocess.DEVNULL
    broker = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
    config = MqttConfig(
        kind="mqtt", host="127.0.0.1", port=port, topic="t", path="v", plaintext=True, most_age_s=1
    )
    source, client = open_source(config), mqtt.Client(CallbackAPIVersion.VERSION2)

    def reads(expected: object) -> bool:
        try:
            return source.read() == expected
        except SourceError as error:
            return str(error).startswith(str(expected))

    def until(expected: object) -> None:
        deadline = time.monotonic() + 60
        while not reads(expected):
            assert time.monotonic() < deadline, expected
            time.sleep(0.05)

    try:
        deadline = time.monotonic() + 60
        while is_refused(port):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        client.connect("127.0.0.1", port)
        client.loop_start()
        until("no message on t")
        for payload, expected in (
            (b'{"v": 4.25}', Decimal("4.25")),
            (b'{"v": NaN}', "t: no number"),
            (b"1" * 70_000, "t gives more"),
            (b'{"v": 5}', 5),
        ):
            client.publish("t", payload, qos=1, retain=True).wait_for_publish(10)
            until(expected)
        until("no message on t")  # it is old now
    finally:
        source.close()
        client.loop_stop()
        broker.terminate()
        broker.wait()
