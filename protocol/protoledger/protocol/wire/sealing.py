"""Sessions and the seal between two parties (X25519 → HKDF → ChaCha20-Poly1305).

A process makes an ephemeral X25519 key and a nonce when it starts and publishes both, signed by its
identity. Each direction of each pair has its own key; both are derived from the exchange, the
roster's hash, both session nonces, both names and the epoch, so that neither a restart nor an
identity key that leaks later opens or repeats anything. The epoch is the nonce of the gateway's
session: a gateway that lost its store counts rounds from 1 again, and must not make two agents
repeat a cipher nonce. That nonce is (round, kind): a key seals each of them once, and the sender
refuses to do it twice.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protoledger.protocol.errors import AuthenticationError, RefusedError
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity, Roster, verify
from protoledger.protocol.wire.messages import (
    MARK_BYTES,
    TAG_BYTES,
    VERSION,
    Kind,
    Octets,
    Payload,
    Sealed,
    SessionKey,
    Signed,
)

_KEY_DOMAIN = b"protoledger seal v2\0"
_SIGN_DOMAIN = b"protoledger message v1\0"


@dataclass(frozen=True)
class _Keys:
    outward: ChaCha20Poly1305 = field(repr=False)
    inward: ChaCha20Poly1305 = field(repr=False)


@dataclass
class _Peer:
    session: bytes
    shared: bytes = field(repr=False)
    keys: dict[bytes, _Keys] = field(default_factory=dict, repr=False)


def _signed_bytes(site: str, kind: Kind, sender: str, body: bytes) -> bytes:
    return _SIGN_DOMAIN + messages.encode([int(kind), site, sender, body])


class Session:
    """One party's keys towards everyone in the roster, for as long as its process runs."""

    def __init__(self, me: str, identity: Identity, roster: Roster) -> None:
        self.me = me
        self.roster = roster
        self.nonce = secrets.token_bytes(16)
        self._identity = identity
        self._key = X25519PrivateKey.generate()
        self._peers: dict[str, _Peer] = {}
        # Outlives a peer's session: a broker that repeats old hellos must not reset it.
        self._last_sealed: dict[tuple[bytes, str, int], int] = {}

    def __repr__(self) -> str:
        return f"Session({self.me!r}, {len(self._peers)} peers)"

    def hello(self) -> bytes:
        """Return the signed session key to publish retained."""
        public = self._key.public_key().public_bytes_raw()
        return self.sign(Kind.KEY, SessionKey(self.roster.digest, self.nonce, public))

    def sign(
        self, kind: Kind, body: SessionKey | messages.Announce | messages.Include | messages.Result
    ) -> bytes:
        """Wrap a body in a `Signed` envelope."""
        data = messages.encode(body)
        signature = self._identity.sign(_signed_bytes(self.roster.site, kind, self.me, data))
        return messages.encode(Signed(VERSION, kind, self.me, data, signature))

    def check(self, data: Payload, kind: Kind, sender: str) -> bytes:
        """Open a `Signed` envelope and return its body.

        Raises:
            DecodeError: if it is malformed.
            AuthenticationError: if it is of another kind or sender than the topic says, the sender
                is not in the roster, or the signature does not hold.
        """
        signed = messages.decode(data, Signed)
        if (signed.kind, signed.sender) != (kind, sender):
            raise AuthenticationError(
                f"the topic says {kind.name} by {sender}, "
                f"the message {signed.kind.name} by {signed.sender}"
            )
        public_key = self.roster.public_keys.get(sender)
        if public_key is None:
            raise AuthenticationError(f"{sender} is not in the roster of {self.roster.site}")
        signature_over = _signed_bytes(self.roster.site, kind, sender, signed.body)
        verify(public_key, signature_over, signed.signature)
        return signed.body

    def meet(self, sender: str, data: Payload) -> bool:
        """Take a peer's hello; derive the pair's keys. True if it is a session not yet known.

        Raises:
            DecodeError, AuthenticationError: if the hello does not hold, or is of another roster.
        """
        body = messages.decode(self.check(data, Kind.KEY, sender), SessionKey)
        if body.roster != self.roster.digest:
            raise AuthenticationError(f"{sender} has another roster than {self.me}")
        known = self._peers.get(sender)
        if sender == self.me or (known and known.session == body.nonce):
            return False
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(body.public_key))
        except ValueError as error:  # a point of low order
            raise AuthenticationError(f"{sender} published a bad session key") from error
        self._peers[sender] = _Peer(body.nonce, shared)
        return True

    def _keys(self, name: str, peer: _Peer, epoch: bytes) -> _Keys:
        keys = peer.keys.get(epoch)
        if keys is None:
            pair = sorted([(self.me, self.nonce), (name, peer.session)])
            info = _KEY_DOMAIN + messages.encode([*pair, epoch])
            both = HKDF(SHA256(), 64, self.roster.digest, info).derive(peer.shared)
            first, second = ChaCha20Poly1305(both[:32]), ChaCha20Poly1305(both[32:])
            keys = _Keys(first, second) if pair[0][0] == self.me else _Keys(second, first)
            if len(peer.keys) > 1:  # the present epoch, and the last for messages under way
                del peer.keys[next(iter(peer.keys))]
            peer.keys[epoch] = keys
        return keys

    def knows(self, peer: str) -> bool:
        """Whether a peer's session key is here."""
        return peer in self._peers

    def session_of(self, peer: str) -> bytes | None:
        """Return the nonce of a peer's session, or None."""
        known = self._peers.get(peer)
        return known.session if known else None

    def marks(self, peers: Iterable[str]) -> bytes:
        """Return the marks of known peers' sessions, one after the other."""
        return b"".join(self._peers[peer].session[:MARK_BYTES] for peer in peers)

    def seal(
        self, receiver: str, kind: Kind, round_id: int, *, epoch: bytes, bound: bytes, plain: Octets
    ) -> bytearray:
        """Seal a body for one peer.

        Args:
            receiver: the peer.
            kind: of the message.
            round_id: of the round.
            epoch: nonce of the gateway's session.
            bound: hash of the announce or include that the message answers.
            plain: the body.

        Raises:
            RefusedError: if the peer is unknown, or the round is not newer than the last that was
                sealed for it in this epoch (the cipher's nonce would repeat).
        """
        peer = self._peers.get(receiver)
        if peer is None:
            raise RefusedError(f"a session key of {receiver}", "none yet")
        once = epoch, receiver, int(kind)
        last = self._last_sealed.get(once, 0)
        if round_id <= last:
            raise RefusedError(f"a {kind.name} of a round after {last}", f"round {round_id}")
        self._last_sealed[once] = round_id
        header = self._header(kind, round_id, self.me, receiver, bound)
        keys = self._keys(receiver, peer, epoch)
        payload, box = messages.frame(kind, round_id, self.me, receiver, len(plain) + TAG_BYTES)
        keys.outward.encrypt_into(_nonce(kind, round_id), plain, header, box)
        return payload

    def open(self, sealed: Sealed, *, epoch: bytes, bound: bytes) -> bytes:
        """Open what a peer sealed for us; `epoch` and `bound` as in `seal`.

        Raises:
            AuthenticationError: if it is not for us, of an unknown or former session, or changed.
        """
        peer = self._peers.get(sealed.sender)
        if peer is None or sealed.receiver != self.me:
            raise AuthenticationError(
                f"{sealed.kind.name} from {sealed.sender} to {sealed.receiver} "
                f"is not for this session"
            )
        header = self._header(sealed.kind, sealed.round_id, sealed.sender, self.me, bound)
        keys = self._keys(sealed.sender, peer, epoch)
        try:
            return keys.inward.decrypt(_nonce(sealed.kind, sealed.round_id), sealed.box, header)
        except InvalidTag as error:
            raise AuthenticationError(
                f"{sealed.kind.name} of round {sealed.round_id} from {sealed.sender}: "
                f"the seal does not hold (changed, or of another session, round or set)"
            ) from error

    def _header(self, kind: Kind, round_id: int, source: str, target: str, bound: bytes) -> bytes:
        fields = [VERSION, int(kind), self.roster.site, round_id, source, target, bound]
        return messages.encode(fields)


def _nonce(kind: Kind, round_id: int) -> bytes:
    return (round_id << 32 | kind << 24).to_bytes(12, "big")
