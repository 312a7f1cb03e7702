"""What a device hands to its site's owner: the public halves of keys that it made itself.

A file of JSON, which may travel any way: the owner and the device's user compare its fingerprint.
It proves possession of the TLS key (the certificate request is signed by it) and of the identity
(which signs all of it). Whoever changes a byte on the way changes the fingerprint: 16 letters and
digits are 80 bits of SHA-256, and finding another request with the same ones takes 2⁸⁰ tries.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta, Struct

from protoledger.protocol.errors import AuthenticationError, ConfigurationError
from protoledger.protocol.wire.identity import Identity, Key, verify
from protoledger.protocol.wire.topics import NAME_PATTERN, is_name
from protoledger.runtime.key_files import read_secret, write_secret
from protoledger.runtime.pki.certificates import fresh_key, public_half, spki

_DOMAIN = b"protoledger device request v1\0"
_LARGEST = 16_384


class DeviceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A device's public halves.

    Attributes:
        version: of this format.
        id: the device's id.
        certificate_request: PEM, for this id, signed with the device's TLS key.
        identity: the protocol's public key, hexadecimal.
        chain: public point of a gateway's account, 128 hexadecimal digits; empty for an agent.
        signature: the identity's, over everything else.
    """

    version: Annotated[int, Meta(ge=1, le=1)]
    id: Annotated[str, Meta(pattern=NAME_PATTERN)]
    certificate_request: Annotated[str, Meta(max_length=4096)]
    identity: Key
    chain: Annotated[str, Meta(pattern=r"^([0-9a-f]{128})?$")]
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}$")]

    @property
    def keys(self) -> frozenset[str]:
        """The public halves, each in the one form that can be compared."""
        asked = x509.load_pem_x509_csr(self.certificate_request.encode())
        found = {spki(asked.public_key()).hex(), self.identity, self.chain}
        return frozenset(found - {""})

    @property
    def fingerprint(self) -> str:
        """Four groups of four letters and digits that stand for all keys and the id."""
        asked = x509.load_pem_x509_csr(self.certificate_request.encode())
        keys = [self.id, spki(asked.public_key()).hex(), self.identity, self.chain]
        digest = hashlib.sha256(_DOMAIN + json.dumps(keys).encode()).digest()
        text = base64.b32encode(digest)[:16].decode().lower()
        return "-".join(text[first : first + 4] for first in range(0, 16, 4))


def _signed(device: str, asked: str, identity: str, chain: str) -> bytes:
    return _DOMAIN + json.dumps([1, device, asked, identity, chain]).encode()


def make_request(folder: Path, device: str, *, account: bool) -> DeviceRequest:
    """Make a device's missing keys in its folder, and write `request.json` beside them.

    A key that exists is never replaced, so the fingerprint is the same each time.

    Args:
        folder: the device's folder.
        device: its id.
        account: whether it needs an account on the chain, as gateways do.

    Raises:
        ConfigurationError: if a key file is no key, or other users may read it.
        OSError: if the folder cannot be written.
    """
    halves = {"chain": ""}
    for kind in ("tls", "identity", *(["chain"] if account else [])):
        path = folder / f"{kind}.key"
        if not path.exists():
            write_secret(path, fresh_key(kind))
        data = read_secret(path)
        try:
            halves[kind] = public_half(kind, data, device)
        except ValueError:  # its text could show a part of the key
            raise ConfigurationError(
                f"{path}: holds no key; move it away to have a new one made"
            ) from None
    me = Identity.parse(read_secret(folder / "identity.key").strip())
    signed = _signed(device, halves["tls"], halves["identity"], halves["chain"])
    request = DeviceRequest(
        1, device, halves["tls"], halves["identity"], halves["chain"], me.sign(signed).hex()
    )
    text = msgspec.json.format(msgspec.json.encode(request), indent=2) + b"\n"
    write_secret(folder / "request.json", text, replace=True)
    return request


def read_request(path: Path) -> DeviceRequest:
    """Read a request strictly: it came from another machine.

    Raises:
        ConfigurationError: if it is missing, malformed, or contradicts itself.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    return parse_request(data, str(path))


def parse_request(data: bytes, where: str) -> DeviceRequest:
    """Decode a request and check its signatures; see `read_request`."""
    again = "have the device make it again with `protoledger site request`"
    if len(data) > _LARGEST:
        raise ConfigurationError(f"{where}: is too large for a device's request; {again}")
    try:
        request = msgspec.json.decode(data, type=DeviceRequest)
        problem = _problem(request)
    except (ValueError, AuthenticationError) as error:  # msgspec's errors are ValueErrors
        raise ConfigurationError(f"{where}: is no device's request: {error}; {again}") from error
    if problem:
        raise ConfigurationError(f"{where}: {problem}; {again}")
    return request


def _problem(request: DeviceRequest) -> str:
    """Say how a request contradicts itself; empty if it does not."""
    asked = x509.load_pem_x509_csr(request.certificate_request.encode())
    names = [attribute.value for attribute in asked.subject]
    if not is_name(request.id) or names != [request.id]:
        wanted = ", ".join(map(repr, names)) or "nobody"
        return f"is from {request.id!r}, but asks for a certificate in the name of {wanted}"
    if not asked.is_signature_valid:
        return "is not signed by the key that it asks for"
    if not isinstance(asked.public_key(), ec.EllipticCurvePublicKey):
        return "its TLS key is not on an elliptic curve"
    if request.chain:  # raises ValueError for what is no point
        point = bytes.fromhex("04" + request.chain)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), point)
    signed = _signed(request.id, request.certificate_request, request.identity, request.chain)
    verify(bytes.fromhex(request.identity), signed, bytes.fromhex(request.signature))
    return ""
