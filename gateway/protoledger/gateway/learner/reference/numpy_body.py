"""One step of the reference learner in plain numpy: while the kernels compile, and as their oracle.

`protoledger.gateway.learner.kernels.reference` does the same to the same arrays, bit for bit.
"""

import numpy as np

from protoledger.gateway.learner.base import NEAREST, Floats
from protoledger.gateway.learner.reference.state import (
    AGE,
    AGE_OLD,
    DEGREE,
    GAMMA,
    RUNNER_SHARE,
    SAMPLES,
    XuState,
)
from protoledger.gateway.learner.vote import measure, nearest


def vote(state: XuState, squares: Floats) -> int:
    """Write each class's share of the votes of the 5 nearest, each weighing 1/distance.

    A prototype at distance 0 decides alone.

    Returns:
        The class with the most votes, of equal ones the one that voted first; −1 for none.
    """
    shares, rows = state.shares, nearest(squares, NEAREST)
    shares[:] = 0
    state.rows[: len(rows)] = rows  # a kernel may learn the sample that was looked at here
    if not len(rows):
        return -1
    labels, best = state.classes[rows].tolist(), squares[rows[0]]
    if best == 0:
        shares[labels[0]] = 1
        return int(labels[0])
    total = 0.0
    # Relative to the nearest, so that no vote overflows.
    for label, strength in zip(labels, np.sqrt(best / squares[rows]).tolist(), strict=True):
        shares[label] += strength
        total += strength
    shares /= total
    return int(max(labels, key=shares.__getitem__))


def learn(state: XuState, x: Floats, y: int, squares: Floats) -> None:
    """Learn one checked sample whose distances are known; there is room for what it may add."""
    state.head[SAMPLES] += 1
    if state.count <= 2:  # the first three samples are inserted whatever their class
        state.insert(x, y)
        return
    winner, runner_up = nearest(squares, 2).tolist()
    if (
        not state.seen[y]
        # a prototype without edges has a threshold of NaN: nothing is beyond that
        or np.sqrt(squares[winner]) > _threshold(state, winner)
        or np.sqrt(squares[runner_up]) > _threshold(state, runner_up)
    ):
        state.insert(x, y)
        return
    _update(state, x, y, winner, runner_up)
    if state.head[SAMPLES] % GAMMA == 0:
        _denoise(state)


def _threshold(state: XuState, row: int) -> float:
    """Return the distance beyond which a sample near this prototype founds a new one."""
    ends = [target for _, target in state.edges_of(row)]
    if not ends:
        return np.nan
    features = state.features
    lengths = np.sqrt(measure(features[:, ends], state.metric, features[:, row]))
    same = state.classes[ends] == state.classes[row]
    within, between = lengths[same], lengths[~same]
    if not len(between):
        return float(within.max())
    if not len(within):
        return float(between.min())
    # The last of the running sums: numpy's own mean would choose its order.
    beyond = between[between > np.add.accumulate(within)[-1] / len(within)]
    return float(beyond.min() if len(beyond) else between.max())


def _update(state: XuState, x: Floats, y: int, winner: int, runner_up: int) -> None:
    if all(target != runner_up for _, target in state.edges_of(winner)):
        state.tie(winner, runner_up)
    for half, _ in state.edges_of(winner):
        state.halves[AGE, half & ~1] += 1
    state.wins[winner] += 1
    _move(state, x, y, winner)
    for half, _ in state.edges_of(winner):
        if state.age(half) > AGE_OLD:
            state.untie(half)
    # One pair of rates serves the whole model: the last winner's count sets the next sample's.
    state.rates[0] = 1 / state.wins[winner]
    state.rates[1] = state.rates[0] / RUNNER_SHARE


def _move(state: XuState, x: Floats, y: int, winner: int) -> None:
    """Attract or repel the winner, and its neighbours of the one class the other way."""
    features, classes = state.features, state.classes
    right = classes[winner] == y
    sign = 1.0 if right else -1.0
    features[:, winner] += sign * (state.rates[0] * (x - features[:, winner]))
    for _, end in state.edges_of(winner):
        if (classes[end] == y) != right:
            features[:, end] -= sign * (state.rates[1] * (x - features[:, end]))


def _denoise(state: XuState) -> None:
    """Drop prototypes with fewer than two neighbours, judging each as the earlier ones left it.

    The published inequality compares wins with n/2 times the sum of all wins, which they exceed
    only where n ≤ 2: in effect all are dropped that have at most one neighbour.
    """
    left, wins = state.count, float(state.wins.sum())
    gone: list[int] = []
    for row in np.flatnonzero(state.labels[DEGREE, : state.count] < 2).tolist():
        halves = [half for half, _ in state.edges_of(row)]
        if halves and not state.wins[row] < (left / 2) * wins:
            continue
        for half in halves:
            state.untie(half)
        left -= 1
        wins -= float(state.wins[row])
        gone.append(row)
    if gone:
        state.remove(gone)
