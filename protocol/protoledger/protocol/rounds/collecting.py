"""What boxes must be to count, and what an explanation shows."""

from protoledger.protocol.code import field
from protoledger.protocol.errors import DecodeError, RefusedError
from protoledger.protocol.proofs.judging import contradicted
from protoledger.protocol.proofs.proven import ProvenCode
from protoledger.protocol.rounds.states import Debt, Opening
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import TAG_BYTES, Boxes, Explanation
from protoledger.protocol.wire.terms import Terms


def check_boxes(terms: Terms, opening: Opening, number: int, boxes: Boxes) -> None:
    """Refuse what a round cannot use.

    Raises:
        DecodeError: if there is not one box of the right size for each position but the agent's
            own, or the declared bits are malformed.
    """
    size = 4 * opening.code.share_length + TAG_BYTES
    sizes = [size] * len(opening.seats)
    if (own := opening.seats.get(number)) is not None:
        sizes[own] = 0
    if list(map(len, boxes.boxes)) != sizes:
        raise DecodeError(f"boxes of agent {number} are not {len(sizes)} of {size} bytes")
    terms.layout.unpack_declared(boxes.declared)


def read_lacking(terms: Terms, opening: Opening, number: int, boxes: Boxes) -> frozenset[int]:
    """Read whose hellos an agent lacks.

    Raises:
        DecodeError: if it shares nevertheless, or these are not others of those present.
        RefusedError: if the announce carries one of these.
    """
    lacking = messages.unpack_members(boxes.lacking, terms.plan.agents)
    others = opening.present - {number}
    if boxes.boxes or boxes.declared or not others.issuperset(lacking):
        raise DecodeError(f"agent {number} lacks hellos, and shares or is wrong about whose")
    if carried := lacking & opening.hellos.keys():
        raise RefusedError("an agent that takes what the announce carries", f"{sorted(carried)}")
    return lacking


def settle(debt: Debt, given: Explanation | None) -> frozenset[int]:
    """Hold the reports on a contribution against its owner's explanation.

    Returns:
        The positions whose reports contradict it.

    Raises:
        RefusedError: if it does not explain that round.
        DecodeError: if it is malformed.
    """
    code, asked = debt.code, debt.asked
    if given is None or given.round_id != asked.round_id or not isinstance(code, ProvenCode):
        raise RefusedError(f"an explanation of round {asked.round_id}", "none")
    coefficients = field.from_bytes(given.coefficients, code.explanation_length)
    return contradicted(code, coefficients, debt.reports)
