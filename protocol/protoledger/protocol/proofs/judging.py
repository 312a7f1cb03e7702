"""What the gateway makes of the holders' answers: valid or not, which holders are off, the sums.

With a liars that may help a contributor, a contribution passes only if its reports, corrected by e,
come from at least q + e + a holders other than its owner: fewer agree with some valid polynomial
whatever was shared. A sum is accepted from q + a answers and corrected by at most
min(⌊(A − q)/2⌋, A − q − a): what a liars make up together is then never taken for the sum.

A contributor that is a holder too does not report on itself. The quick check takes its place for
an error at a known point; what fails it is looked at one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from protoledger.protocol.code.correction import Positions, at_zero, fits, locate, parity
from protoledger.protocol.code.field import P, Symbols
from protoledger.protocol.code.points import points
from protoledger.protocol.proofs.challenge import ROWS
from protoledger.protocol.proofs.proven import ProvenCode


@dataclass(frozen=True)
class Verdict:
    """Whether a contribution is proven valid, and which positions' reports contradict it.

    Without proof nothing is known of `off`: too few reported (`enough` is then false), or too many
    contradict each other.
    """

    proven: bool
    off: frozenset[int] = frozenset()
    enough: bool = True


@dataclass(frozen=True)
class CorrectedSum:
    """Sums by opened coordinate, and the positions whose answers were corrected away."""

    sums: Symbols = field(repr=False)
    off: frozenset[int]


def judge(
    code: ProvenCode,
    reports: Mapping[int, Symbols],
    seats: Mapping[int, int],
    missing: Mapping[int, frozenset[int]],
    liars: int,
) -> list[Verdict]:
    """Judge all contributions of a set.

    Args:
        code: of the round.
        reports: by position, uint32 of shape (n, 2·ROWS), a row for each contributor.
        seats: by contributor's row, the position that it holds itself, if any.
        missing: by contributor's row, positions that could not open its box; their rows count for
            nothing.
        liars: a, that may help a contributor: T − 1.

    Returns:
        A verdict for each row.
    """
    positions = tuple(sorted(reports))
    if not positions:
        return []
    table = np.array([reports[j] for j in positions])
    count = table.shape[1]
    suspects = [n for n in range(count) if missing.get(n)]
    verdicts = [Verdict(proven=True)] * count
    if len(positions) - 1 >= code.quorum + liars:
        quick = np.flatnonzero(_suspicious(code, positions, table, seats)).tolist()
        suspects = sorted({*suspects, *quick})
    else:
        suspects = list(range(count))
    for n in suspects:
        without = {seats.get(n, -1), *missing.get(n, frozenset())}
        others = tuple(j for j in positions if j not in without)
        rows = [positions.index(j) for j in others]
        verdicts[n] = _judge_one(code, others, table[rows, n], liars)
    return verdicts


def _kinds(code: ProvenCode) -> list[tuple[slice, int, bool]]:
    """The columns of R and Z, their free coefficients, and whether they are zero at zero."""
    return [
        (slice(0, ROWS), code.collusion + 1, False),
        (slice(ROWS, 2 * ROWS), code.quorum - 1, True),
    ]


def _suspicious(
    code: ProvenCode, positions: Positions, table: Symbols, seats: Mapping[int, int]
) -> NDArray[np.bool_]:
    """Find contributors whose reports do not lie on valid polynomials, all at once.

    Parity symbols s of values with one error at the point a obey s[e + 1] = a·s[e].
    """
    count = table.shape[1]
    bad = np.zeros(count, dtype=bool)
    at = points(code.positions)
    own = np.array([at[seats[n]] if n in seats else 0 for n in range(count)], dtype=np.int64) % P
    reports = np.array([seats.get(n, -1) in positions for n in range(count)])
    for columns, free, zero in _kinds(code):
        check = parity(positions, free, zero=zero)
        if check is None:
            return np.ones(count, dtype=bool)
        flat = np.ascontiguousarray(table[:, :, columns].reshape(len(positions), -1))
        parities = check(flat).reshape(-1, count, ROWS).astype(np.int64)
        step = (parities[:-1] * own[:, None] - parities[1:]) % P
        bad |= np.where(reports, step.any(axis=(0, 2)), parities.any(axis=(0, 2)))
    return bad


def _judge_one(code: ProvenCode, others: Positions, values: Symbols, liars: int) -> Verdict:
    count = len(others)
    errors = min((count - code.quorum + 1) // 2, count - code.quorum - liars)
    if errors < 0:
        return Verdict(proven=False, enough=False)
    found: frozenset[int] = frozenset()
    for columns, free, zero in _kinds(code):
        off = locate(others, values[:, columns], free, errors, zero=zero)
        if off is None:
            return Verdict(proven=False)
        found |= off
    return Verdict(proven=True, off=found) if len(found) <= errors else Verdict(proven=False)


def contradicted(
    code: ProvenCode, explanation: Symbols, reports: Mapping[int, Symbols]
) -> frozenset[int]:
    """Return the positions whose report on a contributor is not what it explains itself by.

    Args:
        code: of that round.
        explanation: `ProvenCode.explain` as it came from the contributor.
        reports: by position, uint32 of shape (2·ROWS,).
    """
    split = ROWS * (code.collusion + 1)
    r = explanation[:split].reshape(-1, ROWS).astype(object)
    z = explanation[split:].reshape(-1, ROWS).astype(object)
    at = points(code.positions)
    off = set()
    for position, report in reports.items():
        a = at[position]
        low = [pow(a, k, P) for k in range(len(r))]
        high = [pow(a, k, P) for k in range(1, len(z) + 1)]
        expected = [*_combine(low, r), *_combine(high, z)]
        if expected != report.tolist():
            off.add(position)
    return frozenset(off)


def _combine(factors: list[int], rows: NDArray[np.object_]) -> list[int]:
    """Return Σ factor · row modulo p, in Python's integers."""
    columns = range(rows.shape[1])
    pairs = list(zip(factors, rows.tolist(), strict=True))
    return [sum(f * row[c] for f, row in pairs) % P for c in columns]


def open_sum(quorum: int, answers: Mapping[int, Symbols], liars: int) -> CorrectedSum | None:
    """Decode the sums of a set.

    Args:
        quorum: q.
        answers: by position, one symbol for each opened coordinate.
        liars: a, that may make up a sum together: T.

    Returns:
        The sums; None if there are too few answers, or they contradict each other too much.
    """
    positions = tuple(sorted(answers))
    spare = len(positions) - quorum
    if spare < liars:
        return None
    table = np.array([answers[j] for j in positions])
    if not table.shape[1]:
        return CorrectedSum(np.zeros(0, dtype=np.uint32), frozenset())
    off: frozenset[int] | None = frozenset()
    if not fits(positions, table, quorum):
        off = locate(positions, table, quorum, min(spare // 2, spare - liars))
    if off is None:
        return None
    good = tuple(j for j in positions if j not in off)[:quorum]
    chosen = np.array([answers[j] for j in good])
    return CorrectedSum(at_zero(good)(chosen)[0], off)
