"""What a round's answers amount to: sums, or a reason why there are none, and who is to blame.

Functions of a gateway's state and the site's terms; `gateway` acts on what they return.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as attribute

import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.layout import Flags
from protoledger.protocol.code.packed import PackedCode
from protoledger.protocol.errors import DecodeError
from protoledger.protocol.plans import Code
from protoledger.protocol.proofs.judging import Verdict, judge, open_sum
from protoledger.protocol.proofs.proven import ProvenCode
from protoledger.protocol.rounds.states import Given, Opened
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Answer
from protoledger.protocol.wire.terms import Terms


@dataclass(frozen=True)
class Closing:
    """What to do with a round.

    Attributes:
        sums: uint32 of shape (B·L,), see `Schema.symbols`; None: the round fails.
        reason: why, then.
        clean: whether nothing contradicts anything; further answers would change nothing.
        edges: (contributor's number, holder's position) that contradict each other.
        lied: positions whose sums were corrected away though their reports hold.
        unproven: reports by position, on the contributors (by number) that must explain themselves.
        rest: whether a holder gives its position up, as nobody can be named.
        lacking: whether it is answers that the round lacks.
    """

    sums: Symbols | None = attribute(default=None, repr=False)
    reason: str = ""
    clean: bool = False
    edges: tuple[tuple[int, int], ...] = ()
    lied: frozenset[int] = frozenset()
    unproven: Mapping[int, Mapping[int, Symbols]] = attribute(default_factory=dict, repr=False)
    rest: bool = False
    lacking: bool = False


def read_answer(terms: Terms, state: Opened, answer: Answer, number: int) -> Given:
    """Decode a holder's answer.

    Raises:
        DecodeError: if it has not exactly the symbols that the set asks for.
    """
    code, members = state.opening.code, state.members
    unopened = messages.unpack_members(answer.unopened, terms.plan.agents)
    if not unopened <= set(members) - {number}:
        raise DecodeError(f"unopened {sorted(unopened)} are not others of the set")
    reports = None
    if isinstance(code, ProvenCode):
        length = code.report_length
        reports = field.from_bytes(answer.reports, length * len(members)).reshape(-1, length)
    elif answer.reports:
        raise DecodeError("reports, where the code has none")
    sums = None
    if not unopened:
        sums = field.from_bytes(answer.sums, state.symbols)
    elif answer.sums:
        raise DecodeError("sums of a set whose boxes do not all open")
    return Given(unopened, reports, sums)


def summed(terms: Terms, code: Code, declared: Flags) -> int:
    """Return how many symbols a holder's sums have, for a set that declares so."""
    if isinstance(code, PackedCode):
        return int(code.opened_symbols(declared, terms.minimum).sum())
    return int(terms.layout.openable(declared, terms.minimum).sum())


def close(terms: Terms, state: Opened) -> Closing:
    """Make of the answers so far what can be made of them."""
    if isinstance(state.opening.code, ProvenCode):
        return _close_proven(terms, state, state.opening.code)
    return _close_packed(terms, state, state.opening.code)


def _unopened(state: Opened) -> tuple[tuple[int, int], ...]:
    return tuple(
        (number, position)
        for position, given in state.answers.items()
        for number in sorted(given.unopened)
    )


def _laid_out(terms: Terms, state: Opened, sums: Symbols) -> Symbols:
    code, declared = state.opening.code, state.declared
    if isinstance(code, PackedCode):
        opened = code.openable(declared, terms.minimum)
    else:
        opened = terms.layout.openable(declared, terms.minimum)
    counts = terms.layout.counts(declared)
    if terms.noise is not None:
        sums = terms.noise.estimates(sums, opened, counts, state.opening.centre)
    return terms.schema.symbols(sums, opened, counts)


def _close_packed(terms: Terms, state: Opened, code: PackedCode) -> Closing:
    sums = {j: given.sums for j, given in state.answers.items() if given.sums is not None}
    edges = _unopened(state)
    if len(sums) < code.quorum:
        reason = f"{len(sums)} of {code.quorum} needed holders sent their sums"
        return Closing(reason=reason, edges=edges, lacking=not edges)
    opened = code.open(sums, state.declared, terms.minimum)
    return Closing(_laid_out(terms, state, opened), clean=not edges, edges=edges)


def _close_proven(terms: Terms, state: Opened, code: ProvenCode) -> Closing:
    answers, members = state.answers, state.members
    needed = code.quorum + code.collusion
    if len(answers) < needed:
        reason = f"{len(answers)} of {needed} needed holders answered"
        return Closing(reason=reason, edges=_unopened(state), lacking=True)
    verdicts = _judge(state, code)
    edges = list(_unopened(state))
    for number, verdict in zip(members, verdicts, strict=True):
        edges += [(number, position) for position in sorted(verdict.off)]
    unproven = {
        number: _reports_on(state, row)
        for row, (number, verdict) in enumerate(zip(members, verdicts, strict=True))
        if not verdict.proven and verdict.enough
    }
    bad = sorted(n for n, verdict in zip(members, verdicts, strict=True) if not verdict.proven)
    if bad:
        names = ", ".join(str(number) for number in bad)
        reason = f"the contributions of agents {names} could not be proven"
        return Closing(reason=reason, edges=tuple(edges), unproven=unproven)
    # A holder adds up the shares that it reports on. Where a report is off, the sum is off too,
    # also an honest holder's: it would vouch for what the contributor gave to it alone.
    misled = {position for verdict in verdicts for position in verdict.off}
    given_sums = {j: given.sums for j, given in answers.items() if j not in misled}
    sums = {j: one for j, one in given_sums.items() if one is not None}
    opened = open_sum(code.quorum, sums, code.collusion)
    if opened is None:
        enough = len(sums) >= needed
        reason = "the sums of holders contradict each other" if enough else "too few sums"
        return Closing(reason=reason, edges=tuple(edges), rest=enough and not edges)
    named = {position for _, position in edges}
    clean = not edges and not opened.off
    laid_out = _laid_out(terms, state, opened.sums)
    lied = opened.off - named
    return Closing(laid_out, clean=clean, edges=tuple(edges), lied=lied)


def _judge(state: Opened, code: ProvenCode) -> list[Verdict]:
    rows = {number: row for row, number in enumerate(state.members)}
    reports = {j: given.reports for j, given in state.answers.items() if given.reports is not None}
    seats = {rows[n]: position for n, position in state.opening.seats.items() if n in rows}
    missing: dict[int, frozenset[int]] = {}
    for number, position in _unopened(state):
        missing[rows[number]] = missing.get(rows[number], frozenset()) | {position}
    return judge(code, reports, seats, missing, code.collusion - 1)


def _reports_on(state: Opened, row: int) -> dict[int, Symbols]:
    number = state.members[row]
    own = state.opening.seats.get(number)
    return {
        position: np.array(given.reports[row])
        for position, given in state.answers.items()
        if given.reports is not None and position != own and number not in given.unopened
    }
