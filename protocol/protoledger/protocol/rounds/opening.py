"""How both parties read an announce."""

from types import MappingProxyType

from protoledger.protocol.errors import ConfigurationError, DecodeError, RefusedError
from protoledger.protocol.rounds.states import Opening
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import MARK_BYTES, Announce
from protoledger.protocol.wire.terms import Terms


def open_round(announce: Announce, present: frozenset[int], signed: bytes, terms: Terms) -> Opening:
    """Read an announce as every party of the site does.

    Raises:
        DecodeError: if marks or holders do not fit who is present.
        RefusedError: if there are too few holders, or too many.
    """
    numbers = sorted(present)
    if len(announce.marks) != MARK_BYTES * len(numbers):
        raise DecodeError(f"{len(numbers)} present, marks of {len(announce.marks)} bytes")
    marks = {
        number: announce.marks[MARK_BYTES * row : MARK_BYTES * (row + 1)]
        for row, number in enumerate(numbers)
    }
    seats = {number: position for position, number in enumerate(announce.holders)}
    if len(seats) != len(announce.holders) or not present.issuperset(seats):
        raise DecodeError(f"holders {announce.holders} are not distinct agents that are present")
    if len(seats) > terms.plan.committee or any(n >= terms.plan.candidates for n in seats):
        raise RefusedError(f"a committee of {terms.plan.committee}", f"{announce.holders}")
    try:
        code = terms.code(len(seats))
    except ConfigurationError as error:
        raise RefusedError("enough holders for the plan", str(error)) from error
    digest = messages.digest(announce)
    fixed = MappingProxyType(seats)
    return Opening(announce, digest, signed, present, MappingProxyType(marks), fixed, code)
