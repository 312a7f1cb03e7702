"""How both parties read an announce, and a holder the boxes of its round."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    RefusedError,
)
from protoledger.protocol.rounds.states import Opening
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import MARK_BYTES, Announce
from protoledger.protocol.wire.sealing import Session, mark_of
from protoledger.protocol.wire.terms import Terms


def open_round(
    announce: Announce,
    present: frozenset[int],
    signed: bytes,
    terms: Terms,
    centre: tuple[int, ...] = (),
) -> Opening:
    """Read an announce as every party of the site does; the gateway knows its centre.

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
    if len(seats) > terms.plan.committee or max(seats, default=0) >= terms.plan.candidates:
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
        centre=centre,
    )


def open_boxes(
    session: Session,
    opening: Opening,
    boxes: Mapping[int, bytes],
    declared: bytes,
    known: Mapping[int, bytes],
) -> tuple[Symbols, set[int]]:
    """Open the boxes of a set, in one table.

    Args:
        session: the holder's.
        opening: the round.
        boxes: by number, ascending.
        declared: what their owners declare, one after the other.
        known: shares that came in no box: the holder's own.

    Returns:
        uint32 of shape (n, share_length), a row for each box; and whose box does not open under the
        key that its owner has published, or holds no symbols: their rows are zero.
    """
    width, size = len(declared) // max(1, len(boxes)), 4 * opening.code.share_length
    announce, agents = opening.announce, session.roster.agents
    plains, unopened = [bytes(size)] * len(boxes), set[int]()
    for row, (number, box) in enumerate(boxes.items()):
        if number in known:
            plains[row] = known[number]
            continue
        try:
            plain = session.open_box(
                agents[number].id,
                opening.marks[number],
                announce.round_id,
                box,
                epoch=announce.session,
                bound=opening.digest + declared[row * width : (row + 1) * width],
            )
        except AuthenticationError:
            plain = b""
        if len(plain) == size:
            plains[row] = plain
        else:
            unopened.add(number)
    # all at once: a call for each would cost more than opening them
    table = field.words(b"".join(plains)).reshape(len(boxes), -1)
    if int(table.max(initial=0)) < field.P:
        return table, unopened
    bad = table.max(axis=1) >= field.P
    unopened.update(number for number, off in zip(boxes, bad, strict=True) if off)
    return np.where(bad[:, None], np.uint32(0), table), unopened
