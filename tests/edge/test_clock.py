"""TLS on a machine whose clock is behind the authority's own beginning."""

import datetime as dt
import ssl

import pytest

from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.runtime.mqtt.client import forgive_clock, tls_context
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
    monkeypatch.setattr("protoledger.runtime.mqtt.client.time.time", lambda: 4e9)
    forgive_clock(later)
    assert not later.verify_flags & 0x200000
