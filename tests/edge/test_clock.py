"""TLS between machines whose clocks are a year behind or ahead."""

import datetime as dt
import ssl
import time

import pytest

from protoledger.emulator.processes.broker import Mosquitto, find_mosquitto
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import Children
from protoledger.runtime.mqtt import tls
from protoledger.runtime.mqtt.client import Link, LinkDown, LinkUp
from protoledger.runtime.mqtt.loop import LinkLoop
from protoledger.runtime.mqtt.tls import explained, forgive_clock, tls_context
from protoledger.runtime.pki import certificates
from protoledger.runtime.site import BrokerConfig, CredentialsConfig


def authority(folder, monkeypatch, days):
    """An authority that begins so many days from now."""

    class Later(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(days=days)

    monkeypatch.setattr(certificates, "datetime", Later)
    return CertificateAuthority(folder)


def shake(client, issued, name):
    """Shake hands in memory; raises what the client does not like."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(issued.certificate, issued.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs) * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return ours.version()


def context(made):
    broker = BrokerConfig(host="localhost", ca_file=made.file)
    return tls_context(broker, CredentialsConfig())


def test_a_clock_that_is_certainly_wrong_keeps_nobody_out(tmp_path, monkeypatch):
    made = authority(tmp_path, monkeypatch, days=400)
    client = context(made)
    issued = made.server()
    with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
        shake(client, issued, "localhost")
    forgive_clock(client)
    assert shake(client, issued, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake(client, issued, "elsewhere")
    stranger = CertificateAuthority(tmp_path / "stranger").server()
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client, stranger, "localhost")


def test_validity_is_checked_once_the_clock_may_be_right(tmp_path, monkeypatch):
    expired = authority(tmp_path, monkeypatch, days=-400)
    client = context(expired)
    forgive_clock(client)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        shake(client, expired.server(), "localhost")
    later = context(authority(tmp_path / "later", monkeypatch, days=400))
    forgive_clock(later)
    monkeypatch.setattr("protoledger.runtime.mqtt.tls.time.time", lambda: 4e9)
    forgive_clock(later)
    assert not later.verify_flags & 0x200000


def test_a_clock_that_no_server_has_set_may_be_a_year_ahead(tmp_path, monkeypatch):
    """By it the broker's certificate has expired; names and signatures still count."""
    made = authority(tmp_path, monkeypatch, days=-400)
    client, issued = context(made), made.server()
    timesync = tmp_path / "timesync"
    timesync.mkdir()
    monkeypatch.setattr(tls, "_TIMESYNC", timesync)
    forgive_clock(client)
    assert shake(client, issued, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake(client, issued, "elsewhere")
    (timesync / "synchronized").touch()
    forgive_clock(client)
    with pytest.raises(ssl.SSLCertVerificationError, match="expired") as caught:
        shake(client, issued, "localhost")
    text = explained(caught.value)
    assert time.strftime("%Y-") in text, "what the clock shows"
    assert "timedatectl" in text


@pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")
def test_a_broker_by_whose_clock_a_certificate_has_expired_is_explained(tmp_path, monkeypatch):
    """The hub's clock is a year ahead: it refuses everybody, and cannot say why."""
    behind = authority(tmp_path / "behind", monkeypatch, days=-400)
    old = behind.client("pi-1")
    monkeypatch.undo()
    now = CertificateAuthority(tmp_path / "now")
    with Children(tmp_path / "logs") as children:
        both = tmp_path / "both.crt"
        both.write_bytes(now.file.read_bytes() + behind.file.read_bytes())
        now.file.write_bytes(both.read_bytes())
        where = Mosquitto(tmp_path / "broker", now, "topic readwrite #", children).start(60.0)
        broker = BrokerConfig(host=where.host, port=where.port, ca_file=now.file)
        held = CredentialsConfig(certificate_file=old.certificate, key_file=old.key)
        link = Link("pi-1", broker, held, ["a"], ("will/pi-1", b""))
        found, deadline = set(), time.monotonic() + 60
        with LinkLoop([link]) as links:
            while not found and time.monotonic() < deadline:
                events = links.wait(0.2)
                assert LinkUp("pi-1") not in events
                found |= {event.reason for event in events if isinstance(event, LinkDown)}
    assert any("not valid by its clock" in reason for reason in found), found
