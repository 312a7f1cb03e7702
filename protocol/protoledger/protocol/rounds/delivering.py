"""What a gateway sends to the holders once the set is fixed."""

from collections.abc import Iterator, Mapping

from protoledger.protocol.rounds.states import Opening, Send
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Boxes, Delivered, Delivery, Kind, Signed
from protoledger.protocol.wire.sealing import Session


class Deliveries:
    """The set of a round, signed, and a sealed delivery for each of its holders.

    Args:
        session: the gateway's.
        opening: the round.
        rho: ρ.
        boxes: by number, of the set.
    """

    def __init__(
        self, session: Session, opening: Opening, rho: bytes, boxes: Mapping[int, Boxes]
    ) -> None:
        self.members = tuple(sorted(boxes))
        self._session, self._opening = session, opening
        self._rho, self._boxes = rho, boxes
        self._packed = messages.pack_members(frozenset(self.members))
        self._bits = b"".join(boxes[n].declared for n in self.members)
        self._said = Delivered(opening.announce.round_id, opening.digest, self._packed, self._bits)

    @property
    def declared(self) -> bytes:
        """What the members declare, one after the other, packed."""
        return self._bits

    @property
    def digest(self) -> bytes:
        """The set digest, which answers are bound to."""
        return messages.digest(self._said)

    def sends(self, there: frozenset[int]) -> Iterator[Send]:
        """Yield the deliveries for the positions whose holders are there."""
        signed = messages.decode(self._session.sign(Kind.DELIVER, self._said), Signed)
        by_position = list(zip(*(self._boxes[n].boxes for n in self.members), strict=True))
        for holder, position in self._opening.seats.items():
            if position in there:
                mine = by_position[position]
                body = Delivery(signed.signature, self._packed, self._bits, self._rho, mine)
                yield self._sealed(holder, messages.encode(body))

    def _sealed(self, holder: int, plain: bytes) -> Send:
        opening, name = self._opening, self._session.roster.agents[holder].id
        payload = self._session.seal(
            name,
            opening.marks[holder],
            Kind.DELIVER,
            opening.announce.round_id,
            epoch=opening.announce.session,
            bound=opening.digest,
            plain=plain,
        )
        return Send(Kind.DELIVER, payload, name)
