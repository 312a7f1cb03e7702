"""TLS towards the broker, on machines whose clocks may be wrong.

A broker's certificate is checked for name, signature and dates. Dates need a clock, and a Pi has
none that runs without power. What goes wrong with them is explained by both clocks.
"""

import ssl
import time
from pathlib import Path

from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.key_files import read_secret
from protoledger.runtime.site import BrokerConfig, CredentialsConfig

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, which ssl does not name
_EXPIRED, _NOT_YET_VALID = 10, 9
"""X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""
_TIMESYNC = Path("/run/systemd/timesync")
"""systemd-timesyncd's folder; it has a file `synchronized` once a server has set the clock."""


def explained(error: Exception) -> str:
    """Say what failed, and where a clock may be wrong, whose, and what it shows."""
    text = str(error)
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in {
        _EXPIRED,
        _NOT_YET_VALID,
    }:
        return (
            f"{text}. The clock here shows {_today()}: if that is wrong, set it (`timedatectl`), "
            f"else the broker needs a new certificate"
        )
    return text


def refused_unheard() -> str:
    """Say what it may mean that a broker hangs up before it lets a device in.

    With TLS 1.3 a broker checks a device's certificate when the device already takes the connection
    for made, so there is no better error.
    """
    return (
        f"the broker hung up before it let this device in. Either it has just ended, or it refuses "
        f"the certificate: revoked, or not valid by its clock. The clock here shows {_today()}"
    )


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def clock_is_unset() -> bool:
    """Whether systemd-timesyncd runs here and no time server has answered since the start."""
    return _TIMESYNC.is_dir() and not (_TIMESYNC / "synchronized").exists()


def forgive_clock(context: ssl.SSLContext) -> None:
    """Do not check the validity period of certificates while this machine's clock must be wrong.

    A Pi has no clock battery, and a site may have no time server. A clock that shows a time before
    the authority's certificate began cannot be right, and one that no time server has set need not
    be: it may as well be a year ahead. Names and signatures are still checked.
    """
    begins = [ssl.cert_time_to_seconds(str(ca["notBefore"])) for ca in context.get_ca_certs()]
    if begins and (time.time() < min(begins) or clock_is_unset()):
        context.verify_flags |= _NO_CHECK_TIME
    else:
        context.verify_flags &= ~_NO_CHECK_TIME


def tls_context(broker: BrokerConfig, credentials: CredentialsConfig) -> ssl.SSLContext:
    """Make a TLS context with a device's certificate.

    Raises:
        ConfigurationError: if a certificate or key cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if credentials.certificate_file is not None:
            if credentials.key_file is not None:
                read_secret(credentials.key_file)  # refuses a key that other users may read
            context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    except (OSError, ssl.SSLError) as error:
        files = (broker.ca_file, credentials.certificate_file, credentials.key_file)
        named = ", ".join(str(file) for file in files if file)
        raise ConfigurationError(f"TLS files {named}: {error}") from error
    return context
