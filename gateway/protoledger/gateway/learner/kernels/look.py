"""The experts' votes on one sample; the numpy twin is `protoledger.gateway.learner.improved.look`.

The arguments are the arrays of `ImprovedState`; `metric` is the values of its `FeatureMetric`.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved import metric as rules
from protoledger.gateway.learner.improved.state import (
    ADVANTAGE,
    AWAKE,
    BETS_A_RUN,
    CHOSEN,
    CLASS,
    CLASS_MEANS,
    COUNT,
    DISTANCE,
    EXPERTS,
    FADES,
    LAST_FEW,
    LAST_MANY,
    LEAD,
    LONG,
    NEAR,
    OUTLIER,
    PROTOTYPES,
    REMEMBERED,
    RUN,
    SHORT,
    USUAL,
    USUAL_FADE,
    VOTERS,
    WINS,
)
from protoledger.gateway.learner.kernels.kernel import kernel
from protoledger.gateway.learner.kernels.shared import Ints, measure, nearest, normalise
from protoledger.gateway.learner.vote import SOFTENING

MEANS, PRECISIONS, WEIGHTS = rules.CLASS_MEANS, rules.PRECISIONS, rules.WEIGHTS


@kernel("i8(f8[::1])")
def winner(shares: Floats) -> int:
    """Return the first class with the largest share."""
    best = 0
    for c in range(1, len(shares)):
        if shares[c] > shares[best]:
            best = c
    return best


@kernel("void(f8[::1], f8[:,::1], f8[:,::1])")
def leave_out_missing(x: Floats, metric: Floats, local: Floats) -> None:
    """Write the sample and its weights, both 0 where the sample lacks a feature."""
    for j in range(len(x)):
        absent = np.isnan(x[j])
        local[0, j] = 0.0 if absent else x[j]
        local[1, j] = 0.0 if absent else metric[WEIGHTS, j]


@kernel("void(f8[:,::1], i8[::1], i8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[::1], i8[::1])")
def ask_memory(
    memory: Floats,
    remembered: Ints,
    head: Ints,
    local: Floats,
    books: Floats,
    shares: Floats,
    apart: Floats,
    rows: Ints,
) -> None:
    """Let the last few and the last many labelled samples vote."""
    known = head[REMEMBERED]
    held = min(known, LONG)
    measure(memory, local[1], held, local[0], apart)
    few = np.empty(SHORT)
    few_at = np.empty(SHORT, np.int64)
    many = min(known, SHORT)
    row = (known - many) % LONG
    for k in range(many):
        few_at[k], few[k] = row, apart[row]
        row = row + 1 if row + 1 < LONG else 0  # a division takes longer than all the rest
    for expert in range(LAST_FEW, LAST_MANY + 1):
        shares[expert] = 0.0
        total, size = 0.0, many if expert == LAST_FEW else held
        found = nearest(few if expert == LAST_FEW else apart, size, rows)
        books[expert, DISTANCE] = np.inf
        for k in range(found):
            row = few_at[rows[k]] if expert == LAST_FEW else rows[k]
            if k == 0:
                books[expert, DISTANCE] = apart[row]
            strength = 1.0 / (apart[row] + SOFTENING)
            shares[expert, remembered[row]] += strength
            total += strength
        normalise(shares[expert], total)
        near = books[expert, DISTANCE] <= NEAR * books[expert, USUAL]
        books[expert, AWAKE] = 1.0 if head[RUN] < size and near else 0.0


@kernel("void(f8[:,::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1])")
def ask_class_means(
    metric: Floats, x: Floats, local: Floats, books: Floats, shares: Floats
) -> None:
    """Let the class means vote."""
    d, n_classes = len(x), shares.shape[1]
    votes, known, total = shares[CLASS_MEANS], 0, 0.0
    for c in range(n_classes):
        means, seen = metric[MEANS + c], metric[MEANS + n_classes + c]
        apart, any_seen = 0.0, False
        for j in range(d):
            if np.isnan(x[j]):
                continue
            if seen[j] > 0:
                any_seen = True
                off = local[0, j] - means[j]
                apart += off * off * metric[PRECISIONS, j]
            elif metric[PRECISIONS, j] > 0:
                apart += 1.0
        votes[c] = 0.0
        if any_seen:
            known += 1
            votes[c] = 1 / (apart / d + SOFTENING)
        total += votes[c]
    normalise(votes, total)
    books[CLASS_MEANS, AWAKE] = 1.0 if known >= 2 else 0.0


@kernel(
    "i8(f8[:,::1], i8[:,::1], i8[::1], f8[:,::1], f8[:,::1], i8[::1], f8[:,::1], f8[::1],"
    " f8[:,::1], f8[::1], i8[::1], f8[:,::1], f8[::1])"
)
def look(
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
    x: Floats,
) -> int:
    """Let every expert vote on a checked sample; return the answer's class, −1 for none."""
    n, wins, classes = head[COUNT], table[len(x) + WINS], labels[CLASS]
    leave_out_missing(x, metric, local)
    ask_memory(memory, remembered, head, local, books, shares, apart, rows)
    ask_class_means(metric, x, local, books, shares)
    measure(table, local[1], n, local[0], squares)
    votes, total = shares[PROTOTYPES], 0.0
    votes[:] = 0.0
    found = nearest(squares, n, rows)
    for k in range(found):
        row = rows[k]
        strength = np.sqrt(max(wins[row], 1.0)) / (squares[row] + SOFTENING)
        votes[classes[row]] += strength
        total += strength
    normalise(votes, total)
    head[VOTERS] = found
    books[PROTOTYPES, DISTANCE] = squares[rows[0]] if found else np.inf
    best, lead = PROTOTYPES, LEAD
    for expert in range(1, EXPERTS):
        if books[expert, AWAKE] > 0 and books[expert, ADVANTAGE] > lead:
            best, lead = expert, books[expert, ADVANTAGE]
    head[CHOSEN] = best
    return winner(shares[best]) if n else -1


@kernel("void(i8[::1], f8[:,::1], f8[:,::1], i8)")
def settle_bets(head: Ints, books: Floats, shares: Floats, y: int) -> None:
    """Book who was right at the last look, now that the label is known."""
    right = 1.0 if winner(shares[PROTOTYPES]) == y else 0.0
    for expert in range(EXPERTS):
        if expert != PROTOTYPES and books[expert, AWAKE] > 0 and head[RUN] <= BETS_A_RUN:
            gain = (1.0 if winner(shares[expert]) == y else 0.0) - right
            fade = FADES[expert]
            books[expert, ADVANTAGE] = fade * books[expert, ADVANTAGE] + (1 - fade) * gain
        distance = books[expert, DISTANCE]
        if expert != CLASS_MEANS and distance < np.inf:
            usual = books[expert, USUAL]
            if usual == np.inf:
                books[expert, USUAL] = distance
            else:
                most = OUTLIER * usual + 1e-6
                books[expert, USUAL] = USUAL_FADE * usual + (1 - USUAL_FADE) * min(distance, most)
