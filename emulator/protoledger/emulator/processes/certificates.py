"""A certificate authority for one emulated deployment, or for a bench of Pis.

All keys are on the curve P-256, because a thousand of them take only about a second. The common
name of a client's certificate is the client's id; Mosquitto's `use_identity_as_username` makes it
the user name in the access list. The authority's private key stays in memory, so that no more
certificates can be issued for this deployment once the process has ended.

The package trustme does not fit: every certificate that it issues is valid for servers, clients and
code signing at once, so that an agent's key could pose as the broker, and a client's certificate
gets an empty subject alternative name, which RFC 5280 (4.2.1.6) forbids.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protoledger.runtime.access_list import checked_name
from protoledger.runtime.key_files import write_secret

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files of one party: its certificate, its private key, the authority's certificate."""

    authority: Path
    certificate: Path
    key: Path


class CertificateAuthority:
    """Issues the broker's certificate and one for each client.

    Args:
        folder: Folder for the files; created with mode 0700 if absent.
        days: Validity of the certificates, at least 1; it begins an hour ago, for clocks that lag.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     authority = CertificateAuthority(Path(folder) / "tls")
        ...     agent = authority.client("site-1.agent-03")
        ...     agent.certificate.name, oct(agent.key.stat().st_mode & 0o777)
        ('site-1.agent-03.crt', '0o600')
    """

    def __init__(self, folder: Path, *, days: int = 3) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._begin = datetime.now(UTC) - timedelta(hours=1)
        self._end = self._begin + timedelta(days=days, hours=1)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _common_name("protoledger emulation")
        certificate = (
            self._builder(self._subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = folder / "ca.crt"
        write_secret(self.file, certificate.public_bytes(Encoding.PEM), replace=True)

    def server(self, names: tuple[str, ...] = LOOPBACK_NAMES) -> Credentials:
        """Issue the broker's certificate for these host names and addresses."""
        alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
        return self._issue("broker", names[0], ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, client_id: str) -> Credentials:
        """Issue a client's certificate, whose common name is `client_id`.

        Raises:
            NameRefusedError: If the id cannot be used in a topic, a certificate and a file name.
        """
        return self._issue(checked_name(client_id), client_id, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _issue(
        self,
        stem: str,
        common_name: str,
        usage: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None = None,
    ) -> Credentials:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            self._builder(_common_name(common_name), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        issued = Credentials(
            authority=self.file,
            certificate=self._folder / f"{stem}.crt",
            key=self._folder / f"{stem}.key",
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_secret(issued.key, private, replace=True)
        write_secret(issued.certificate, signed.public_bytes(Encoding.PEM), replace=True)
        return issued

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._begin)
            .not_valid_after(self._end)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(authority, critical=False)
        )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
