"""The reference learner's step; its twin is `protoledger.gateway.learner.reference.numpy_body`.

The arguments are the arrays of `XuState`, in the order in which they are there described.
"""

import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.kernels.shared import Ints, measure, nearest, normalise
from protoledger.gateway.learner.reference.state import (
    AGE,
    AGE_OLD,
    CLASS,
    COUNT,
    DEGREE,
    FIRST,
    FREE_HALF,
    FREE_ID,
    GAMMA,
    HALVES,
    ID,
    LAST,
    MARK,
    NEXT,
    NONE,
    PREVIOUS,
    REVISION,
    RUNNER_SHARE,
    SAMPLES,
    TARGET,
)

Bytes = NDArray[np.uint8]


@kernel("i8(f8[:,::1], i8[:,::1], i8, f8[::1], f8[::1], f8[::1], i8[::1], f8[::1])")
def predict(
    table: Floats,
    labels: Ints,
    n: int,
    metric: Floats,
    squares: Floats,
    shares: Floats,
    rows: Ints,
    x: Floats,
) -> int:
    """Measure a checked sample and let the nearest vote; return the winner, −1 for none."""
    measure(table, metric, n, x, squares)
    shares[:] = 0.0
    found = nearest(squares, n, rows)
    if not found:
        return -1
    best, total = squares[rows[0]], 0.0
    if best == 0:
        winner = labels[CLASS, rows[0]]
        shares[winner] = 1.0
        return int(winner)
    for k in range(found):
        strength = np.sqrt(best / squares[rows[k]])
        shares[labels[CLASS, rows[k]]] += strength
        total += strength
    normalise(shares, total)
    winner = labels[CLASS, rows[0]]
    for k in range(1, found):
        if shares[labels[CLASS, rows[k]]] > shares[winner]:
            winner = labels[CLASS, rows[k]]
    return int(winner)


@kernel("f8(f8[:,::1], i8, i8, i8)")
def length(table: Floats, d: int, a: int, b: int) -> float:
    """Return the distance of two prototypes."""
    total = 0.0
    for j in range(d):
        off = table[j, b] - table[j, a]
        total += off * off
    return np.sqrt(total)  # type: ignore[no-any-return]


@kernel("f8(f8[:,::1], i8[:,::1], i8[:,::1], i8)")
def threshold(table: Floats, labels: Ints, halves: Ints, row: int) -> float:
    """Return the distance beyond which a sample near this prototype founds a new one."""
    d, own = len(table) - 1, labels[CLASS, row]
    within, total, longest_within = 0, 0.0, 0.0
    between, shortest, longest = 0, np.inf, 0.0
    half = labels[FIRST, row]
    while half != NONE:
        end = halves[TARGET, half]
        away = length(table, d, row, end)
        if labels[CLASS, end] == own:
            within += 1
            total += away
            longest_within = max(longest_within, away)
        else:
            between += 1
            shortest, longest = min(shortest, away), max(longest, away)
        half = halves[NEXT, half]
    if between == 0:
        return longest_within if within else np.nan
    if within == 0:
        return shortest
    mean, beyond = total / within, np.inf
    half = labels[FIRST, row]
    while half != NONE:
        end = halves[TARGET, half]
        if labels[CLASS, end] != own:
            away = length(table, d, row, end)
            if away > mean:
                beyond = min(beyond, away)
        half = halves[NEXT, half]
    return beyond if beyond < np.inf else longest


@kernel("void(f8[:,::1], i8[:,::1], i8[::1], u1[::1], u1[::1], f8[::1], i8)")
def insert(
    table: Floats, labels: Ints, head: Ints, used: Bytes, seen: Bytes, x: Floats, y: int
) -> None:
    """Found a prototype."""
    at, number = head[COUNT], head[FREE_ID]
    while used[number]:
        number += 1
    used[number] = 1
    head[FREE_ID] = number + 1
    labels[CLASS, at], labels[ID, at] = y, number
    labels[FIRST, at], labels[LAST, at], labels[DEGREE, at] = NONE, NONE, 0
    for j in range(len(x)):
        table[j, at] = x[j]
    table[len(x), at] = 0.0
    seen[y] = 1
    head[COUNT] += 1
    head[REVISION] += 1


@kernel("void(i8[:,::1], i8[:,::1], i8, i8, i8)")
def append(labels: Ints, halves: Ints, half: int, row: int, target: int) -> None:
    """Put a half at the end of a prototype's list."""
    last = labels[LAST, row]
    halves[TARGET, half], halves[NEXT, half], halves[PREVIOUS, half] = target, NONE, last
    if last == NONE:
        labels[FIRST, row] = half
    else:
        halves[NEXT, last] = half
    labels[LAST, row] = half
    labels[DEGREE, row] += 1


@kernel("void(i8[:,::1], i8[:,::1], i8[::1], i8)")
def untie(labels: Ints, halves: Ints, head: Ints, half: int) -> None:
    """Drop the edge of a half."""
    for one in (half, half ^ 1):
        row = halves[TARGET, one ^ 1]
        before, after = halves[PREVIOUS, one], halves[NEXT, one]
        if before == NONE:
            labels[FIRST, row] = after
        else:
            halves[NEXT, before] = after
        if after == NONE:
            labels[LAST, row] = before
        else:
            halves[PREVIOUS, after] = before
        labels[DEGREE, row] -= 1
    first = half & ~1
    halves[NEXT, first] = head[FREE_HALF]
    head[FREE_HALF] = first


@kernel("void(i8[:,::1], i8[:,::1], i8[::1], i8, i8)")
def tie(labels: Ints, halves: Ints, head: Ints, winner: int, runner_up: int) -> None:
    """Tie two prototypes by an edge if none does, and age all edges of the first."""
    tied, half = False, labels[FIRST, winner]
    while half != NONE:
        tied |= halves[TARGET, half] == runner_up
        half = halves[NEXT, half]
    if not tied:
        half = head[FREE_HALF]
        if half == NONE:
            half = head[HALVES]
            head[HALVES] += 2
        else:
            head[FREE_HALF] = halves[NEXT, half]
        halves[AGE, half] = 0
        append(labels, halves, half, winner, runner_up)
        append(labels, halves, half + 1, runner_up, winner)
    half = labels[FIRST, winner]
    while half != NONE:
        halves[AGE, half & ~1] += 1
        half = halves[NEXT, half]


@kernel("void(f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], f8[::1], f8[::1], i8, i8, i8)")
def update(
    table: Floats,
    labels: Ints,
    halves: Ints,
    head: Ints,
    rates: Floats,
    x: Floats,
    y: int,
    winner: int,
    runner_up: int,
) -> None:
    """Tie the two nearest, move the winner and its neighbours, forget old edges."""
    d = len(x)
    tie(labels, halves, head, winner, runner_up)
    table[d, winner] += 1.0
    right = labels[CLASS, winner] == y
    sign = 1.0 if right else -1.0
    for j in range(d):
        table[j, winner] += sign * (rates[0] * (x[j] - table[j, winner]))
    half = labels[FIRST, winner]
    while half != NONE:
        end, following = halves[TARGET, half], halves[NEXT, half]
        if (labels[CLASS, end] == y) != right:
            for j in range(d):
                table[j, end] -= sign * (rates[1] * (x[j] - table[j, end]))
        if halves[AGE, half & ~1] > AGE_OLD:
            untie(labels, halves, head, half)
        half = following
    rates[0] = 1.0 / table[d, winner]
    rates[1] = rates[0] / RUNNER_SHARE


@kernel("void(f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], u1[::1])")
def remove_marked(table: Floats, labels: Ints, halves: Ints, head: Ints, used: Bytes) -> None:
    """Drop marked prototypes, which have no edges any more; the others keep their order."""
    at = 0
    for row in range(head[COUNT]):
        if labels[MARK, row]:
            used[labels[ID, row]] = 0
            head[FREE_ID] = min(head[FREE_ID], labels[ID, row])
            continue
        for k in range(len(table)):
            table[k, at] = table[k, row]
        for k in range(MARK):
            labels[k, at] = labels[k, row]
        half = labels[FIRST, at]
        while half != NONE:
            halves[TARGET, half ^ 1] = at  # the other end's half points here
            half = halves[NEXT, half]
        at += 1
    head[COUNT] = at
    head[REVISION] += 1


@kernel("void(f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], u1[::1])")
def denoise(table: Floats, labels: Ints, halves: Ints, head: Ints, used: Bytes) -> None:
    """Drop prototypes with fewer than two neighbours, judging each as the earlier ones left it."""
    d, n = len(table) - 1, head[COUNT]
    left, wins = n, 0.0
    for row in range(n):
        labels[MARK, row] = labels[DEGREE, row] < 2
        wins += table[d, row]  # whole numbers: exact in any order
    for row in range(n):
        if not labels[MARK, row]:
            continue
        if labels[DEGREE, row] and not table[d, row] < (left / 2) * wins:
            labels[MARK, row] = 0
            continue
        while labels[FIRST, row] != NONE:
            untie(labels, halves, head, labels[FIRST, row])
        left -= 1
        wins -= table[d, row]
    if left < n:
        remove_marked(table, labels, halves, head, used)


@kernel(
    "i8(f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], f8[::1], u1[::1], u1[::1], f8[::1], f8[::1],"
    " f8[::1], i8[::1], f8[::1], i8, b1)"
)
def learn(
    table: Floats,
    labels: Ints,
    halves: Ints,
    head: Ints,
    rates: Floats,
    used: Bytes,
    seen: Bytes,
    metric: Floats,
    squares: Floats,
    shares: Floats,
    rows: Ints,
    x: Floats,
    y: int,
    measured: bool,  # noqa: FBT001 - a kernel takes no keywords
) -> int:
    """Learn one checked sample; `measured` says that squares, shares and rows are of this sample.

    Returns:
        The class that was predicted before, −1 if none was.
    """
    n, predicted = head[COUNT], -1
    if not measured:
        predicted = predict(table, labels, n, metric, squares, shares, rows, x)
    head[SAMPLES] += 1
    if n <= 2:
        insert(table, labels, head, used, seen, x, y)
        return predicted
    winner, runner_up = rows[0], rows[1]
    if (
        not seen[y]
        or np.sqrt(squares[winner]) > threshold(table, labels, halves, winner)
        or np.sqrt(squares[runner_up]) > threshold(table, labels, halves, runner_up)
    ):
        insert(table, labels, head, used, seen, x, y)
        return predicted
    update(table, labels, halves, head, rates, x, y, winner, runner_up)
    if head[SAMPLES] % GAMMA == 0:
        denoise(table, labels, halves, head, used)
    return predicted


@kernel(
    "i8(f8[:,::1], i8[:,::1], i8[:,::1], i8[::1], f8[::1], u1[::1], u1[::1], f8[::1], f8[::1],"
    " f8[::1], i8[::1], f8[:,::1], i8[::1], i8[::1], i8)"
)
def learn_many(
    table: Floats,
    labels: Ints,
    halves: Ints,
    head: Ints,
    rates: Floats,
    used: Bytes,
    seen: Bytes,
    metric: Floats,
    squares: Floats,
    shares: Floats,
    rows: Ints,
    xs: Floats,
    ys: Ints,
    predictions: Ints,
    start: int,
) -> int:
    """Predict, then learn, samples from `start` on; return where room was wanted, or their end."""
    for i in range(start, len(ys)):
        full = head[FREE_HALF] == NONE and head[HALVES] == halves.shape[1]
        if full or head[COUNT] == table.shape[1]:
            return i
        predictions[i] = learn(
            table, labels, halves, head, rates, used, seen, metric, squares, shares, rows,
            xs[i], ys[i], False,
        )  # fmt: skip
    return len(ys)
