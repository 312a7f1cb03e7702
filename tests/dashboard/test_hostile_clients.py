"""Clients that are slow, many, malformed or foreign: the page goes on for the others."""

import contextlib
import json
import socket
import ssl
import threading
import time

import pytest

from protoledger.dashboard.server.connections import OF_ONE_ADDRESS
from protoledger.dashboard.server.login import GUESSES, GUESSES_OF_ALL, Sessions, write_password
from protoledger.emulator.processes.certificates import CertificateAuthority
from tests.dashboard.test_page import PASSWORD, PATIENCE_S, guess, serving
from tests.support.recorded import Recorded, recorded_site

SLOW_S = 1.0
"""How long a client may take here; see `Settings.patience_s`."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with recorded_site(tmp_path_factory.mktemp("page") / "attic", "evil") as recorded:
        yield recorded


@pytest.fixture(scope="module")
def ask(site):
    with serving(sites=(("attic", str(site.store_file)),), patience_s=SLOW_S) as asking:
        yield asking


def raw(ask, data, wait=True):
    """Send bytes; return all that comes until the server closes, b"" if it just closes."""
    with socket.create_connection((ask.host, ask.port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        received = b""
        while wait and (part := connection.recv(65_536)):
            received += part
        return received


HEAD = b"GET /api/views/now HTTP/1.1\r\nhost: localhost\r\n"
CLOSE = b"connection: close\r\n\r\n"

LOGIN = (
    b"POST /login HTTP/1.1\r\nhost: localhost\r\norigin: http://localhost\r\n"
    b"content-length: 100\r\n\r\npassw"
)

MALFORMED = {
    "two hosts": HEAD + b"host: evil.example\r\n" + CLOSE,
    "no host": b"GET / HTTP/1.1\r\n" + CLOSE,
    "two lengths": HEAD + b"content-length: 3\r\ncontent-length: 5\r\n" + CLOSE + b"abcde",
    "a strange coding": HEAD + b"transfer-encoding: xchunked\r\n" + CLOSE,
    "a folded header": HEAD + b"x: 1\r\n\tfolded\x00\r\n" + CLOSE,
    "space before the colon": HEAD + b"content-length : 3\r\n" + CLOSE,
    "an endless header": HEAD + b"x: " + b"a" * 100_000,
    "an endless path": b"GET /" + b"a" * 100_000,
    "an endless query": b"GET /events?view=" + b"a" * 100_000,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_refused(ask, name):
    with contextlib.suppress(ConnectionError):  # it may be closed while we still send
        status = raw(ask, MALFORMED[name]).partition(b"\r\n")[0]
        assert status.split(b" ")[1:2] in ([b"400"], [b"431"], [b"501"]), status


def test_a_request_behind_another_is_answered_for_itself(ask):
    """Both lengths: the coding counts, and the rest is no second request of ours."""
    hidden = b"POST /logout HTTP/1.1\r\nhost: evil.example\r\n\r\n"
    first = HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    answers = raw(ask, first + hidden + HEAD + CLOSE)
    assert b"HTTP/1.1 421" in answers or answers.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "path",
    ["/static/%00", "/static/" + "a" * 5000, "/static/%ff%fe", "/api/explain/attic/" + "9" * 40,
     "/api/explain/attic/" + "9" * 5000, "/api/explain/attic/-1", "/api/explain/%00/1",
     "/api/explain/" + "%e2%80%ae" * 500 + "/1", "/api/views/%00", "/events?view=%00",
     "/events?view=now&view=nothing", "/" + "a/" * 3000],
)  # fmt: skip
def test_what_does_not_exist_is_not_found(ask, path):
    status, _, body = ask(path)
    assert status in {404, 400}
    assert len(body) < 1000


@pytest.mark.parametrize(
    "begun", [b"", b"GE", HEAD, LOGIN],
    ids=["nothing", "a word", "half a head", "half a body"],
)  # fmt: skip
def test_a_client_that_does_not_go_on_is_left(ask, begun):
    raw(ask, begun)


def closed(connection, part, between=lambda: None):
    """Whether the server resets a connection on which parts of a request go on to come."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        between()
        try:
            connection.sendall(part)
        except ConnectionError:
            return True
        time.sleep(0.1)
    return False


def test_a_client_that_goes_on_slowly_is_left(ask):
    with socket.create_connection((ask.host, ask.port), timeout=PATIENCE_S) as connection:
        connection.sendall(HEAD)
        assert closed(connection, b"x: 1\r\n")


def test_idle_connections_keep_nobody_out(ask):
    with contextlib.ExitStack() as stack:
        for n in range(450):
            from_here = (f"127.0.0.{2 + n % 2}", 0)
            with contextlib.suppress(OSError):
                idle = socket.create_connection((ask.host, ask.port), 5, from_here)
                stack.enter_context(idle)
        end = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(ConnectionError):
                if ask("/api/views/now")[0] == 200:
                    break
            assert time.monotonic() < end, "they are never left"
            time.sleep(0.2)


def test_one_address_cannot_have_all_connections(ask):
    with contextlib.ExitStack() as stack:
        for _ in range(OF_ONE_ADDRESS + 5):
            other = socket.create_connection((ask.host, ask.port), 5, ("127.0.0.2", 0))
            stack.enter_context(other)
        assert ask("/api/views/now")[0] == 200


def stream(ask, view="now", host="localhost"):
    connection = socket.create_connection((ask.host, ask.port), timeout=PATIENCE_S)
    connection.sendall(f"GET /events?view={view} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
    return connection


def test_two_hundred_streams_follow_and_more_are_told(ask, site):
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(stream(ask))) for _ in range(200)]
        for one in streams:
            assert one.recv(15) == b"HTTP/1.1 200 OK"
        status, _, body = ask("/events?view=now")
        assert (status, json.loads(body)["error"]) == (503, "too many pages are open")
        assert ask("/api/views/now")[0] == 200, "views are still there"
        threads = [threading.Thread(target=lambda: ask("/api/views/trust")) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        site.status()
        site.learn(1)
        for one in streams:
            assert one.recv(100)
    end = time.monotonic() + PATIENCE_S
    while True:  # places are free again
        with contextlib.closing(stream(ask)) as one:
            if one.recv(15) == b"HTTP/1.1 200 OK":
                break
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_stream_that_nobody_reads_is_left(tmp_path):
    site = Recorded(tmp_path / "attic", labels=("empty", "x" * 300_000))
    with (
        serving(sites=(("attic", str(site.store_file)),), patience_s=SLOW_S) as asking,
        socket.socket() as reader,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        reader.settimeout(PATIENCE_S)
        reader.connect((asking.host, asking.port))
        reader.sendall(b"GET /events?view=now HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert closed(reader, b" ", lambda: (site.status(), site.learn(1))), "and nothing is read"
    site.close()


def test_asking_for_a_stream_s_head_ends(ask):
    status, headers, body = ask("/events?view=now", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-type"].startswith("text/event-stream")


FOREIGN = [
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=range(len(FOREIGN)))
@pytest.mark.parametrize("path", ["/api/views/now", "/events", "/static/script/app.js"])
def test_another_page_may_not_even_ask(ask, path, headers):
    status, sent, _ = ask(path, headers=headers)
    assert status == 403
    assert not [name for name in sent if name.startswith("access-control")]


def test_a_link_from_another_page_opens_this_one(ask):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document"}  # fmt: skip
    assert ask("/", headers=link)[0] == 200
    here = {"sec-fetch-site": "same-origin", "origin": ask.url.rstrip("/")}
    assert ask("/api/views/now", headers={**here, "host": f"127.0.0.1:{ask.port}"})[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "localhost:80:80",
             "[::1]evil", "", "127.0.0.2", "localhost@evil.example"],
)  # fmt: skip
def test_other_names_are_refused(ask, host):
    assert ask("/", headers={"host": host})[0] in {400, 421}


def test_the_address_that_it_listens_on_is_one_of_its_names(site):
    with serving(sites=(("attic", str(site.store_file)),), host="127.0.0.2") as asking:
        assert asking("/api/views/now")[0] == 200


def test_a_damaged_site_does_not_end_the_streams(tmp_path, site):
    """What follows the files goes on, whatever it met in them."""
    damaged = tmp_path / "gateway.db"
    status = damaged.with_name("gateway.db.status.json")
    sites = (("cellar", str(damaged)), ("attic", str(site.store_file)))
    with serving(sites=sites) as asking, contextlib.closing(stream(asking)) as one:
        reader = one.makefile("rb")
        for text in ('{"last_completed_at": []}', '{"written_at": "x"}', '{"pid": 1e999}'):
            status.write_text(text)
            site.status()
            site.learn(1)
            at = time.time()
            while line := reader.readline():
                if line.startswith(b"data: {") and json.loads(line[6:])["at"] >= at:
                    break
            assert line, "the stream ended"


# -- the login -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(site, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("door")
    write_password(tmp_path / "password", PASSWORD)
    issued = CertificateAuthority(tmp_path / "tls").client("127.0.0.1")
    with serving(
        sites=(("attic", str(site.store_file)),), certificate=str(issued.certificate),
        key=str(issued.key), password_file=str(tmp_path / "password"), patience_s=SLOW_S,
    ) as asking:  # fmt: skip
        yield asking


def session_of(answer):
    return {"cookie": answer[1]["set-cookie"].partition(";")[0]}


def test_a_stream_ends_with_its_session(guarded, site):
    session = session_of(guess(guarded, PASSWORD))
    connection = guarded.connect()
    connection.request("GET", "/events?view=now", headers=session)
    answer = connection.getresponse()
    assert answer.readline()
    origin = {**session, "origin": guarded.url.rstrip("/")}
    assert guarded("/logout", "POST", headers=origin)[0] == 303
    site.status()
    site.learn(1)
    while answer.readline():
        pass
    connection.close()


def test_a_login_begins_a_session_of_its_own(guarded):
    """A cookie that was planted before is worth nothing after."""
    form = {"content-type": "application/x-www-form-urlencoded", "origin": guarded.url.rstrip("/"),
            "cookie": "__Host-protoledger=planted"}  # fmt: skip
    answer = guarded("/login", "POST", f"password={PASSWORD.replace(' ', '+')}", form)
    assert session_of(answer)["cookie"] != "__Host-protoledger=planted"
    assert guarded("/api/views/now", headers={"cookie": form["cookie"]})[0] == 401
    first = session_of(answer)
    again = guarded("/login", "POST", f"password={PASSWORD.replace(' ', '+')}", {**form, **first})
    assert guarded("/api/views/now", headers=session_of(again))[0] == 200
    assert guarded("/api/views/now", headers=first)[0] == 401, "the session before has ended"


def test_a_page_behind_a_login_can_be_left(guarded, ask):
    session = session_of(guess(guarded, PASSWORD))
    assert b'action="/logout"' in guarded("/", headers=session)[2]
    assert b"logout" not in ask("/")[2]


def test_a_client_without_a_handshake_is_left(guarded):
    with socket.create_connection((guarded.host, guarded.port), timeout=PATIENCE_S) as connection:
        assert connection.recv(1) == b""


def test_old_tls_is_refused(guarded):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((guarded.host, guarded.port), timeout=PATIENCE_S) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        old.wrap_socket(connection)


def test_guesses_at_once_are_limited_like_guesses_one_by_one(guarded):
    statuses = []
    threads = [
        threading.Thread(target=lambda: statuses.append(guess(guarded, "not this one")[0]))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(statuses) == [403] * GUESSES + [429] * (40 - GUESSES)


class At:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_many_addresses_do_not_help_and_keep_nobody_out_who_was_here():
    clock = At()
    sessions = Sessions(clock)
    assert sessions.may_guess("192.0.2.1")
    sessions.right("192.0.2.1")
    tried = sum(sessions.may_guess(f"198.51.100.{n}") for n in range(1, 200))
    assert tried == GUESSES_OF_ALL
    assert sessions.may_guess("192.0.2.1"), "a person who logged in from there before"
    clock.now += 61
    assert sessions.may_guess("198.51.100.1")


def test_addresses_of_one_network_are_one_guesser():
    sessions = Sessions(At())
    tried = [sessions.may_guess(f"2001:db8:0:1::{n:x}") for n in range(1, 50)]
    assert sum(tried) == GUESSES
    assert sessions.may_guess("2001:db8:0:2::1")


def test_a_right_guess_is_not_counted():
    sessions = Sessions(At())
    for _ in range(3 * GUESSES_OF_ALL):
        assert sessions.may_guess("192.0.2.1")
        sessions.right("192.0.2.1")
