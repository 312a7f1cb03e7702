"""Sessions and the seal between two parties: X25519, HKDF, ChaCha20-Poly1305.

A party makes an ephemeral X25519 key and publishes it in a *hello*, signed by its identity. The
*mark* of a hello is a digest of all its bytes. Both parties' marks go into the key derivation with
the exchange, the roster's hash and the epoch (the mark of the gateway's hello), so that neither a
restart nor an identity key that leaks later opens or repeats anything, and a party that shows two
hellos shares a key with nobody by both. Each direction of each pair has its own key, and a cipher
nonce is (round, kind): a key seals each of them once.

Nobody's hello costs a signature's check before it is needed: an announce names the marks that
count. Of hellos that are only heard, the last few of a sender are kept, and how many are taken is
limited.
"""

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protoledger.protocol.errors import AuthenticationError, FloodError, ProtocolError, RefusedError
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity, Roster, verify
from protoledger.protocol.wire.messages import (
    MARK_BYTES,
    TAG_BYTES,
    VERSION,
    Body,
    Kind,
    Octets,
    Payload,
    Sealed,
    SessionKey,
    Signed,
)

HELLO_BYTES = 512
HELLOS_KEPT = 4
HELLOS_AT_ONCE = 8.0
HELLO_EVERY_S = 2.0
"""What a sender may say: so many hellos at once, and another one each so many seconds."""
EPOCHS_KEPT = 2

_KEY_DOMAIN = b"protoledger seal v3\0"
_SIGN_DOMAIN = b"protoledger message v3\0"
_MARK_DOMAIN = b"protoledger hello v3\0"


def mark_of(hello: bytes) -> bytes:
    """Return the mark of a hello's bytes."""
    return hashlib.sha256(_MARK_DOMAIN + hello).digest()[:MARK_BYTES]


@dataclass(frozen=True)
class _Keys:
    outward: ChaCha20Poly1305 = field(repr=False)
    inward: ChaCha20Poly1305 = field(repr=False)


@dataclass
class _Peer:
    """What is known of a party: hellos by mark, oldest first, and pair keys by (mark, epoch)."""

    hellos: dict[bytes, bytes] = field(default_factory=dict)
    shared: dict[bytes, bytes] = field(default_factory=dict, repr=False)
    bad: set[bytes] = field(default_factory=set)
    keys: dict[tuple[bytes, bytes], _Keys] = field(default_factory=dict, repr=False)
    budget: float = HELLOS_AT_ONCE
    heard_at: float = 0.0


def signed_bytes(site: str, kind: Kind, sender: str, body: bytes) -> bytes:
    """Return what a signature is over."""
    return _SIGN_DOMAIN + messages.encode([int(kind), site, sender, body])


class Session:
    """One party's keys towards everyone in the roster, until it renews them or ends."""

    def __init__(self, me: str, identity: Identity, roster: Roster) -> None:
        self.me = me
        self.roster = roster
        self._identity = identity
        self._peers: dict[str, _Peer] = {}
        self._pinned: frozenset[bytes] = frozenset()
        self.renew()

    def __repr__(self) -> str:
        return f"Session({self.me!r}, {len(self._peers)} peers)"

    def renew(self) -> None:
        """Make another key; what was sealed with the former one cannot be opened any more."""
        self._key = X25519PrivateKey.generate()
        public = self._key.public_key().public_bytes_raw()
        body = SessionKey(self.roster.digest, secrets.token_bytes(16), public)
        self.hello = self.sign(Kind.KEY, body)
        self.mark = mark_of(self.hello)
        self.epoch: bytes | None = None
        for peer in self._peers.values():
            peer.shared.clear()
            peer.keys.clear()
        self._last_sealed: dict[tuple[bytes, str, int], int] = {}

    def sign(self, kind: Kind, body: Body) -> bytes:
        """Wrap a body in a `Signed` envelope."""
        data = messages.encode(body)
        signature = self._identity.sign(signed_bytes(self.roster.site, kind, self.me, data))
        return messages.encode(Signed(VERSION, kind, self.me, data, signature))

    def check(self, data: Payload, kind: Kind, sender: str) -> bytes:
        """Open a `Signed` envelope and return its body.

        Raises:
            DecodeError: if it is malformed.
            AuthenticationError: if it is of another kind or sender than the topic says, the sender
                is not in the roster, or the signature does not hold.
        """
        return open_signed(self.roster, data, kind, sender)

    # -- hellos ----------------------------------------------------------------------------------

    def heard(self, sender: str, hello: Payload, now: float) -> bool:
        """Keep a hello for when it counts; True if it is not yet known. Nothing is verified.

        Raises:
            AuthenticationError: if the sender is not in the roster, or it is too long for a hello.
            FloodError: if the sender has said too many of late.
        """
        if sender == self.me:
            return False
        if sender not in self.roster.public_keys or len(hello) > HELLO_BYTES:
            raise AuthenticationError(f"no hello of somebody in the roster: {sender}")
        peer = self._peers.setdefault(sender, _Peer(heard_at=now))
        mark = mark_of(bytes(hello))
        if mark in peer.hellos:
            peer.hellos[mark] = peer.hellos.pop(mark)  # the newest again
            return False
        more = max(0.0, now - peer.heard_at) / HELLO_EVERY_S
        peer.budget, peer.heard_at = min(HELLOS_AT_ONCE, peer.budget + more), now
        if peer.budget < 1.0:
            raise FloodError(f"{sender} says hello too often", sender)
        peer.budget -= 1.0
        self._keep(peer, mark, bytes(hello))
        return True

    def relayed(self, sender: str, hello: bytes) -> None:
        """Keep a hello that a signed announce carries: it costs its sender nothing."""
        peer = self._peers.setdefault(sender, _Peer())
        mark = mark_of(hello)
        if sender != self.me and mark not in peer.hellos:
            self._keep(peer, mark, hello)

    def _keep(self, peer: _Peer, mark: bytes, hello: bytes) -> None:
        peer.hellos[mark] = hello
        while len(peer.hellos) > HELLOS_KEPT:
            oldest = next((old for old in peer.hellos if old not in self._pinned), mark)
            del peer.hellos[oldest]
            peer.shared.pop(oldest, None)
            peer.bad.discard(oldest)
            peer.keys = {key: keys for key, keys in peer.keys.items() if key[0] != oldest}

    def hello_of(self, sender: str, mark: bytes) -> bytes:
        """Return a hello that is known."""
        return self._peers[sender].hellos[mark]

    def pin(self, marks: Iterable[bytes]) -> None:
        """Keep the hellos that a round names until the next call: newer ones displace others."""
        self._pinned = frozenset(marks)

    def newest(self, sender: str) -> bytes | None:
        """Return the mark of a party's newest hello that holds; None if none does."""
        peer = self._peers.get(sender)
        if peer is None:
            return None
        for mark in reversed(peer.hellos):
            if self.knows(sender, mark):
                return mark
        return None

    def knows(self, sender: str, mark: bytes) -> bool:
        """Whether the hello of this mark is here and holds; checks it once."""
        peer = self._peers.get(sender)
        if peer is None or mark in peer.bad or mark not in peer.hellos:
            return False
        if mark in peer.shared:
            return True
        try:
            peer.shared[mark] = self._exchange(sender, peer.hellos[mark])
        except ProtocolError:
            peer.bad.add(mark)
            return False
        return True

    def _exchange(self, sender: str, hello: bytes) -> bytes:
        body = messages.decode(self.check(hello, Kind.KEY, sender), SessionKey)
        if body.roster != self.roster.digest:
            raise AuthenticationError(f"{sender} has another roster than {self.me}")
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(body.public_key))
        except ValueError as error:  # a point of low order
            raise AuthenticationError(f"{sender} published a bad session key") from error

    # -- seals -----------------------------------------------------------------------------------

    def _keys(self, name: str, mark: bytes, epoch: bytes) -> _Keys:
        peer = self._peers.get(name)
        keys = None if peer is None else peer.keys.get((mark, epoch))
        if keys is None:
            if peer is None or not self.knows(name, mark):
                raise RefusedError(f"the hello of {name} that the announce names", "not here")
            pair = sorted([(self.me, self.mark), (name, mark)])
            info = _KEY_DOMAIN + messages.encode([*pair, epoch])
            both = HKDF(SHA256(), 64, self.roster.digest, info).derive(peer.shared[mark])
            first, second = ChaCha20Poly1305(both[:32]), ChaCha20Poly1305(both[32:])
            keys = _Keys(first, second) if pair[0][0] == self.me else _Keys(second, first)
            while len(peer.keys) >= EPOCHS_KEPT:
                del peer.keys[next(iter(peer.keys))]
            peer.keys[mark, epoch] = keys
        return keys

    def _spend(self, receiver: str, kind: Kind, round_id: int, epoch: bytes) -> None:
        """Refuse to seal twice under one nonce."""
        if self.epoch is None:
            self.epoch = epoch
        if epoch != self.epoch:
            raise RefusedError("the epoch that this key is for", "another session of the gateway")
        once = epoch, receiver, int(kind)
        last = self._last_sealed.get(once, 0)
        if round_id <= last:
            raise RefusedError(f"a {kind.name} of a round after {last}", f"round {round_id}")
        self._last_sealed[once] = round_id

    def seal(
        self,
        receiver: str,
        mark: bytes,
        kind: Kind,
        round_id: int,
        *,
        epoch: bytes,
        bound: bytes,
        plain: Octets,
    ) -> bytearray:
        """Seal a body for one peer, in an envelope.

        Args:
            receiver: the peer.
            mark: of the peer's hello.
            kind: of the message.
            round_id: of the round.
            epoch: mark of the gateway's hello.
            bound: digest of what the message answers.
            plain: the body.

        Raises:
            RefusedError: if that hello is not here, or the round is not newer than the last that
                was sealed for the peer (the cipher's nonce would repeat).
        """
        keys = self._keys(receiver, mark, epoch)
        self._spend(receiver, kind, round_id, epoch)
        header = self._header(kind, round_id, self.me, receiver, bound)
        payload, box = messages.frame(kind, round_id, self.me, receiver, len(plain) + TAG_BYTES)
        keys.outward.encrypt_into(_nonce(kind, round_id), plain, header, box)
        return payload

    def open(self, sealed: Sealed, mark: bytes, *, epoch: bytes, bound: bytes) -> bytes:
        """Open what a peer sealed for us; arguments as in `seal`.

        Raises:
            AuthenticationError: if it is not for us, of another session, or changed.
            RefusedError: if the peer's hello is not here.
        """
        if sealed.receiver != self.me:
            raise AuthenticationError(f"{sealed.kind.name} to {sealed.receiver} is not for us")
        header = self._header(sealed.kind, sealed.round_id, sealed.sender, self.me, bound)
        keys = self._keys(sealed.sender, mark, epoch)
        try:
            return keys.inward.decrypt(_nonce(sealed.kind, sealed.round_id), sealed.box, header)
        except InvalidTag as error:
            raise AuthenticationError(
                f"{sealed.kind.name} of round {sealed.round_id} from {sealed.sender}: "
                f"the seal does not hold (changed, or of another session, round or set)"
            ) from error

    def seal_boxes(
        self,
        plains: Iterable[tuple[str, bytes, Octets]],
        round_id: int,
        *,
        epoch: bytes,
        bound: bytes,
    ) -> list[bytes]:
        """Seal a share for each of some holders, without an envelope.

        Args:
            plains: receiver, mark of its hello, and share of each.
            round_id: of the round.
            epoch: as in `seal`.
            bound: as in `seal`.
        """
        nonce, boxes = _nonce(Kind.BOX, round_id), []
        for receiver, mark, plain in plains:
            keys = self._keys(receiver, mark, epoch)
            self._spend(receiver, Kind.BOX, round_id, epoch)
            header = self._header(Kind.BOX, round_id, self.me, receiver, bound)
            boxes.append(keys.outward.encrypt(nonce, plain, header))
        return boxes

    def open_box(
        self, sender: str, mark: bytes, round_id: int, box: bytes, *, epoch: bytes, bound: bytes
    ) -> bytes:
        """Open a share; arguments as in `seal`.

        Raises:
            AuthenticationError: if the seal does not hold.
            RefusedError: if the sender's hello is not here.
        """
        header = self._header(Kind.BOX, round_id, sender, self.me, bound)
        keys = self._keys(sender, mark, epoch)
        try:
            return keys.inward.decrypt(_nonce(Kind.BOX, round_id), box, header)
        except InvalidTag as error:
            raise AuthenticationError(f"the box of {sender} does not open") from error

    def _header(self, kind: Kind, round_id: int, source: str, target: str, bound: bytes) -> bytes:
        fields = [VERSION, int(kind), self.roster.site, round_id, source, target, bound]
        return messages.encode(fields)


def open_signed(roster: Roster, data: Payload, kind: Kind, sender: str) -> bytes:
    """Open a `Signed` envelope with nothing but the roster; as `Session.check`."""
    signed = messages.decode(data, Signed)
    if (signed.kind, signed.sender) != (kind, sender):
        raise AuthenticationError(
            f"the topic says {kind.name} by {sender}, "
            f"the message {signed.kind.name} by {signed.sender}"
        )
    public_key = roster.public_keys.get(sender)
    if public_key is None:
        raise AuthenticationError(f"{sender} is not in the roster of {roster.site}")
    verify(public_key, signed_bytes(roster.site, kind, sender, signed.body), signed.signature)
    return signed.body


def _nonce(kind: Kind, round_id: int) -> bytes:
    return (round_id << 32 | kind << 24).to_bytes(12, "big")
