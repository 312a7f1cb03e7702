"""The fleet's certificate authority, kept in a folder of the controller.

Elliptic-curve keys (P-256). `ca.key` is made with mode 0600 and never leaves the controller; a
device makes its own key and sends a request. A certificate's common name is the device's id, which
the broker uses as the user name. The broker reads the revoked certificates from `crl.pem`.

The emulator has an authority of its own that lives as long as an emulation and makes all keys
itself. This one is kept for years, signs requests and has a revocation list; it cannot share code
with the emulator's, because it also runs on devices, where protoledger is not installed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path  # noqa: TC003 - for Python 3.9 as well

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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


def spki(public: object) -> bytes:
    """Give a public key in the one form that can be compared."""
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]


def days_left(certificate: x509.Certificate) -> float:
    """Give the days until a certificate expires; negative after that."""
    end = getattr(certificate, "not_valid_after_utc", None)
    if end is None:
        end = certificate.not_valid_after.replace(tzinfo=UTC)
    return (end - datetime.now(UTC)).total_seconds() / 86_400


class Authority:
    """The authority in `folder`; `create` makes one that is missing.

    Raises:
        PkiError: if there is none, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            self.certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        except (OSError, ValueError) as error:
            raise PkiError(f"no authority in {folder}: {error}") from error

    @classmethod
    def create(cls, folder: Path, name: str, days: int) -> Authority:
        """Make an authority in a folder that has none."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        begin = datetime.now(UTC) - _CLOCK_LAG
        certificate = (
            _builder(subject, subject, key.public_key(), begin, begin + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        write_file(folder / "ca.key", private_pem(key), 0o600)
        write_file(folder / "ca.crt", certificate.public_bytes(Encoding.PEM), 0o644)
        made = cls(folder)
        made.revoke([])
        return made

    def issued(self, name: str) -> x509.Certificate | None:
        """Give the certificate that `name` has now, if any."""
        try:
            return x509.load_pem_x509_certificate(self._file(name).read_bytes())
        except (OSError, ValueError):
            return None

    def issue(
        self, name: str, request: bytes, usage: str, addresses: list[str], days: int
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
        begin = datetime.now(UTC) - _CLOCK_LAG
        latest = timedelta(days=days_left(self.certificate)) + datetime.now(UTC)
        end = min(begin + timedelta(days=days), latest)
        builder = _builder(asked.subject, self.certificate.subject, asked.public_key(), begin, end)
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([_USAGES[usage]]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if addresses:
            names = x509.SubjectAlternativeName([_general_name(text) for text in addresses])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        self._file(name).parent.mkdir(mode=0o700, exist_ok=True)
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
    subject: x509.Name, issuer: x509.Name, public: object, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(public),  # type: ignore[arg-type]
            critical=False,
        )
    )


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
