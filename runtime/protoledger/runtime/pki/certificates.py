"""Keys, certificate requests, and the certificate authority in a folder of its owner.

Elliptic-curve keys (P-256): a thousand of them take about a second. `ca.key` has mode 0600 and
stays with the owner; a device makes its own keys and sends a request. A certificate's common name
is the device's id, which Mosquitto's `use_identity_as_username` makes the user name in the access
list. The broker reads the revoked certificates from `crl.pem`. Certificates of later years may be
signed ahead; they lie in `ahead/`, and `renewal` hands them out when their time comes.

The package trustme does not fit: every certificate that it issues is valid for servers, clients and
code signing at once, so that an agent's key could pose as the broker, and a client's certificate
gets an empty subject alternative name, which RFC 5280 (4.2.1.6) forbids.

This is the only maker of certificates. `ansible/plugins/module_utils/fleet_pki.py` is a link to it:
Ansible runs it on devices too, where protoledger is not installed. So this file imports nothing but
the standard library and cryptography, and keeps to Python 3.9.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
from datetime import datetime, timedelta, timezone
from pathlib import Path  # noqa: TC003 - for Python 3.9 as well
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

UTC = timezone.utc  # devices may run Python 3.9, where datetime has no UTC
_CLOCK_LAG = timedelta(hours=1)
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


class PkiError(ValueError):
    """A request, certificate or authority that cannot be used."""


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Write a file atomically; until `mode` is set, only its owner can open it."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        raise


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key as PEM, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def request_for(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Write the request that proves possession of `key` and asks for the common name `name`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(name))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def fresh_key(kind: str) -> bytes:
    """Make the content of a device's key file.

    Args:
        kind: `tls`, `identity` (the protocol's signing key) or `chain` (the account's key).
    """
    if kind == "tls":
        return private_pem(ec.generate_private_key(ec.SECP256R1()))
    # any 32 bytes are an Ed25519 key; all but 2^-127 of them are one of secp256k1
    return secrets.token_bytes(32).hex().encode() + b"\n"


def public_half(kind: str, data: bytes, name: str) -> str:
    """Give what a key file's owner hands out.

    Args:
        kind: as in `fresh_key`.
        data: the file's content.
        name: the device's id.

    Returns:
        For `tls` a certificate request (PEM); for `identity` 64 hexadecimal digits; for `chain` the
        account's public point in 128 hexadecimal digits.

    Raises:
        ValueError: if it holds no such key.
    """
    if kind == "tls":
        key = load_pem_private_key(data, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError("the TLS key is not on an elliptic curve")
        return request_for(key, name).decode()
    secret = bytes.fromhex(data.decode().strip())
    if kind == "identity":
        public = ed25519.Ed25519PrivateKey.from_private_bytes(secret).public_key()
        return public.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    point = ec.derive_private_key(int.from_bytes(secret, "big"), ec.SECP256K1()).public_key()
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:].hex()


def sign_authority(key: ec.EllipticCurvePrivateKey, name: str, days: float) -> x509.Certificate:
    """Sign the authority's own certificate, valid from an hour ago, for clocks that lag."""
    subject = _subject(name)
    builder = _builder(subject, subject, key.public_key(), days)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def sign_device(
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    name: str,
    usage: str,
    addresses: list[str],
    days: float,
) -> x509.Certificate:
    """Sign a device's certificate, valid from an hour ago.

    Args:
        key: the authority's.
        issuer: the authority's name.
        public: the device's public key.
        name: becomes the common name.
        usage: `server` or `client`, never both.
        addresses: host names and addresses of a server.
        days: how long it is valid.
    """
    builder = (
        _builder(_subject(name), issuer, public, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_USAGES[usage]]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    )
    if addresses:
        names = x509.SubjectAlternativeName([_general_name(text) for text in addresses])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256())


def why_sign(
    authority: Authority, name: str, request: bytes, addresses: list[str], renew_days: float
) -> str:
    """Say why a device needs a new certificate; empty if the one it has will do."""
    has = authority.issued(name)
    if has is None:
        return "none yet"
    asked = x509.load_pem_x509_csr(request)
    if spki(asked.public_key()) != spki(has.public_key()):
        return "another key"
    if alternatives(has) != set(addresses):
        return "other names"
    if has.serial_number in authority.revoked():
        return "revoked"
    if days_left(has) < renew_days:
        return f"{days_left(has):.0f} days left"
    return ""


def spki(public: CertificatePublicKeyTypes) -> bytes:
    """Give a public key in the one form that can be compared."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def begins(certificate: x509.Certificate) -> datetime:
    """Give the time from which a certificate is valid."""
    # since cryptography 42
    begin: datetime | None = getattr(certificate, "not_valid_before_utc", None)
    return begin or certificate.not_valid_before.replace(tzinfo=UTC)


def ends(certificate: x509.Certificate) -> datetime:
    """Give the time at which a certificate expires."""
    end: datetime | None = getattr(certificate, "not_valid_after_utc", None)
    return end or certificate.not_valid_after.replace(tzinfo=UTC)


def days_left(certificate: x509.Certificate) -> float:
    """Give the days until a certificate expires; negative after that."""
    return (ends(certificate) - datetime.now(UTC)).total_seconds() / 86_400


class Authority:
    """The authority in `folder`; `create` makes one that is missing.

    Raises:
        PkiError: if there is none, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            self.certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        except (OSError, ValueError) as error:
            raise PkiError(f"no authority in {folder}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise PkiError(f"{folder / 'ca.key'} holds no key on an elliptic curve")
        self._key = key

    @classmethod
    def create(cls, folder: Path, name: str, days: int) -> Authority:
        """Make an authority in a folder that has none."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = sign_authority(key, name, days)
        write_file(folder / "ca.key", private_pem(key), 0o600)
        write_file(folder / "ca.crt", certificate.public_bytes(Encoding.PEM), 0o644)
        made = cls(folder)
        made.revoke([])
        return made

    def issued(self, name: str) -> x509.Certificate | None:
        """Give the certificate that `name` has now, if any; one signed ahead, once it has begun."""
        known = self._known(name)
        now = datetime.now(UTC)
        return max((c for c in known if begins(c) <= now), key=ends, default=None)

    def serials(self, name: str) -> set[int]:
        """Give the serial numbers of all that `name` has or may get: what revoking it takes."""
        return {certificate.serial_number for certificate in self._known(name)}

    def sign_ahead(self, name: str, days: float, overlap_days: float) -> bool:
        """Sign what follows the certificate of `name`, until the authority ends; not twice.

        Each is like it but for the dates, and begins `overlap_days` before the one before it ends.
        Whoever has them gains nothing without the device's key.

        Returns:
            Whether there was something to sign.
        """
        has, last = self.issued(name), ends(self.certificate)
        if has is None or self._ahead(name).exists():
            return False
        if days <= overlap_days:
            raise PkiError(f"certificates of {days} days cannot overlap by {overlap_days} days")
        signed, end = [], ends(has)
        while end < last:
            begin = end - timedelta(days=overlap_days)
            end = min(begin + timedelta(days=days), last)
            signed.append(self._follow(has, begin, end).public_bytes(Encoding.PEM))
        self._ahead(name).parent.mkdir(mode=0o700, exist_ok=True)
        write_file(self._ahead(name), b"".join(signed), 0o644)
        return True

    def _follow(self, like: x509.Certificate, begin: datetime, end: datetime) -> x509.Certificate:
        builder = _dated(like.subject, like.issuer, like.public_key(), begin, end)
        for extension in like.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        return builder.sign(self._key, hashes.SHA256())

    def _known(self, name: str) -> list[x509.Certificate]:
        found = []
        for file in (self._file(name), self._ahead(name)):
            with contextlib.suppress(OSError, ValueError):
                found += x509.load_pem_x509_certificates(file.read_bytes())
        return found

    def issue(
        self, name: str, request: bytes, usage: str, addresses: list[str], days: float
    ) -> x509.Certificate:
        """Sign a request and keep the certificate, which ends no later than the authority's.

        Raises:
            PkiError: if the request is malformed or asks for another name.
        """
        try:
            asked = x509.load_pem_x509_csr(request)
        except ValueError as error:
            raise PkiError(f"the request of {name} is malformed: {error}") from error
        if not asked.is_signature_valid or asked.subject != _subject(name):
            raise PkiError(
                f"the request of {name} is for {asked.subject.rfc4514_string()!r}, or not signed "
                f"by its own key"
            )
        public = asked.public_key()
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise PkiError(f"the request of {name} is for a key that is not on an elliptic curve")
        days = min(float(days), days_left(self.certificate))
        certificate = sign_device(
            self._key, self.certificate.subject, public, name, usage, addresses, days
        )
        self._file(name).parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._ahead(name).unlink()  # they follow the one that is replaced
        write_file(self._file(name), certificate.public_bytes(Encoding.PEM), 0o644)
        return certificate

    def revoked(self) -> set[int]:
        """Give the serial numbers that the list of revoked certificates holds."""
        try:
            data = (self.folder / "crl.pem").read_bytes()
        except FileNotFoundError:
            return set()
        return {entry.serial_number for entry in x509.load_pem_x509_crl(data)}

    def revoke(self, serials: list[int]) -> None:
        """Add serial numbers to the list; it is valid as long as the authority.

        A list that expires sooner would lock out every device on that day.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(now - _CLOCK_LAG)
            .next_update(now + timedelta(days=max(1.0, days_left(self.certificate))))
        )
        for serial in sorted(self.revoked() | set(serials)):
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
            builder = builder.add_revoked_certificate(entry.build())
        signed = builder.sign(self._key, hashes.SHA256())
        write_file(self.folder / "crl.pem", signed.public_bytes(Encoding.PEM), 0o644)

    def _file(self, name: str) -> Path:
        return self.folder / "certificates" / f"{name}.crt"

    def _ahead(self, name: str) -> Path:
        return self.folder / "ahead" / f"{name}.pem"


def alternatives(certificate: x509.Certificate) -> set[str]:
    """Give the host names and addresses in a certificate."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(entry.value) for entry in found}


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: CertificatePublicKeyTypes, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = _dated(subject, issuer, public, now - _CLOCK_LAG, now + timedelta(days=days))
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)


def _dated(
    subject: x509.Name,
    issuer: x509.Name,
    public: CertificatePublicKeyTypes,
    begin: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(public).serial_number(x509.random_serial_number())
    return builder.not_valid_before(begin).not_valid_after(end)


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
