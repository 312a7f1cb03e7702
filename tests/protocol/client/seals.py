"""Identities, hellos, signatures and seals ("Names, roster, terms", "Hellos and the seal")."""

import hashlib
import json
import secrets

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .packing import RefusedError, decode, pack

KEY, ANNOUNCE, BOXES, DELIVER, ANSWER, RESULT, BOX = range(1, 8)
NAMES = ["key", "announce", "boxes", "deliver", "answer", "result"]


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mark_of(hello):
    return sha256(b"protoledger hello v3\0", hello)[:16]


def commitment(rho):
    return sha256(b"protoledger commitment v3\0", rho)


def schema_digest(channels, labels):
    rows = [[c["name"], c["unit"], float(c["low"]), float(c["high"]), float(c["step"])]
            for c in channels]  # fmt: skip
    return sha256(b"protoledger schema v1", pack([rows, labels]))


def terms_digest(schema, validity, numbers, private):
    return sha256(b"protoledger terms v3", pack([schema, validity, numbers, private]))


class Roster:
    """Who is in the site, as the fleet's key signed it."""

    def __init__(self, text, fleet_key):
        file = json.loads(text)
        members = [file["gateway"], *file["agents"]]
        rows = [[m["id"], m["public_key"], sorted(m["channels"]), m["votes"]] for m in members]
        signed = b"protoledger roster v1\0" + pack([file["version"], file["site"], rows])
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(fleet_key))
        key.verify(bytes.fromhex(file["signature"]), signed)
        self.site, self.gateway = file["site"], file["gateway"]["id"]
        self.agents = [m["id"] for m in file["agents"]]
        self.keys = {m["id"]: bytes.fromhex(m["public_key"]) for m in members}
        self.digest = sha256(signed)


def verify(roster, kind, sender, body, signature):
    over = b"protoledger message v3\0" + pack([kind, roster.site, sender, body])
    try:
        Ed25519PublicKey.from_public_bytes(roster.keys[sender]).verify(signature, over)
    except (InvalidSignature, KeyError) as error:
        raise RefusedError(f"no signature of {sender}") from error


def open_signed(roster, data, kind, sender):
    _, said_kind, said_sender, body, signature = decode(data, "Signed")
    if (said_kind, said_sender) != (kind, sender):
        raise RefusedError("kind or sender is not the topic's")
    verify(roster, kind, sender, body, signature)
    return body


def nonce(round_id, kind):
    return round_id.to_bytes(8, "big") + bytes([kind, 0, 0, 0])


class Keys:
    """One party's keys, the hellos of the others, and seals between them."""

    def __init__(self, me, identity, roster):
        self.me, self.identity, self.roster = me, identity, roster
        self.hellos = {}
        self.renew()

    def renew(self, private=None, salt=None):
        self.private = private or X25519PrivateKey.generate()
        public = self.private.public_key().public_bytes_raw()
        body = pack([self.roster.digest, salt or secrets.token_bytes(16), public])
        self.hello, self.epoch = self.sign(KEY, body), None
        self.mark = mark_of(self.hello)

    def sign(self, kind, body):
        over = b"protoledger message v3\0" + pack([kind, self.roster.site, self.me, body])
        return pack([3, kind, self.me, body, self.identity.sign(over)])

    def heard(self, sender, hello):
        known = self.hellos.setdefault(sender, {})
        known.pop(mark_of(hello), None)
        known[mark_of(hello)] = hello
        while len(known) > 4:
            del known[next(iter(known))]

    def public_of(self, sender, mark):
        """The key in the hello of this mark, checked now."""
        hello = self.hellos.get(sender, {}).get(mark)
        if hello is None:
            raise RefusedError(f"the hello of {sender} is not here")
        digest, _, public = decode(open_signed(self.roster, hello, KEY, sender), "SessionKey")
        if digest != self.roster.digest:
            raise RefusedError("a hello of another roster")
        return public

    def key(self, other, mark, epoch, *, outward):
        try:
            shared = self.private.exchange(
                X25519PublicKey.from_public_bytes(self.public_of(other, mark))
            )
        except ValueError as error:
            raise RefusedError("an exchange that gives zero") from error
        ends = sorted([[self.me, self.mark], [other, mark]])
        info = b"protoledger seal v3\0" + pack([*ends, epoch])
        both = HKDF(SHA256(), 64, self.roster.digest, info).derive(shared)
        first = (ends[0][0] == self.me) == outward
        return ChaCha20Poly1305(both[:32] if first else both[32:])

    def header(self, kind, round_id, sender, receiver, bound):
        return pack([3, kind, self.roster.site, round_id, sender, receiver, bound])

    def seal_box(self, other, mark, kind, round_id, epoch, bound, plain):
        header = self.header(kind, round_id, self.me, other, bound)
        key = self.key(other, mark, epoch, outward=True)
        return key.encrypt(nonce(round_id, kind), plain, header)

    def seal(self, other, mark, kind, round_id, epoch, bound, plain):
        box = self.seal_box(other, mark, kind, round_id, epoch, bound, plain)
        return pack([3, kind, round_id, self.me, other, box])

    def open_box(self, other, mark, kind, round_id, epoch, bound, box):
        header = self.header(kind, round_id, other, self.me, bound)
        try:
            key = self.key(other, mark, epoch, outward=False)
            return key.decrypt(nonce(round_id, kind), box, header)
        except InvalidTag as error:
            raise RefusedError("a seal that does not hold") from error

    def open(self, sealed, mark, epoch, bound):
        _, kind, round_id, sender, receiver, box = sealed
        if receiver != self.me:
            raise RefusedError("sealed for another")
        return self.open_box(sender, mark, kind, round_id, epoch, bound, box)


def load_identity(raw):
    return Ed25519PrivateKey.from_private_bytes(raw)
