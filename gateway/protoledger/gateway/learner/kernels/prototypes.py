"""Prototypes come, go and merge.

The numpy twin is in `protoledger.gateway.learner.improved.numpy_body`.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.state import (
    CLASS,
    COUNT,
    CURSOR,
    FREE,
    ID,
    MERGE_ROWS,
    REVISION,
    RIGHT,
    SUSPECT,
    TOO_WRONG,
    USED,
    WINS,
    WRONG,
)
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.kernels.shared import Ints, measure


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
    labels[SUSPECT, at] = 0
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
    labels[SUSPECT, at] = labels[SUSPECT, last]


@kernel("void(f8[:,::1], i8[:,::1], i8, i8, i8)")
def absorb(table: Floats, labels: Ints, d: int, kept: int, gone: int) -> None:
    """Move all of one prototype into another of its class."""
    wins = table[d + WINS]
    both = wins[kept] + wins[gone]
    share = wins[gone] / both
    for j in range(d):
        other, place = table[j, gone], table[j, kept]
        if np.isnan(place):
            table[j, kept] = other
        elif not np.isnan(other):
            table[j, kept] = place + (other - place) * share
    wins[kept] = both
    table[d + RIGHT, kept] += table[d + RIGHT, gone]
    table[d + WRONG, kept] += table[d + WRONG, gone]
    labels[SUSPECT, kept] &= labels[SUSPECT, gone]


@kernel("i8(f8[:,::1], i8[:,::1], i8[::1], f8[::1], f8[::1])")
def merge_cheapest(table: Floats, labels: Ints, head: Ints, weights: Floats, costs: Floats) -> int:
    """Merge the cheapest pair of the rows in turn; return the one to remove, −1 if none is."""
    d, n = len(weights), head[COUNT]
    wins, classes = table[d + WINS], labels[CLASS]
    best, kept, gone = np.inf, -1, -1
    at = np.empty(d)
    for _ in range(MERGE_ROWS):
        row = (head[CURSOR] + 1) % n
        head[CURSOR] = row
        for j in range(d):
            at[j] = table[j, row]
        measure(table, weights, n, at, costs)
        cheapest, least = -1, np.inf
        for other in range(n):
            if classes[other] == classes[row] and other != row:
                cost = costs[other] * (wins[other] / (wins[other] + wins[row]))
                if cost < least:
                    cheapest, least = other, cost
        if cheapest >= 0 and least * wins[row] < best:
            best, kept, gone = least * wins[row], row, cheapest
    if gone >= 0:
        absorb(table, labels, d, kept, gone)
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
