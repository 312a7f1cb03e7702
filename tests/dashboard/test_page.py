"""The page's own process, asked over HTTP as a browser would: what it shows, to whom, and how."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.report import STATIC, bundle, make_report
from protoledger.dashboard.server.login import GUESSES, PasswordFile, Sessions, write_password
from protoledger.dashboard.server.settings import Settings
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.runtime.exits import Exit
from tests.support.recorded import Recorded, recorded_site

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
PASSWORD = "a long enough one"
PATIENCE_S = 60


@contextlib.contextmanager
def serving(fixed_port=0, **settings):
    """The page's process; yields a function that asks it."""
    given = Settings(port=fixed_port, **settings)
    command = [sys.executable, "-m", "protoledger.dashboard.server", given.encode()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Asking(process.stdout.readline().strip())
        finally:
            process.terminate()
            assert process.wait(PATIENCE_S) == 0


class Asking:
    def __init__(self, url):
        self.url, parts = url, urlsplit(url)
        self.host, self.port, self.secure = parts.hostname, parts.port, parts.scheme == "https"

    def connect(self):
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(
            self.host, self.port, timeout=PATIENCE_S, context=trusting
        )

    def __call__(self, path, method="GET", body=None, headers=None):
        connection = self.connect()
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    def view(self, name):
        status, _, body = self(f"/api/views/{name}")
        assert status == 200
        return json.loads(body)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with recorded_site(tmp_path_factory.mktemp("page") / "attic", EVIL) as recorded:
        yield recorded


@pytest.fixture(scope="module")
def ask(site):
    with serving(sites=(("attic", str(site.store_file)),)) as asking:
        yield asking


def test_every_view_is_there(ask):
    for name in ("now", "learning", "ledger", "trust", "explain", "health"):
        view = ask.view(name)
        assert view["view"] == name
        (shown,) = view["sites"]
        assert (shown["name"], shown["state"]) == ("attic", "running")
        assert shown["labels"] == ["empty", EVIL], "handed on as it is: only text nodes show it"
    assert ask("/api/views/nothing")[0] == 404


def test_learning_says_what_the_gateway_counted(ask, site):
    (shown,) = ask.view("learning")["sites"]
    counters = site.trainer.counters
    assert shown["overall"]["here"] == round(counters.right / counters.samples, 4)
    assert sum(map(sum, shown["confusion"])) == counters.samples
    assert shown["curve"]["n"][-1] == counters.samples
    assert {owner for owner, *_ in shown["map"]["prototypes"]} == {0, 1}


def test_the_ledger_knows_commits_of_all_owners(ask):
    view = ask.view("ledger")
    (commit,) = view["commits"]
    assert (commit["owner"].lower(), commit["version"], commit["block"]) == (EVIL.lower(), 1, 41)


def test_a_prediction_is_explained(ask):
    (shown,) = ask.view("explain")["sites"]
    n = shown["predictions"][0]["n"]
    status, _, body = ask(f"/api/explain/attic/{n}")
    assert status == 200
    assert json.loads(body)["nearest"]
    assert ask("/api/explain/attic/99999")[0] == 404
    assert ask(f"/api/explain/cellar/{n}")[0] == 404


def test_health_has_states_and_never_a_reading(ask):
    (shown,) = ask.view("health")["sites"]
    assert [agent["state"] for agent in shown["agents"]] == ["here"] * 3
    assert [one["contributors"] for one in shown["channels"]] == [3, 2]
    assert "values" not in json.dumps(shown)


@pytest.mark.parametrize("path", ["/", "/static/script/app.js", "/api/views/now", "/missing"])
def test_a_browser_may_only_show_it(ask, path):
    _, headers, _ = ask(path)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/api/views/now", "/events"])
def test_no_request_changes_anything(ask, method, path):
    assert ask(path, method)[0] in {403, 405}


def test_a_name_that_was_pointed_here_is_refused(ask):
    assert ask("/", headers={"host": "evil.example:8765"})[0] == 421
    assert ask("/", headers={"host": f"localhost:{ask.port}"})[0] == 200


@pytest.mark.parametrize(
    "path", ["/static/../cli.py", "/static/%2e%2e/cli.py", "/static//etc/passwd"]
)
def test_only_the_page_s_files_are_served(ask, path):
    assert ask(path)[0] in {400, 404}


def test_pages_have_nothing_inline_and_nothing_from_elsewhere():
    for path in STATIC.rglob("*"):
        if path.suffix == ".html":
            text = path.read_text(encoding="utf-8")
            assert " style=" not in text
            assert " on" not in text.replace(" only", "").split("<body", 1)[0]
            assert "://" not in text
        if path.suffix in {".js", ".css"} and "vendor" not in path.parts:
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(",
                         "new Function", "://", 'setAttribute("style'):  # fmt: skip
                assert word not in text, f"{path.name}: {word}"


def events(asking, view="now"):
    connection = asking.connect()
    connection.request("GET", f"/events?view={view}")
    answer = connection.getresponse()
    assert answer.getheader("content-type").startswith("text/event-stream")
    while line := answer.readline():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])


def test_a_stream_follows_the_gateway(ask, site):
    stream = events(ask, "learning")
    before = next(stream)["sites"][0]["overall"]["samples"]
    site.learn(7)
    for view in stream:
        if view["sites"][0]["overall"]["samples"] == before + 7:
            break


def test_each_state_is_told(tmp_path):
    folder = tmp_path / "attic"
    with serving(sites=(("attic", str(folder / "gateway.db")),)) as ask:

        def until(state):
            end = time.monotonic() + PATIENCE_S
            while (found := ask.view("now")["sites"][0]["state"]) != state:
                assert time.monotonic() < end, f"{found}, not {state}"
                time.sleep(0.1)

        until("absent")
        site = Recorded(folder)
        site.status()
        until("starting")
        site.learn(3)
        until("running")
        site.status(written_at=time.time() - 100)
        until("stale")
        (folder / "gateway.db.status.json").unlink()
        until("stopped")
        with subprocess.Popen([sys.executable, "-c", ""]) as ended:
            ended.wait(PATIENCE_S)
        site.status(pid=ended.pid)
        until("stopped")
        site.close()
        (folder / "gateway.db.history").unlink()
        again = Recorded(folder)  # a history that was deleted, and a gateway that came back
        again.status()
        again.learn(2)
        until("running")
        again.close()


def test_files_that_the_page_may_not_read_are_a_state_of_their_own(tmp_path, monkeypatch):
    files = GatewayFiles("attic", tmp_path / "gateway.db")
    (tmp_path / "gateway.db.history").touch()
    assert files.state() == "stopped"
    monkeypatch.setattr(os, "access", lambda path, _how: Path(path) == tmp_path)
    assert files.state() == "unreadable"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert files.state() == "unreadable"
    assert GatewayFiles("attic", tmp_path / "none" / "gateway.db").state() == "absent"


def test_an_address_that_is_taken_may_be_free_later():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = Settings(sites=(), port=taken.getsockname()[1])
        command = [sys.executable, "-m", "protoledger.dashboard.server", given.encode()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == Exit.UNAVAILABLE, "systemd tries again"
    assert "choose another port" in done.stderr


def test_alerts_have_the_names_of_the_rules_that_prometheus_gets():
    import yaml

    from protoledger.dashboard.reading.health import ALERTS

    path = Path(__file__).parents[2] / "ansible/roles/monitoring/files/protoledger-alerts.yml"
    groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    rules = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {name for name in ALERTS if name.startswith("Protoledger")} <= rules
    assert set(ALERTS) - rules == {"CertificateEnds", "OthersHurt"}


# -- beyond this machine -------------------------------------------------------------------------


def test_beyond_this_machine_only_with_tls_and_a_login():
    for given in ({}, {"password_file": "p"}, {"certificate": "c", "key": "k"}):
        with pytest.raises(ValueError, match="TLS and a login"):
            Settings((), host="0.0.0.0", **given)
    Settings((), host="0.0.0.0", certificate="c", key="k", password_file="p")
    with pytest.raises(ValueError, match="name both"):
        Settings((), certificate="c")


@pytest.fixture(scope="module")
def guarded(site, tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    write_password(folder / "password", PASSWORD)
    issued = CertificateAuthority(folder / "tls").client("127.0.0.1")
    with serving(
        sites=(("attic", str(site.store_file)),),
        certificate=str(issued.certificate),
        key=str(issued.key),
        password_file=str(folder / "password"),
    ) as asking:
        yield asking


def guess(ask, password):
    form = {"content-type": "application/x-www-form-urlencoded", "origin": ask.url.rstrip("/")}
    return ask("/login", "POST", f"password={password.replace(' ', '+')}", form)


def test_nobody_sees_anything_before_the_login(guarded):
    assert guarded("/")[:2][0] == 303
    for path in ("/api/views/now", "/events", "/api/explain/attic/1"):
        assert guarded(path)[0] == 401
    assert guarded("/login")[0] == 200
    assert guarded("/static/style/base.css")[0] == 200


def test_the_password_opens_and_a_logout_closes(guarded):
    status, headers, _ = guess(guarded, PASSWORD)
    assert status == 303
    cookie = headers["set-cookie"].lower()
    for word in ("__host-", "secure", "httponly", "samesite=strict", "path=/"):
        assert word in cookie
    session = {"cookie": headers["set-cookie"].partition(";")[0]}
    assert guarded("/api/views/now", headers=session)[0] == 200
    origin = {**session, "origin": guarded.url.rstrip("/")}
    assert guarded("/logout", "POST", headers=origin)[0] == 303
    assert guarded("/api/views/now", headers=session)[0] == 401


def test_another_page_cannot_log_in_here(guarded):
    form = {"content-type": "application/x-www-form-urlencoded", "origin": "https://evil.example"}
    assert guarded("/login", "POST", f"password={PASSWORD}", form)[0] == 403


def test_guesses_are_limited(guarded):
    statuses = [guess(guarded, "wrong")[0] for _ in range(GUESSES + 1)]
    assert statuses == [403] * GUESSES + [429]
    assert guess(guarded, PASSWORD)[0] == 429


def test_a_password_file_is_private_and_says_nothing(tmp_path):
    path = tmp_path / "password"
    write_password(path, PASSWORD)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in path.read_text()
    known = PasswordFile.read(path)
    assert known.matches(PASSWORD)
    assert not known.matches(PASSWORD + " ")
    assert not known.matches("x" * 10_000)
    path.chmod(0o644)
    with pytest.raises(ValueError, match="chmod 600"):
        PasswordFile.read(path)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"kdf":"scrypt","n":2,"r":8,"p":1,"salt":"","hash":""}']
)
def test_another_file_is_no_password_file(tmp_path, content):
    path = tmp_path / "password"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match="no password file"):
        PasswordFile.read(path)


def test_short_passwords_are_refused(tmp_path):
    with pytest.raises(ValueError, match="10 to 1024"):
        write_password(tmp_path / "p", "short")


def test_sessions_end():
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    token = sessions.begin()
    now[0] = 12 * 3600 - 1
    assert sessions.holds(token)
    now[0] += 1
    assert not sessions.holds(token)


# -- the report ----------------------------------------------------------------------------------


def test_a_report_needs_nothing_else(site):
    text = make_report([("attic", site.store_file)])
    head, _, rest = text.partition('id="report">')
    data, _, _ = rest.partition("</script>")
    assert EVIL not in text
    assert json.loads(data)["views"]["now"]["sites"][0]["labels"][1] == EVIL
    assert "src=" not in head
    assert 'href="/' not in head
    assert text.count("<script") == 3
    assert os.fspath(site.folder) not in text


def test_a_report_of_some_days_leaves_out_what_is_older(site):
    text = make_report([("attic", site.store_file)], since=time.time() + 10)
    data = json.loads(text.partition('id="report">')[2].partition("</script>")[0])
    (learning,) = data["views"]["learning"]["sites"]
    assert learning["curve"]["n"] == []
    assert data["explanations"] == {"attic": {}}


def test_the_modules_become_one_script():
    text = bundle(STATIC / "script")
    assert "\nimport " not in text
    assert "\nexport " not in text
