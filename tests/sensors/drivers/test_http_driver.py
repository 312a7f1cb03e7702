"""The driver `http` on a real server: limits, refusals, tokens, and one request for all sensors."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from protoledger.sensors import errors, open_sensor
from tests.support.ports import free_port

SHELLY = b'{"id":100,"tC":21.4,"tF":70.5}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append(dict(self.headers))
        status, body = self.server.answers.get(self.path, (404, b""))
        self.send_response(status)
        if status in {301, 302}:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Dripping(Handler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        while not self.server.enough.wait(0.02):
            self.wfile.write(b" ")


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.seen, server.answers, server.enough = [], {}, threading.Event()
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    return server


def stop(server):
    server.enough.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def server():
    started = serve(Handler)
    yield started
    stop(started)


def read(server, where, **options):
    with open_sensor("http", {"url": server.url + where, **options}) as sensor:
        return sensor.read().value


def test_a_document_is_read_and_sensors_share_the_request(server):
    server.answers["/t"] = 200, SHELLY
    with (
        open_sensor("http", {"url": f"{server.url}/t", "json_path": "tC", "fresh_s": 60.0}) as one,
        open_sensor("http", {"url": f"{server.url}/t", "json_path": "tF", "fresh_s": 60.0}) as two,
    ):
        assert (one.read().value, two.read().value) == (21.4, 70.5)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "said"),
    [
        (404, b"", errors.ReadFailed, "status 404"),
        (401, b"", errors.ReadFailed, "token_file"),
        (302, b"", errors.ReadFailed, "redirects"),
        (200, b"x" * 2_000_000, errors.ReadFailed, "more than 1048576 bytes"),
        (200, b"<html>", errors.ReadFailed, "not JSON"),
        (200, b'{"tC": null}', errors.MissingValue, "no value now"),
    ],
)
def test_what_is_no_reading_is_told_with_a_remedy(server, status, body, error, said):
    server.answers["/t"] = status, body
    with pytest.raises(error, match=said):
        read(server, "/t", json_path="tC")


def test_a_server_that_sends_drop_by_drop_is_given_up():
    server = serve(Dripping)
    try:
        with pytest.raises(errors.ReadTimeout, match=r"did not answer in 0\.3 s"):
            read(server, "/", timeout_s=0.3)
    finally:
        stop(server)


def test_a_server_that_is_absent_is_read_once_it_is_there():
    url = f"http://127.0.0.1:{free_port()}/"
    with (
        open_sensor("http", {"url": url}) as sensor,
        pytest.raises(errors.DeviceGone, match="is the device on"),
    ):
        sensor.read()


def test_a_token_is_sent_and_never_in_plain_text_over_a_network(server, tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    server.answers["/t"] = 200, b"5"
    assert read(server, "/t", token_file=str(token)) == 5.0
    assert server.seen[0]["Authorization"] == "Bearer s3cret"
    with pytest.raises(errors.BadOptions, match="https"):
        open_sensor("http", {"url": "http://192.0.2.1/", "token_file": str(token)})
    with pytest.raises(errors.SensorMissing, match="/no/such"):
        open_sensor("http", {"url": "https://192.0.2.1/", "token_file": "/no/such"})


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://x/", "http://", "http://a b/", "http://u:p@x/", "http://x:y/"],
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(errors.BadOptions, match=r"options\.url"):
        open_sensor("http", {"url": url})
