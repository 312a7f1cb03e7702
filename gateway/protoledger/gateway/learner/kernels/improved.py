"""The improved learner's step; the numpy twin is `protoledger.gateway.learner.improved.numpy_body`.

The arguments are the arrays of `ImprovedState`; `metric` is the values of its `FeatureMetric`.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.metric import SAMPLES, WEIGHTS
from protoledger.gateway.learner.improved.state import (
    BET,
    CAPACITY,
    CLASS,
    COUNT,
    DRIFT_SHIFT,
    DRIFT_WEALTH,
    DRIFTS,
    ERRORS,
    LAST_LABEL,
    LEARNT,
    LONG,
    MEMORY,
    PROTOTYPES,
    REMEMBERED,
    RIGHT,
    RUN,
    SETTLED,
    SURE,
    SUSPECT,
    TESTED,
    VOTERS,
    WEALTH,
    WINS,
    WRONG,
)
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.kernels.look import look, settle_bets
from protoledger.gateway.learner.kernels.metric import forget, learn_relevance, observe
from protoledger.gateway.learner.kernels.prototypes import insert, make_room, remove, rivals
from protoledger.gateway.learner.kernels.shared import Ints


@kernel("f8(f8[::1], i8)")
def margin_of(shares: Floats, y: int) -> float:
    """Return the margin of class y; see `protoledger.gateway.learner.vote.margin_of`."""
    if len(shares) == 1:
        return float(shares[0])
    other = -1.0
    for c in range(len(shares)):
        if c != y and shares[c] > other:
            other = shares[c]
    return float(shares[y] - other) if shares[y] != 0 or other != 0 else -1.0


@kernel("void(f8[:,::1], i8[:,::1], i8[::1], i8[::1], i8)")
def judge_winner(table: Floats, labels: Ints, head: Ints, rows: Ints, y: int) -> None:
    """Count for or against the nearest prototype, unless it is a suspect; older wins fade."""
    if head[VOTERS] == 0 or labels[SUSPECT, rows[0]]:
        return
    winner, first = rows[0], len(table) - WRONG - 1
    table[first + RIGHT, winner] *= MEMORY
    table[first + WRONG, winner] *= MEMORY
    table[first + (RIGHT if labels[CLASS, winner] == y else WRONG), winner] += 1.0


@kernel("i8(i8[:,::1], i8[::1], i8[::1], i8, i8[::1])")
def settle_suspects(labels: Ints, head: Ints, rows: Ints, y: int, refuted: Ints) -> int:
    """Clear or refute suspects among the nearest; return how many rows of refuted were written."""
    many = 0
    for k in range(min(head[VOTERS], SETTLED)):
        row = rows[k]
        if not labels[SUSPECT, row]:
            continue
        if labels[CLASS, row] == y:
            labels[SUSPECT, row] = 0
        else:
            at = many
            while at > 0 and refuted[at - 1] < row:  # the last row first
                refuted[at] = refuted[at - 1]
                at -= 1
            refuted[at] = row
            many += 1
    return many


@kernel("b1(f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], i8, f8[::1], b1)")
def watch(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    n_classes: int,
    drift: Floats,
    right: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> bool:
    """Bet that errors have become more frequent; return whether this was the alarm."""
    if not right and head[BET]:
        return False
    rate = (drift[ERRORS] + 1) / (drift[TESTED] + 2)
    drift[TESTED] += 1
    if right:
        drift[WEALTH] = max(1.0, drift[WEALTH] * (1 - DRIFT_SHIFT))
        return False
    head[BET] = 1
    drift[ERRORS] += 1
    drift[WEALTH] *= 1 + DRIFT_SHIFT * (1 / rate - 1)
    if drift[WEALTH] < DRIFT_WEALTH:
        return False
    drift[TESTED], drift[ERRORS], drift[WEALTH] = 0.0, 0.0, 1.0
    head[DRIFTS] += 1
    d = metric.shape[1]
    for r in range(head[COUNT]):
        labels[SUSPECT, r], table[d + RIGHT, r], table[d + WRONG, r] = 1, 0.0, 0.0
    head[SAMPLES] = forget(metric, n_classes, head[SAMPLES])
    return True


@kernel("void(f8[:,::1], i8, f8[::1])")
def move(table: Floats, row: int, x: Floats) -> None:
    """Let a prototype win a sample: it moves to the mean of what it won."""
    d = len(x)
    table[d + WINS, row] += 1.0
    wins = table[d + WINS, row]
    for j in range(d):
        place = table[j, row]
        if np.isnan(place):
            table[j, row] = x[j]
        elif not np.isnan(x[j]):
            table[j, row] = place + (x[j] - place) / wins


LEARNING = (
    "f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], f8[:,::1], i8[::1], f8[:,::1], f8[::1],"
    " f8[:,::1], f8[::1], i8[::1], f8[:,::1], f8[::1], f8[::1]"
)


@kernel(f"i8({LEARNING}, f8[::1], i8, f8, b1)")
def learn(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    memory: Floats,
    remembered: Ints,
    books: Floats,
    squares: Floats,
    shares: Floats,
    apart: Floats,
    rows: Ints,
    local: Floats,
    drift: Floats,
    costs: Floats,
    x: Floats,
    y: int,
    margin: float,
    looked: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> int:
    """Learn one checked sample; `looked` says that this sample was looked at last.

    Returns:
        The class that was predicted before, −1 if none was.
    """
    predicted = -1
    if not looked:
        predicted = look(
            table, labels, head, metric, memory, remembered, books, squares, shares, apart,
            rows, local, x,
        )  # fmt: skip
    n, n_classes = head[COUNT], shares.shape[1]
    friend, foe = rivals(squares, labels[CLASS], n, y)
    if head[LAST_LABEL] != y:
        head[LAST_LABEL], head[RUN], head[BET] = y, 0, 0
    head[RUN] += 1
    refuted, many = np.empty(SETTLED, np.int64), 0
    if n:
        own_margin = margin_of(shares[PROTOTYPES], y)
        margin = min(margin, own_margin)
        settle_bets(head, books, shares, y)
        judge_winner(table, labels, head, rows, y)
        many = settle_suspects(labels, head, rows, y, refuted)
        if watch(table, labels, head, metric, n_classes, drift, own_margin > 0):
            many = 0
    head[LEARNT] += 1
    head[SAMPLES] += 1
    observe(metric, n_classes, x, y)
    if friend >= 0 and foe >= 0:
        learn_relevance(metric, head[SAMPLES], x, table, friend, foe, squares[friend], squares[foe])
    for k in range(many):
        remove(table, labels, head, refuted[k])
        if friend == head[COUNT]:  # the last has taken that row
            friend = refuted[k]
    if friend < 0 or margin < SURE:
        insert(table, labels, head, x, y)
        if head[COUNT] > head[CAPACITY]:
            make_room(table, labels, head, metric[WEIGHTS], costs)
    else:
        move(table, friend, x)
    at = head[REMEMBERED] % LONG
    memory[:, at] = x
    remembered[at] = y
    head[REMEMBERED] += 1
    return predicted


@kernel(f"void({LEARNING}, f8[:,::1], i8[::1], i8[::1])")
def learn_many(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    memory: Floats,
    remembered: Ints,
    books: Floats,
    squares: Floats,
    shares: Floats,
    apart: Floats,
    rows: Ints,
    local: Floats,
    drift: Floats,
    costs: Floats,
    xs: Floats,
    ys: Ints,
    predictions: Ints,
) -> None:
    """Predict, then learn, each of the checked samples in turn."""
    for i in range(len(ys)):
        predictions[i] = learn(
            table, labels, head, metric, memory, remembered, books, squares, shares, apart,
            rows, local, drift, costs, xs[i], ys[i], 1.0, False,
        )  # fmt: skip
