"""Evidence that a gateway contradicts itself, which anyone with the roster can check.

An honest gateway announces a round once and delivers one set for an announce. Two signed announces
of one session and round that differ, or two signed sets for one announce that differ, cannot both
be an honest gateway's: an agent that is shown both keeps them (`errors.EquivocationError`).
"""

from protoledger.protocol.errors import DecodeError, RefusedError
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.messages import Announce, CentredAnnounce, Delivered, Kind, Signed
from protoledger.protocol.wire.sealing import open_signed


def check_evidence(roster: Roster, first: bytes, second: bytes) -> str:
    """Say what two signed messages prove.

    Args:
        roster: of the site.
        first: a `Signed` envelope, as its bytes.
        second: another.

    Returns:
        A sentence.

    Raises:
        DecodeError, AuthenticationError: if one is not the gateway's.
        RefusedError: if they do not contradict each other.
    """
    kinds = [messages.decode(data, Signed).kind for data in (first, second)]
    gateway = roster.gateway.id
    bodies = [
        open_signed(roster, data, kind, gateway)
        for data, kind in zip((first, second), kinds, strict=True)
    ]
    if kinds == [Kind.ANNOUNCE, Kind.ANNOUNCE]:
        one, other = map(_announce, bodies)
        same = (one.session, one.round_id) == (other.session, other.round_id)
        if same and one != other:
            return f"{gateway} announced round {one.round_id} twice, differently"
    if kinds == [Kind.DELIVER, Kind.DELIVER]:
        a, b = (messages.decode(body, Delivered) for body in bodies)
        if a.announce == b.announce and a != b:
            return f"{gateway} delivered two sets for round {a.round_id}"
    raise RefusedError("two messages that contradict each other", "none such")


def _announce(body: bytes) -> Announce:
    """Decode an announce, of a site whose values are clipped or not."""
    try:
        return messages.decode(body, Announce)
    except DecodeError:
        return messages.decode(body, CentredAnnounce)
