"""Vectors of messages: digests, signed and sealed envelopes, and their bodies."""

from typing import NamedTuple

from protoledger.experiments.vectors.draws import Content, drawn, seed
from protoledger.experiments.vectors.slow import wire

SITE, GATEWAY, FIRST, SECOND = "attic", "attic.gateway", "attic.agent-00", "attic.agent-01"
KEY, ANNOUNCE, BOXES, DELIVER, ANSWER, RESULT, BOX = range(1, 8)
ROUND = 7


class Party(NamedTuple):
    """Fixed keys of a device: never use them anywhere."""

    identity: bytes
    identity_public: bytes
    session: bytes
    session_public: bytes
    nonce: bytes
    mark: bytes = b""


def parties() -> dict[str, Party]:
    """Return the three devices of the vectors, without their marks."""
    return {name: _party(name) for name in (GATEWAY, FIRST, SECOND)}


def _party(name: str) -> Party:
    identity, session = seed(f"identity {name}"), seed(f"session {name}")
    return Party(
        identity,
        wire.public_of_identity(identity),
        session,
        wire.public_of_session(session),
        seed(f"nonce {name}")[:16],
    )


class VectorSite:
    """The vectors' site: who is there, and what they have signed."""

    def __init__(self) -> None:
        self.known = parties()
        self.members = [
            (name, one.identity_public.hex(), [] if name == GATEWAY else ["b", "a"], False)
            for name, one in self.known.items()
        ]
        self.roster_signed, self.roster = wire.roster_digest(SITE, self.members)
        for name, one in self.known.items():
            hello = wire.signed(SITE, KEY, name, self.hello(name), one.identity)[2]
            self.known[name] = one._replace(mark=wire.mark(hello))
        self.rho = seed("rho")
        self.both = wire.bitmap([0, 1])
        self.live = self.announce(ROUND, [1, 0], None, [], [FIRST, SECOND])
        self.kept = self.announce(8, [0, 1], [5, 300], [[1, ROUND, self.rho]], [])
        self.digest = wire.sha256(self.live)
        self.delivered = wire.pack([ROUND, self.digest, self.both, b"\x07\x03"])

    def hello(self, name: str) -> bytes:
        """Return the body of a party's hello."""
        one = self.known[name]
        return wire.pack([self.roster, one.nonce, one.session_public])

    def announce(
        self,
        round_id: int,
        holders: list[int],
        kept: list[int] | None,
        asked: list[object],
        carried: list[str],
        *more: object,
    ) -> bytes:
        """Return the body of an announce; `more` is what sites with some options have besides."""
        hellos = [bytes.fromhex(str(self.signed(KEY, n, self.hello(n))["hex"])) for n in carried]
        marks = self.known[FIRST].mark + self.known[SECOND].mark
        return wire.pack(
            [round_id, self.known[GATEWAY].mark, self.roster, seed("terms"), self.both, marks,
             holders, wire.commitment(self.rho), kept, asked, hellos,
             *more]
        )  # fmt: skip

    def signed(self, kind: int, sender: str, body: bytes) -> Content:
        """Return a signed envelope, with all that its bytes follow from."""
        over, signature, data = wire.signed(SITE, kind, sender, body, self.known[sender].identity)
        return {
            "kind": kind, "sender": sender, "body": body.hex(), "signed": over.hex(),
            "signature": signature.hex(), "hex": data.hex(),
        }  # fmt: skip

    def sealed(self, kind: int, sender: str, receiver: str, bound: bytes, plain: bytes) -> Content:
        """Return a sealed envelope, with all that its bytes follow from."""
        ends = (sender, self.known[sender].mark), (receiver, self.known[receiver].mark)
        info, shared, key = wire.seal_key(
            self.known[sender].session,
            self.known[receiver].session_public,
            self.roster,
            ends,
            self.known[GATEWAY].mark,
        )
        nonce, header, data = wire.sealed(key, SITE, kind, ROUND, sender, receiver, bound, plain)
        return {
            "kind": kind, "round": ROUND, "sender": sender, "receiver": receiver,
            "bound": bound.hex(), "shared_secret": shared.hex(), "info": info.hex(),
            "key": key.hex(), "nonce": nonce.hex(), "associated_data": header.hex(),
            "plain": plain.hex(), "hex": data.hex(),
        }  # fmt: skip


def message_vectors() -> Content:
    """Return every kind of message, with all that its bytes follow from."""
    site = VectorSite()
    bodies = [(ANNOUNCE, GATEWAY, site.live), (ANNOUNCE, GATEWAY, site.kept)]
    bodies += [(DELIVER, GATEWAY, site.delivered)]
    bodies += [(RESULT, GATEWAY, wire.pack([ROUND, site.digest, 2, b"", ""]))]
    bodies += [(KEY, name, site.hello(name)) for name in site.known]
    envelopes = [site.signed(*one) for one in bodies]
    numbers = drawn("sealed", 5)
    plain = b"".join(symbol.to_bytes(4, "little") for symbol in numbers)
    boxes = wire.pack([b"\x07", None, None, b"", [b"", bytes(36)]])
    more = wire.pack([b"\x07", [5, 12], [6, plain], b"", [b"", bytes(36)]])
    lacking = wire.pack([b"", None, None, wire.bitmap([1]), []])
    signature = bytes.fromhex(envelopes[2]["signature"])
    delivery = wire.pack([signature, site.both, b"\x07\x03", site.rho, [b"", bytes(36)]])
    answer = wire.pack([b"", plain, plain])
    sealed = [
        site.sealed(BOXES, FIRST, GATEWAY, site.digest, boxes),
        site.sealed(BOXES, SECOND, GATEWAY, site.digest, more),
        site.sealed(DELIVER, GATEWAY, FIRST, site.digest, delivery),
        site.sealed(ANSWER, FIRST, GATEWAY, wire.sha256(site.delivered), answer),
        site.sealed(BOX, FIRST, SECOND, site.digest + b"\x07", plain),
        site.sealed(BOXES, FIRST, GATEWAY, site.digest, lacking),
    ]
    return {
        "site": SITE,
        "members": site.members,
        "roster_signed": site.roster_signed.hex(),
        "roster": site.roster.hex(),
        "parties": {
            name: {what: data.hex() for what, data in one._asdict().items()}
            for name, one in site.known.items()
        },
        "announce": site.live.hex(),
        "announce_digest": site.digest.hex(),
        "delivered": site.delivered.hex(),
        "symbols": numbers,
        "bodies": {"Boxes": [boxes.hex(), more.hex()], "Delivery": [delivery.hex()],
                   "Answer": [answer.hex()]},
        "signed": envelopes,
        "sealed": sealed,
    }  # fmt: skip
