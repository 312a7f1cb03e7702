"""How both parties read an announce."""

from types import MappingProxyType

from protoledger.protocol.errors import ConfigurationError, DecodeError, RefusedError
from protoledger.protocol.rounds.states import Opening
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import MARK_BYTES, Announce
from protoledger.protocol.wire.sealing import mark_of
from protoledger.protocol.wire.terms import Terms


def open_round(announce: Announce, present: frozenset[int], signed: bytes, terms: Terms) -> Opening:
    """Read an announce as every party of the site does.

    Raises:
        DecodeError: if marks, hellos or holders do not fit who is present.
        RefusedError: if there are too few holders, or too many.
    """
    numbers = sorted(present)
    if len(announce.marks) != MARK_BYTES * len(numbers):
        raise DecodeError(f"{len(numbers)} present, marks of {len(announce.marks)} bytes")
    marks = {
        number: announce.marks[MARK_BYTES * row : MARK_BYTES * (row + 1)]
        for row, number in enumerate(numbers)
    }
    owners = {mark: number for number, mark in marks.items()}
    carried = {owners.get(mark_of(hello), -1): hello for hello in announce.hellos}
    if len(carried) != len(announce.hellos) or -1 in carried:
        raise DecodeError("hellos are not distinct ones that the announce names")
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
    return Opening(
        announce=announce,
        digest=digest,
        signed=signed,
        present=present,
        marks=MappingProxyType(marks),
        hellos=MappingProxyType(carried),
        seats=MappingProxyType(seats),
        code=code,
    )
