"""A device's next certificate, from the hub, without the authority's key.

The controller signs each device's certificates ahead, until the authority ends. They lie on the
hub: they are no secrets, and worth nothing without the device's key. A timer on each device asks
for the one whose time has come, over TLS, with the certificate that is about to end. So a device
that was off or stolen for longer than its certificate is valid has to be let in by the controller,
and what is revoked gets nothing; and no machine but the controller can sign.

    renewal.py serve     the hub's half: one connection on standard input, as systemd's sockets
                         give it; sends the certificate of the name that the client has proven
    renewal.py renew     the device's half: fetches, checks, puts in place, restarts its service

It is copied to the hosts together with `certificates.py`: a hub has no protoledger. So both import
nothing but the standard library and cryptography, and keep to Python 3.9.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import ssl
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from protoledger.runtime.pki.certificates import UTC, begins, days_left, ends, spki, write_file

UNAVAILABLE, DATA, REFUSED = 69, 65, 77  # as sysexits.h has them
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\n?")
_LARGEST = 64 * 1024
_PATIENCE_S = 60.0


class RenewalError(Exception):
    """Why there is no new certificate; `code` says whether the timer may expect one later."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def certificates(data: bytes) -> list[x509.Certificate]:
    """Read all certificates of a PEM file; cryptography 38 of Debian 12 reads only the first."""
    return [x509.load_pem_x509_certificate(found) for found in _PEM.findall(data)]


def name_of(certificate: x509.Certificate) -> str:
    """Give a certificate's common name; empty if it does not have exactly one."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def due(offered: list[x509.Certificate], name: str) -> x509.Certificate | None:
    """Give the newest of a device's certificates that has begun by this machine's clock."""
    now = datetime.now(UTC)
    begun = [c for c in offered if name_of(c) == name and begins(c) <= now]
    return max(begun, key=ends, default=None)


# -- the hub -------------------------------------------------------------------------------------


def serve(offered: Path, server: tuple[Path, Path], authority: Path, revoked: Path) -> None:
    """Answer the one connection on standard input, and return.

    Args:
        offered: file of the certificates of all devices, PEM.
        server: files of the hub's own certificate and key.
        authority: file of the authority's certificate.
        revoked: file of the revoked certificates.

    Raises:
        RenewalError: the client did not prove a name, or there is nothing for it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority)
    context.load_verify_locations(revoked)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    context.load_cert_chain(*server)
    plain = socket.socket(fileno=os.dup(0))
    plain.settimeout(_PATIENCE_S)
    try:
        with plain, context.wrap_socket(plain, server_side=True) as client:
            shown = x509.load_der_x509_certificate(client.getpeercert(binary_form=True) or b"")
            found = due(certificates(offered.read_bytes()), name_of(shown))
            if found is not None:
                client.sendall(found.public_bytes(Encoding.PEM))
    except (OSError, ValueError) as error:  # ssl's errors are OSErrors
        raise RenewalError(f"no certificate was handed out: {error}", REFUSED) from error
    if found is None:
        raise RenewalError(f"{name_of(shown)!r}: nothing is signed ahead for it", DATA)


# -- the device ----------------------------------------------------------------------------------


def fetch(host: str, port: int, own: tuple[Path, Path], authority: Path) -> bytes:
    """Ask the hub, with the certificate that the device has.

    Raises:
        RenewalError: the hub is off, or one side refuses the other.
    """
    context = ssl.create_default_context(cafile=str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*own)
    received = b""
    try:
        with contextlib.ExitStack() as opened:
            plain = opened.enter_context(socket.create_connection((host, port), _PATIENCE_S))
            hub = opened.enter_context(context.wrap_socket(plain, server_hostname=host))
            while len(received) <= _LARGEST and (chunk := hub.recv(4096)):
                received += chunk
    except ssl.SSLCertVerificationError as error:
        raise RenewalError(
            f"{host}:{port} is not trusted: {error.verify_message}; this clock says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            UNAVAILABLE,
        ) from error
    except ssl.SSLError as error:
        raise RenewalError(
            f"{host}:{port} refuses this device's certificate: {error.reason or error}; the "
            f"controller's site.yml gives it a new one, unless it was retired",
            REFUSED,
        ) from error
    except OSError as error:
        raise RenewalError(
            f"{host}:{port} does not answer: {error}; the timer asks again", UNAVAILABLE
        ) from error
    return received


def accept(
    data: bytes, has: x509.Certificate, key: Path, authority: Path
) -> x509.Certificate | None:
    """Give the certificate that was offered, if it is newer; None if it is the one there is.

    Args:
        data: what the hub sent, or the file of all devices.
        has: the certificate that the device has.
        key: file of the device's TLS key.
        authority: file of the authorities' certificates.

    Raises:
        RenewalError: it is not for this device, its key or this time, or nobody trusted signed it.
    """
    name = name_of(has)
    try:
        offered = due(certificates(data), name)
        if offered is None or ends(offered) <= ends(has):
            return None
        private = load_pem_private_key(key.read_bytes(), password=None)
        own = isinstance(private, ec.EllipticCurvePrivateKey) and private.public_key()
        if not own or spki(offered.public_key()) != spki(own):
            raise RenewalError("the certificate offered is for another key", DATA)
        if _purposes(offered) != _purposes(has):
            raise RenewalError("the certificate offered is for another purpose", DATA)
        if not any(_signed_by(offered, ca) for ca in certificates(authority.read_bytes())):
            raise RenewalError("the certificate offered is not signed by the authority", DATA)
    except ValueError as error:
        raise RenewalError(f"what was offered is malformed: {error}", DATA) from error
    return offered


def renew(given: argparse.Namespace) -> str:
    """Fetch, check and put in place; gives what happened in a line.

    Raises:
        RenewalError: there is no new certificate.
    """
    has = x509.load_pem_x509_certificate(given.certificate.read_bytes())
    if days_left(has) <= 0:
        raise RenewalError(
            f"the certificate of {name_of(has)} expired on {ends(has):%Y-%m-%d} (it is "
            f"{datetime.now(UTC):%Y-%m-%d} by this clock): the controller's site.yml gives a new "
            f"one",
            REFUSED,
        )
    if given.offered is not None:
        data = given.offered.read_bytes()
    else:
        own = (given.certificate, given.key)
        data = fetch(given.host, given.port, own, given.authority)
    fresh = accept(data, has, given.key, given.authority)
    if fresh is None:
        return f"nothing newer yet: {days_left(has):.0f} days left"
    for file in (*given.copy, given.certificate):  # the last one says that all are there
        _put(file, fresh.public_bytes(Encoding.PEM))
    if given.restart:
        subprocess.run(["systemctl", "try-restart", given.restart], check=True)
    return f"renewed until {ends(fresh):%Y-%m-%d}"


def _put(file: Path, data: bytes) -> None:
    """Replace a file's content; who may read it stays."""
    was = file.stat()
    write_file(file, data, was.st_mode & 0o777)
    os.chown(file, was.st_uid, was.st_gid)


def _purposes(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return set()
    return {usage.dotted_string for usage in found}


def _signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    public, hashed = authority.public_key(), certificate.signature_hash_algorithm
    if certificate.issuer != authority.subject or hashed is None:
        return False
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    signed = certificate.tbs_certificate_bytes
    with contextlib.suppress(InvalidSignature):
        public.verify(certificate.signature, signed, ec.ECDSA(hashed))
        return True
    return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words = parser.add_subparsers(dest="word", required=True)
    hub = words.add_parser("serve", help="answer the connection on standard input")
    device = words.add_parser("renew", help="fetch this device's next certificate")
    for word in (hub, device):
        for file in ("certificate", "key", "authority"):
            word.add_argument(f"--{file}", type=Path, required=True)
    hub.add_argument("--offered", type=Path, required=True, help="certificates of all devices")
    hub.add_argument("--revoked", type=Path, required=True)
    source = device.add_mutually_exclusive_group(required=True)
    source.add_argument("--host", help="the hub")
    source.add_argument("--offered", type=Path, help="on the hub itself: the same file")
    device.add_argument("--port", type=int, default=8884)
    device.add_argument("--copy", type=Path, action="append", default=[], help="further places")
    device.add_argument("--restart", default="", help="the unit that reads it when it starts")
    return parser.parse_args()


def main() -> int:
    """Run the command line."""
    given = _arguments()
    try:
        if given.word == "serve":
            serve(given.offered, (given.certificate, given.key), given.authority, given.revoked)
        else:
            sys.stdout.write(renew(given) + "\n")
    except RenewalError as error:
        sys.stderr.write(f"{error}\n")
        return error.code
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return DATA
    return 0


if __name__ == "__main__":
    sys.exit(main())
