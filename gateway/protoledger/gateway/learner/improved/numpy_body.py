"""One step of the improved learner in plain numpy: while the kernels compile, and as their oracle.

`protoledger.gateway.learner.kernels.improved` does the same to the same arrays, bit for bit; sums
run in the order of features or of nearness, never in one that numpy or BLAS chooses.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.look import remember, settle_bets
from protoledger.gateway.learner.improved.state import (
    BET,
    CURSOR,
    DRIFT_SHIFT,
    DRIFT_WEALTH,
    DRIFTS,
    ERRORS,
    LAST_LABEL,
    LEARNT,
    MEMORY,
    MERGE_ROWS,
    PROTOTYPES,
    RUN,
    SETTLED,
    SURE,
    TESTED,
    TOO_WRONG,
    VOTERS,
    WEALTH,
    ImprovedState,
)
from protoledger.gateway.learner.vote import margin_of, measure


def learn(state: ImprovedState, x: Floats, y: int, margin: float) -> None:
    """Learn one checked sample that was looked at last.

    Args:
        state: What is changed.
        x: (d,) the sample, NaN where it lacks a feature.
        y: Its class index.
        margin: The wider vote's margin for y.
    """
    n = state.count
    squares = state.squares[:n]
    own = state.classes[:n] == y
    friend, foe = _nearest(squares, own), _nearest(squares, ~own)
    _count_run(state, y)
    refuted = list[int]()
    if n:
        own_margin = margin_of(state.shares[PROTOTYPES], y)
        margin = min(margin, own_margin)
        settle_bets(state, y)
        refuted = _settle_suspects(state, y)
        if _watch(state, right=own_margin > 0):
            refuted = []
    state.head[LEARNT] += 1
    state.metric.observe(x, y)
    if friend is not None and foe is not None:
        state.metric.learn_relevance(
            x - state.features[:, friend],
            x - state.features[:, foe],
            float(squares[friend]),
            float(squares[foe]),
        )
    for row in sorted(refuted, reverse=True):
        state.remove(row)
        if friend == state.count:  # the last has taken that row
            friend = row
    if friend is None or margin < SURE:
        state.insert(x, y)
        if state.count > state.capacity:
            _make_room(state)
    else:
        state.wins[friend] += 1
        place = state.features[:, friend]
        _move(place, x, (x - place) / state.wins[friend])
    remember(state, x, y)


def _nearest(squares: Floats, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """Return the row of the least squared distance among the wanted, None where none is."""
    rows = wanted.nonzero()[0]
    return int(rows[squares[rows].argmin()]) if len(rows) else None


def _count_run(state: ImprovedState, y: int) -> None:
    if state.head[LAST_LABEL] != y:
        state.head[LAST_LABEL] = y
        state.head[RUN] = state.head[BET] = 0
    state.head[RUN] += 1


def _settle_suspects(state: ImprovedState, y: int) -> list[int]:
    """Clear or refute suspects among the nearest; count a win of a nearest that was none.

    Returns:
        Rows of prototypes that are refuted, to be removed.
    """
    rows = state.rows[: min(int(state.head[VOTERS]), SETTLED)]
    if len(rows) and not state.suspect[rows[0]]:
        _judge_winner(state, int(rows[0]), y)
    suspects = [int(row) for row in rows if state.suspect[row]]
    for row in suspects:
        if state.classes[row] == y:
            state.suspect[row] = 0
    return [row for row in suspects if state.classes[row] != y]


def _judge_winner(state: ImprovedState, winner: int, y: int) -> None:
    state.right[winner] *= MEMORY
    state.wrong[winner] *= MEMORY
    if state.classes[winner] == y:
        state.right[winner] += 1
    else:
        state.wrong[winner] += 1


def _watch(state: ImprovedState, *, right: bool) -> bool:
    """Bet that errors have become more frequent, one error a run of equal labels.

    Returns:
        Whether this was the alarm: then all prototypes are suspects, and the metric has forgotten.
    """
    if not right and state.head[BET]:
        return False
    rate = (state.drift[ERRORS] + 1) / (state.drift[TESTED] + 2)
    state.drift[TESTED] += 1
    if right:
        state.drift[WEALTH] = max(1.0, state.drift[WEALTH] * (1 - DRIFT_SHIFT))
        return False
    state.head[BET] = 1
    state.drift[ERRORS] += 1
    state.drift[WEALTH] *= 1 + DRIFT_SHIFT * (1 / rate - 1)
    if state.drift[WEALTH] < DRIFT_WEALTH:
        return False
    n = state.count
    state.drift[:] = (0, 0, 1)
    state.head[DRIFTS] += 1
    state.suspect[:n], state.right[:n], state.wrong[:n] = 1, 0, 0
    state.metric.forget()
    return True


def _move(place: Floats, to: Floats, step: Floats) -> None:
    """Move a prototype by a step towards a point; what only one of the two has is that one's."""
    place[:] = np.where(np.isnan(place), to, np.where(np.isnan(to), place, place + step))


def _make_room(state: ImprovedState) -> None:
    n = state.count
    excess = state.wrong[:n] - state.right[:n]
    worst = int(excess.argmax())
    if excess[worst] > TOO_WRONG:
        state.remove(worst)
        return
    pair = _cheapest_merger(state)
    # More capacity than classes, so two of one class exist; the rows looked at may hold none.
    state.remove(int(state.wins[:n].argmin()) if pair is None else _merge(state, *pair))


def _cheapest_merger(state: ImprovedState) -> tuple[int, int] | None:
    n = state.count
    best, pair = np.inf, None
    for _ in range(MERGE_ROWS):
        state.head[CURSOR] = row = int((state.head[CURSOR] + 1) % n)
        others = np.flatnonzero(state.classes[:n] == state.classes[row])
        others = others[others != row]
        if not len(others):
            continue
        apart = measure(state.features[:, others], state.metric.weights, state.features[:, row])
        wins = state.wins[others]
        costs = apart * (wins / (wins + state.wins[row]))
        cheapest = int(costs.argmin())
        cost = float(costs[cheapest] * state.wins[row])
        if cost < best:
            best, pair = cost, (row, int(others[cheapest]))
    return pair


def _merge(state: ImprovedState, kept: int, gone: int) -> int:
    """Move all of `gone` into `kept`; return `gone`, which is to be removed."""
    wins = state.wins[kept] + state.wins[gone]
    place, other = state.features[:, kept], state.features[:, gone]
    _move(place, other, (other - place) * (state.wins[gone] / wins))
    state.wins[kept] = wins
    state.right[kept] += state.right[gone]
    state.wrong[kept] += state.wrong[gone]
    state.suspect[kept] &= state.suspect[gone]
    return gone
