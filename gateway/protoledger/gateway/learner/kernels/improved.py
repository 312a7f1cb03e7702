"""The improved learner's step; the numpy twin is `protoledger.gateway.learner.improved.numpy_body`.

The arguments are the arrays of `ImprovedState`; `metric` and `counts` are the values and the
class counts of its `FeatureMetric`.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved import metric as rules
from protoledger.gateway.learner.improved.state import (
    CAPACITY,
    CLASS,
    CONDEMNED,
    COUNT,
    CURSOR,
    DRIFT_SHIFT,
    DRIFT_WEALTH,
    DRIFTS,
    ERRORS,
    FREE,
    ID,
    LEARNT,
    MEMORY,
    MERGE_ROWS,
    REVISION,
    RIGHT,
    SURE,
    SUSPECT,
    TESTED,
    TOO_WRONG,
    USED,
    WEALTH,
    WINS,
    WRONG,
)
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.kernels.shared import Ints, measure, vote

RATE, RATE_DECAY, RATE_FLOOR = rules.RATE, rules.RATE_DECAY, rules.RATE_FLOOR
RELEVANCE_FLOOR, SHRINKAGE, CONSTANT = rules.RELEVANCE_FLOOR, rules.SHRINKAGE, rules.CONSTANT
WEIGHTS, RELEVANCES, PRECISIONS = rules.WEIGHTS, rules.RELEVANCES, rules.PRECISIONS
MEANS, WITHIN, TOTAL, CLASS_MEANS = rules.MEANS, rules.WITHIN, rules.TOTAL, rules.CLASS_MEANS
SAMPLES, NO_VARIANCE = rules.SAMPLES, rules.NO_VARIANCE


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


@kernel("void(f8[:,::1], f8[::1], i8, f8[::1], i8)")
def observe(metric: Floats, counts: Floats, samples: int, x: Floats, y: int) -> None:
    """Take one sample into means, variances, precisions and weights."""
    counts[y] += 1
    d = len(x)
    means, within, total = metric[MEANS], metric[WITHIN], metric[TOTAL]
    own = metric[CLASS_MEANS + y]
    known = max(samples - len(counts), 0)
    trust = known / (known + SHRINKAGE)
    distrust = 1 - trust + CONSTANT
    for j in range(d):
        off = x[j] - own[j]
        own[j] += off / counts[y]
        within[j] += off * (x[j] - own[j])
        off = x[j] - means[j]
        means[j] += off / samples
        total[j] += off * (x[j] - means[j])
    if samples < 2:
        return
    for j in range(d):
        variance = (trust * within[j] + distrust * total[j]) / samples
        metric[PRECISIONS, j] = 1.0 / variance if variance > NO_VARIANCE else 0.0
        metric[WEIGHTS, j] = metric[RELEVANCES, j] * metric[PRECISIONS, j] / d


@kernel("void(f8[:,::1], i8, f8[::1], f8[:,::1], i8, i8, f8, f8)")
def learn_relevance(
    metric: Floats,
    samples: int,
    x: Floats,
    table: Floats,
    friend: int,
    foe: int,
    near: float,
    far: float,
) -> None:
    """Follow GRLVQ's gradient for one sample."""
    d = len(x)
    relevances, precisions = metric[RELEVANCES], metric[PRECISIONS]
    both = near + far + 1e-12
    if both == np.inf:
        return
    rate = 2 * max(RATE / (1 + RATE_DECAY * (samples - 1)), RATE_FLOOR)
    near_share, far_share = near / both, far / both
    total = 0.0
    for j in range(d):
        right, wrong = x[j] - table[j, friend], x[j] - table[j, foe]
        pull = precisions[j] * (
            right * right / both * far_share - wrong * wrong / both * near_share
        )
        relevances[j] = max(relevances[j] - rate * pull, RELEVANCE_FLOOR)
        total += relevances[j]
    scale = d / total
    for j in range(d):
        relevances[j] *= scale
        metric[WEIGHTS, j] = relevances[j] * precisions[j] / d


@kernel("void(f8[:,::1], i8[:,::1], i8[::1], f8[::1], i8)")
def insert(table: Floats, labels: Ints, head: Ints, x: Floats, y: int) -> None:
    """Found a prototype."""
    at, d = head[COUNT], len(x)
    number = head[FREE]
    while labels[USED, number]:
        number += 1
    labels[USED, number] = 1
    head[FREE] = number + 1
    labels[ID, at], labels[CLASS, at] = number, y
    for j in range(d):
        table[j, at] = x[j]
    table[d + WINS, at], table[d + RIGHT, at], table[d + WRONG, at] = 1.0, 0.0, 0.0
    head[COUNT] += 1
    head[REVISION] += 1


@kernel("void(f8[:,::1], i8[:,::1], i8[::1], i8)")
def remove(table: Floats, labels: Ints, head: Ints, at: int) -> None:
    """Drop a prototype; the last takes its place."""
    number = labels[ID, at]
    labels[USED, number] = 0
    head[FREE] = min(head[FREE], number)
    head[COUNT] -= 1
    head[REVISION] += 1
    last = head[COUNT]
    for j in range(len(table)):
        table[j, at] = table[j, last]
    labels[CLASS, at], labels[ID, at] = labels[CLASS, last], labels[ID, last]


@kernel("i8(f8[:,::1], i8[:,::1], i8[::1], f8[::1], f8[::1])")
def merge_cheapest(table: Floats, labels: Ints, head: Ints, weights: Floats, costs: Floats) -> int:
    """Merge the cheapest pair of the rows in turn; return the one to remove, −1 if none is."""
    d, n = len(weights), head[COUNT]
    wins, classes = table[d + WINS], labels[CLASS]
    best, kept, gone = np.inf, -1, -1
    place = np.empty(d)
    for _ in range(MERGE_ROWS):
        row = (head[CURSOR] + 1) % n
        head[CURSOR] = row
        for j in range(d):
            place[j] = table[j, row]
        measure(table, weights, n, place, costs)
        cheapest, least = -1, np.inf
        for other in range(n):
            if classes[other] == classes[row] and other != row:
                cost = costs[other] * (wins[other] / (wins[other] + wins[row]))
                if cost < least:
                    cheapest, least = other, cost
        if cheapest >= 0 and least * wins[row] < best:
            best, kept, gone = least * wins[row], row, cheapest
    if gone >= 0:
        both = wins[kept] + wins[gone]
        share = wins[gone] / both
        for j in range(d):
            table[j, kept] += (table[j, gone] - table[j, kept]) * share
        wins[kept] = both
        table[d + RIGHT, kept] += table[d + RIGHT, gone]
        table[d + WRONG, kept] += table[d + WRONG, gone]
    return gone


@kernel("void(f8[:,::1], i8[:,::1], i8[::1], f8[::1], f8[::1])")
def make_room(table: Floats, labels: Ints, head: Ints, weights: Floats, costs: Floats) -> None:
    """Drop the prototype that is wrong most often, or else merge two."""
    d, n = len(weights), head[COUNT]
    right, wrong, wins = table[d + RIGHT], table[d + WRONG], table[d + WINS]
    worst = 0
    for r in range(n):
        if wrong[r] - right[r] > wrong[worst] - right[worst]:
            worst = r
    if not wrong[worst] - right[worst] > TOO_WRONG:
        worst = merge_cheapest(table, labels, head, weights, costs)
    if worst < 0:
        worst = 0
        for r in range(n):
            if wins[r] < wins[worst]:
                worst = r
    remove(table, labels, head, worst)


@kernel("void(f8[:,::1], i8[::1], f8[:,::1], f8[::1], f8[::1], b1)")
def watch(
    table: Floats,
    head: Ints,
    metric: Floats,
    counts: Floats,
    drift: Floats,
    right: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> None:
    """Bet that errors have become more frequent; at the alarm, suspect and forget."""
    rate = (drift[ERRORS] + 1) / (drift[TESTED] + 2)
    drift[TESTED] += 1
    if right:
        drift[WEALTH] = max(1.0, drift[WEALTH] * (1 - DRIFT_SHIFT))
        return
    drift[ERRORS] += 1
    drift[WEALTH] *= 1 + DRIFT_SHIFT * (1 / rate - 1)
    if drift[WEALTH] < DRIFT_WEALTH:
        return
    drift[TESTED], drift[ERRORS], drift[WEALTH] = 0.0, 0.0, 1.0
    head[DRIFTS] += 1
    d = metric.shape[1]
    for r in range(head[COUNT]):
        table[d + WINS, r], table[d + RIGHT, r], table[d + WRONG, r] = 1.0, SUSPECT, 0.0
    head[SAMPLES] = 0
    counts[:] = 0.0
    metric[MEANS:] = 0.0


@kernel("UniTuple(i8, 2)(f8[::1], i8[::1], i8, i8)")
def rivals(squares: Floats, classes: Ints, n: int, y: int) -> tuple[int, int]:
    """Return the nearest prototype of class y and the nearest of any other, −1 for none."""
    friend, foe, near, far = -1, -1, np.inf, np.inf
    for r in range(n):
        if classes[r] == y:
            if friend < 0 or squares[r] < near:
                friend, near = r, squares[r]
        elif foe < 0 or squares[r] < far:
            foe, far = r, squares[r]
    return friend, foe


@kernel("void(f8[:,::1], f8[::1], i8, i8)")
def judge_winner(table: Floats, squares: Floats, friend: int, foe: int) -> None:
    """Count for or against the nearest prototype, which is one of the two; older wins fade."""
    right = foe < 0 or (
        friend >= 0
        and (squares[friend] < squares[foe] or (squares[friend] == squares[foe] and friend < foe))
    )
    winner, first = friend if right else foe, len(table) - WRONG - 1
    if table[first + RIGHT, winner] == SUSPECT:
        table[first + RIGHT, winner] = 0.0
        table[first + WRONG, winner] = 0.0 if right else CONDEMNED
    table[first + RIGHT, winner] *= MEMORY
    table[first + WRONG, winner] *= MEMORY
    table[first + (RIGHT if right else WRONG), winner] += 1.0


@kernel(
    "i8(f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1],"
    " i8[::1], f8[::1], i8, f8, b1)"
)
def learn(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    counts: Floats,
    drift: Floats,
    squares: Floats,
    costs: Floats,
    shares: Floats,
    rows: Ints,
    x: Floats,
    y: int,
    margin: float,
    measured: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> int:
    """Learn one checked sample; `measured` says that squares, shares and rows are of this sample.

    Returns:
        The class that was predicted before, −1 if none was.
    """
    n, d = head[COUNT], len(x)
    classes, wins = labels[CLASS], table[d + WINS]
    predicted = -1
    if not measured:
        measure(table, metric[WEIGHTS], n, x, squares)
        predicted = vote(squares, classes, wins, n, shares, rows)
    friend, foe = rivals(squares, classes, n, y)
    if n:
        own_margin = margin_of(shares, y)
        margin = min(margin, own_margin)
        judge_winner(table, squares, friend, foe)
        watch(table, head, metric, counts, drift, own_margin > 0)
    head[LEARNT] += 1
    head[SAMPLES] += 1
    observe(metric, counts, head[SAMPLES], x, y)
    if friend >= 0 and foe >= 0:
        learn_relevance(metric, head[SAMPLES], x, table, friend, foe, squares[friend], squares[foe])
    if friend < 0 or margin < SURE:
        insert(table, labels, head, x, y)
        if head[COUNT] > head[CAPACITY]:
            make_room(table, labels, head, metric[WEIGHTS], costs)
    else:
        wins[friend] += 1.0
        for j in range(d):
            table[j, friend] += (x[j] - table[j, friend]) / wins[friend]
    return predicted


@kernel(
    "void(f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1],"
    " i8[::1], f8[:,::1], i8[::1], i8[::1])"
)
def learn_many(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    counts: Floats,
    drift: Floats,
    squares: Floats,
    costs: Floats,
    shares: Floats,
    rows: Ints,
    xs: Floats,
    ys: Ints,
    predictions: Ints,
) -> None:
    """Predict, then learn, each of the checked samples in turn."""
    for i in range(len(ys)):
        predictions[i] = learn(
            table, labels, head, metric, counts, drift, squares, costs, shares, rows,
            xs[i], ys[i], 1.0, False,
        )  # fmt: skip


@kernel("i8(f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], f8[::1], f8[::1], i8[::1], f8[::1])")
def predict(
    table: Floats,
    labels: Ints,
    head: Ints,
    metric: Floats,
    squares: Floats,
    shares: Floats,
    rows: Ints,
    x: Floats,
) -> int:
    """Measure a checked sample and let the nearest vote; return the winner, −1 for none."""
    n = head[COUNT]
    measure(table, metric[WEIGHTS], n, x, squares)
    return vote(squares, labels[CLASS], table[len(x) + WINS], n, shares, rows)
