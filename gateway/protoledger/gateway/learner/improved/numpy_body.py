"""One step of the improved learner in plain numpy: while the kernels compile, and as their oracle.

`protoledger.gateway.learner.kernels.improved` does the same to the same arrays, bit for bit; sums
run in the order of features or of nearness, never in one that numpy or BLAS chooses.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.state import (
    CONDEMNED,
    CURSOR,
    DRIFT_SHIFT,
    DRIFT_WEALTH,
    DRIFTS,
    ERRORS,
    LEARNT,
    MEMORY,
    MERGE_ROWS,
    SURE,
    SUSPECT,
    TESTED,
    TOO_WRONG,
    WEALTH,
    ImprovedState,
)
from protoledger.gateway.learner.vote import margin_of, measure


def learn(
    state: ImprovedState, x: Floats, y: int, margin: float, squares: Floats, shares: Floats
) -> None:
    """Learn one checked sample.

    Args:
        state: What is changed.
        x: (d,) the sample.
        y: Its class index.
        margin: The wider vote's margin for y.
        squares: (n,) the distances of the sample.
        shares: (n_classes,) the vote on it.
    """
    n = state.count
    own = state.classes[:n] == y
    friend, foe = _nearest(squares, own), _nearest(squares, ~own)
    if n:
        own_margin = margin_of(shares, y)
        margin = min(margin, own_margin)
        _judge_winner(state, int(squares.argmin()), y)
        _watch(state, right=own_margin > 0)
    state.head[LEARNT] += 1
    state.metric.observe(x, y)
    if friend is not None and foe is not None:
        state.metric.learn_relevance(
            x - state.features[:, friend],
            x - state.features[:, foe],
            float(squares[friend]),
            float(squares[foe]),
        )
    if friend is None or margin < SURE:
        state.insert(x, y)
        if state.count > state.capacity:
            _make_room(state)
    else:
        state.wins[friend] += 1
        place = state.features[:, friend]
        place += (x - place) / state.wins[friend]


def _nearest(squares: Floats, wanted: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int | None:
    """Return the row of the least squared distance among the wanted, None where none is."""
    rows = wanted.nonzero()[0]
    return int(rows[squares[rows].argmin()]) if len(rows) else None


def _judge_winner(state: ImprovedState, winner: int, y: int) -> None:
    right = state.classes[winner] == y
    if state.right[winner] == SUSPECT:
        state.right[winner] = 0
        state.wrong[winner] = 0 if right else CONDEMNED
    state.right[winner] *= MEMORY
    state.wrong[winner] *= MEMORY
    if right:
        state.right[winner] += 1
    else:
        state.wrong[winner] += 1


def _watch(state: ImprovedState, *, right: bool) -> None:
    """Bet that errors have become more frequent; at the alarm, suspect and forget."""
    rate = (state.drift[ERRORS] + 1) / (state.drift[TESTED] + 2)
    state.drift[TESTED] += 1
    if right:
        state.drift[WEALTH] = max(1.0, state.drift[WEALTH] * (1 - DRIFT_SHIFT))
        return
    state.drift[ERRORS] += 1
    state.drift[WEALTH] *= 1 + DRIFT_SHIFT * (1 / rate - 1)
    if state.drift[WEALTH] >= DRIFT_WEALTH:
        n = state.count
        state.drift[:] = (0, 0, 1)
        state.head[DRIFTS] += 1
        state.wins[:n], state.right[:n], state.wrong[:n] = 1, SUSPECT, 0
        state.metric.forget()


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
    place = state.features[:, kept]
    place += (state.features[:, gone] - place) * (state.wins[gone] / wins)
    state.wins[kept] = wins
    state.right[kept] += state.right[gone]
    state.wrong[kept] += state.wrong[gone]
    return gone
