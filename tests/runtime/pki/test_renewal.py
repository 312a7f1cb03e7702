"""Renewal without the authority's key: the hub's process over real TLS, and each reason to refuse.

Certificates have the dates that a case needs; no clock is changed.
"""

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protoledger.runtime.pki.certificates import (
    Authority,
    PkiError,
    begins,
    days_left,
    ends,
    fresh_key,
    public_half,
)
from protoledger.runtime.pki.renewal import (
    DATA,
    REFUSED,
    UNAVAILABLE,
    RenewalError,
    accept,
    fetch,
    renew,
)
from protoledger.runtime.pki.renewal import certificates as read_all

DAY = timedelta(days=1)


class Fleet:
    """The controller's authority, and what lies on the hub and on two devices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "pki", "fleet", 3650)
        self.codes: list[int] = []
        self.port = 0
        self.admit("hub", "server", ("127.0.0.1",))
        for name in ("attic-pi-1", "attic-pi-2"):
            self.admit(name)

    def admit(
        self, name: str, usage: str = "client", addresses: tuple[str, ...] | list = ()
    ) -> None:
        """Give a device a certificate of 30 days, and sign the next one, which has begun."""
        (self.folder / f"{name}.key").write_bytes(fresh_key("tls"))
        request = public_half("tls", (self.folder / f"{name}.key").read_bytes(), name).encode()
        self.authority.issue(name, request, usage, list(addresses), 30)
        self.give(name, -367, 30)
        self.offer(name, -1, 396)

    def like(self, name: str, begin: float, end: float) -> bytes:
        """Sign a certificate for a device and the days from now on that a case needs."""
        like, now = self.authority.issued(name), datetime.now(UTC)
        signed = self.authority._follow(like, now + begin * DAY, now + end * DAY)
        return signed.public_bytes(Encoding.PEM)

    def give(self, name: str, begin: float, end: float) -> None:
        (self.folder / f"{name}.crt").write_bytes(self.like(name, begin, end))

    def offer(self, name: str, begin: float, end: float) -> None:
        with (self.folder / "offered.pem").open("ab") as file:
            file.write(self.like(name, begin, end))

    def has(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / f"{name}.crt").read_bytes())

    def own(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def renew(self, name: str, **changes) -> str:
        certificate, key = self.own(name)
        given = {"certificate": certificate, "key": key, "authority": self.folder / "pki/ca.crt",
                 "offered": None, "host": "127.0.0.1", "port": self.port, "copy": [],
                 "restart": ""}  # fmt: skip
        return renew(argparse.Namespace(**{**given, **changes}))

    def refused(self, name: str, **changes) -> RenewalError:
        """Renew, and give the reason why not; the certificate is still there."""
        before = self.has(name)
        with pytest.raises(RenewalError) as caught:
            self.renew(name, **changes)
        assert self.has(name) == before
        return caught.value


@contextlib.contextmanager
def hub(fleet: Fleet) -> Iterator[None]:
    """Accept connections as a systemd socket does: a process for each, with it as its input."""
    files = {"offered": "offered.pem", "certificate": "hub.crt", "key": "hub.key",
             "authority": "pki/ca.crt", "revoked": "pki/crl.pem"}  # fmt: skip
    command = [sys.executable, "-m", "protoledger.runtime.pki.renewal", "serve"]
    command += [f"--{name}={fleet.folder / file}" for name, file in files.items()]
    listener = socket.create_server(("127.0.0.1", 0))
    fleet.port = listener.getsockname()[1]

    def accept_all() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    done = subprocess.run(
                        command, stdin=connection, capture_output=True, check=False
                    )
                fleet.codes.append(done.returncode)

    thread = threading.Thread(target=accept_all)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    with hub(made):
        yield made


def test_a_device_gets_its_next_certificate_once(fleet):
    before, copy = fleet.has("attic-pi-1"), fleet.folder / "copy.crt"
    copy.write_bytes(b"old")
    copy.chmod(0o640)
    assert fleet.renew("attic-pi-1", copy=[copy]).startswith("renewed until")
    after = fleet.has("attic-pi-1")
    assert 395 < days_left(after) < 397
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert copy.read_bytes() == fleet.own("attic-pi-1")[0].read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o640
    assert fleet.renew("attic-pi-1").startswith("nothing newer yet")
    pki = fleet.folder / "pki"
    words = ["openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check"]
    words += ["-CRLfile", pki / "crl.pem", "-CAfile", pki / "ca.crt", fleet.own("attic-pi-1")[0]]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_a_revoked_certificate_gets_nothing_and_others_do(fleet):
    fleet.authority.revoke([fleet.has("attic-pi-1").serial_number])
    assert fleet.refused("attic-pi-1").code in {REFUSED, UNAVAILABLE}  # an alert, or hung up
    assert fleet.renew("attic-pi-2").startswith("renewed until")
    assert fleet.codes[0] == REFUSED


def test_an_expired_certificate_is_refused_by_both_sides(fleet):
    fleet.give("attic-pi-1", -400, -3)
    error = fleet.refused("attic-pi-1")
    assert error.code == REFUSED
    assert "expired on" in str(error)
    with pytest.raises(RenewalError):  # a device that does not look at its dates
        fetch("127.0.0.1", fleet.port, fleet.own("attic-pi-1"), fleet.folder / "pki/ca.crt")


def test_a_certificate_of_another_authority_is_refused(fleet, tmp_path_factory):
    other = Fleet(tmp_path_factory.mktemp("other"))
    for file in ("attic-pi-1.crt", "attic-pi-1.key"):
        (fleet.folder / file).write_bytes((other.folder / file).read_bytes())
    assert fleet.refused("attic-pi-1").code in {REFUSED, UNAVAILABLE}


def test_nobody_gets_what_is_signed_for_another_name(fleet):
    fleet.admit("attic-pi-3")
    (fleet.folder / "offered.pem").write_bytes(fleet.like("attic-pi-2", -1, 396))
    assert fleet.renew("attic-pi-3").startswith("nothing newer yet")
    fleet.renew("attic-pi-2")  # until then, the first connection has ended
    assert fleet.codes[0] == DATA


def test_the_next_certificate_waits_for_its_time(fleet):
    (fleet.folder / "offered.pem").write_bytes(fleet.like("attic-pi-1", 2, 400))
    assert fleet.renew("attic-pi-1").startswith("nothing newer yet")


def test_a_hub_that_is_off_is_asked_again_later(fleet):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = fleet.refused("attic-pi-1", port=port)
    assert error.code == UNAVAILABLE
    assert "the timer asks again" in str(error)
    assert fleet.renew("attic-pi-1").startswith("renewed until")


def test_a_clock_that_is_behind_asks_again_later_and_says_what_it_shows(fleet):
    fleet.give("hub", 1, 300)  # as it looks to a device whose clock is a day behind
    error = fleet.refused("attic-pi-1")
    assert error.code == UNAVAILABLE
    assert f"this clock says {datetime.now(UTC):%Y}" in str(error)


def test_what_a_hub_may_not_hand_out_is_not_taken(fleet, tmp_path_factory):
    has, key = fleet.has("attic-pi-1"), fleet.folder / "kept.key"
    key.write_bytes(fleet.own("attic-pi-1")[1].read_bytes())
    ca = fleet.folder / "pki/ca.crt"

    def reason(data: bytes) -> str:
        with pytest.raises(RenewalError) as caught:
            accept(data, has, key, ca)
        assert caught.value.code == DATA
        return str(caught.value)

    good = fleet.like("attic-pi-1", -1, 396)
    other = Fleet(tmp_path_factory.mktemp("other"))
    other.authority.issue(
        "attic-pi-1", public_half("tls", key.read_bytes(), "attic-pi-1").encode(), "client", [], 396
    )
    assert "not signed by the authority" in reason(other.like("attic-pi-1", -1, 396))
    fleet.authority.issue(
        "attic-pi-1", public_half("tls", key.read_bytes(), "attic-pi-1").encode(), "server", [], 396
    )
    assert "another purpose" in reason(fleet.like("attic-pi-1", -1, 396))
    fleet.admit("attic-pi-1")
    assert "another key" in reason(fleet.like("attic-pi-1", -1, 396))
    assert "malformed" in reason(good.replace(b"MII", b"AAA", 1))
    for data in (b"", b"\x00" * 100, good[:-30], fleet.like("attic-pi-2", -1, 396)):
        assert accept(data, has, key, ca) is None


def test_certificates_are_signed_ahead_until_the_authority_ends(tmp_path):
    authority = Authority.create(tmp_path / "pki", "fleet", 3650)
    request = public_half("tls", fresh_key("tls"), "hub").encode()
    first = authority.issue("hub", request, "server", ["192.0.2.1", "hub.local"], 397)
    assert authority.sign_ahead("hub", 397, 60)
    assert not authority.sign_ahead("hub", 397, 60)
    ahead = read_all((tmp_path / "pki/ahead/hub.pem").read_bytes())
    chain = [first, *ahead]
    for before, after in zip(chain, ahead, strict=False):
        assert ends(before) - begins(after) == 60 * DAY
        assert ends(after) - begins(after) <= 397 * DAY
        assert after.public_key() == first.public_key()
        assert list(after.extensions) == list(first.extensions)
    assert ends(ahead[-1]) == ends(authority.certificate)
    assert authority.issued("hub") == first
    assert authority.serials("hub") == {one.serial_number for one in chain}
    assert len(authority.serials("hub")) == len(chain) == 11
    authority.issue("hub", request, "server", ["192.0.2.2"], 20)
    assert len(authority.serials("hub")) == 1, "what followed the old one is not handed out"
    authority.sign_ahead("hub", 397, 60)
    assert days_left(authority.issued("hub")) > 300, "the next one has begun and is the present one"
    authority.issue("hub", request, "server", [], 397)
    with pytest.raises(PkiError, match="cannot overlap"):
        authority.sign_ahead("hub", 30, 60)
