"""How the improved learner's experts vote on one sample, in plain numpy.

The experts are the prototypes, the last 32 and the last 200 labelled samples (nearest neighbours in
the same metric, as in Losing, Hammer, Wersing, "KNN classifier with self adjusting memory for
heterogeneous concept drift", ICDM 2016), and the class means (a linear rule). We differ in how one
is chosen: not by its error on its own memory, but by its faded advantage over the prototypes on
samples that neither had seen. A memory sleeps where nothing that it knows is near, and while it
knows one label only, for then it can tell nothing apart.
`protoledger.gateway.learner.kernels.look` gives the same bits.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved.state import (
    ADVANTAGE,
    AWAKE,
    BETS_A_RUN,
    CHOSEN,
    CLASS_MEANS,
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
    ImprovedState,
)
from protoledger.gateway.learner.vote import (
    SOFTENING,
    measure,
    nearest,
    strengths_of,
    vote,
    without_missing,
)


def look(state: ImprovedState, x: Floats) -> int:
    """Let every expert vote on a checked sample; return the answer's class, −1 for none."""
    n, n_classes = state.count, state.shares.shape[1]
    state.local[:] = without_missing(x, state.metric.weights)
    sample, weights = state.local
    state.squares[:n] = measure(state.features[:, :n], weights, sample)
    state.shares[PROTOTYPES] = vote(
        state.squares[:n], state.classes[:n], strengths_of(state.wins[:n]), n_classes
    )
    voters = nearest(state.squares[:n], len(state.rows))
    state.head[VOTERS] = len(voters)
    state.rows[: len(voters)] = voters
    state.books[PROTOTYPES, DISTANCE] = state.squares[voters[0]] if len(voters) else np.inf
    _ask_memory(state)
    _ask_class_means(state, x)
    state.head[CHOSEN] = _choose(state)
    answer = state.shares[state.head[CHOSEN]]
    return int(answer.argmax()) if n else -1


def _ask_memory(state: ImprovedState) -> None:
    known = int(state.head[REMEMBERED])
    held = min(known, LONG)
    sample, weights = state.local
    state.apart[:held] = measure(state.memory[:, :held], weights, sample)
    for expert, size in ((LAST_FEW, SHORT), (LAST_MANY, LONG)):
        book = state.books[expert]
        many = min(known, size)
        rows = np.arange(held) if expert == LAST_MANY else (known - many + np.arange(many)) % LONG
        squares, classes = state.apart[rows], state.remembered[rows]
        state.shares[expert] = vote(squares, classes, np.ones(many), state.shares.shape[1])
        book[DISTANCE] = squares.min() if many and squares.min() < np.inf else np.inf
        several = state.head[RUN] < many
        book[AWAKE] = several and book[DISTANCE] <= NEAR * book[USUAL]


def _ask_class_means(state: ImprovedState, x: Floats) -> None:
    metric, d = state.metric, len(x)
    there = ~np.isnan(x)
    precisions = np.where(there, metric.precisions, 0.0)
    off = state.local[0] - metric.class_means
    parts = np.where(
        metric.class_seen > 0, off * off * precisions, np.where(precisions > 0, 1.0, 0.0)
    )
    apart = np.add.accumulate(parts, axis=1)[:, -1] / d
    known = (metric.class_seen * there).any(axis=1)
    votes = np.where(known, 1 / (apart + SOFTENING), 0.0)
    total = np.add.accumulate(votes)[-1]
    state.shares[CLASS_MEANS] = votes / total if total > 0 else 0.0
    state.books[CLASS_MEANS, AWAKE] = known.sum() >= 2


def _choose(state: ImprovedState) -> int:
    best, lead = PROTOTYPES, LEAD
    for expert in range(1, EXPERTS):
        book = state.books[expert]
        if book[AWAKE] and book[ADVANTAGE] > lead:
            best, lead = expert, book[ADVANTAGE]
    return best


def settle_bets(state: ImprovedState, y: int) -> None:
    """Book who was right at the last look, now that the label is known; a run is `RUN` long."""
    books = state.books
    right = int(state.shares[PROTOTYPES].argmax()) == y
    for expert in range(EXPERTS):
        book, fade = books[expert], FADES[expert]
        if expert != PROTOTYPES and book[AWAKE] and state.head[RUN] <= BETS_A_RUN:
            gain = float(int(state.shares[expert].argmax()) == y) - float(right)
            book[ADVANTAGE] = fade * book[ADVANTAGE] + (1 - fade) * gain
        if expert != CLASS_MEANS and book[DISTANCE] < np.inf:
            book[USUAL] = _usual(float(book[USUAL]), float(book[DISTANCE]))


def _usual(usual: float, distance: float) -> float:
    if usual == np.inf:
        return distance
    return USUAL_FADE * usual + (1 - USUAL_FADE) * min(distance, OUTLIER * usual + 1e-6)


def remember(state: ImprovedState, x: Floats, y: int) -> None:
    """Put a labelled sample into the memory, in place of the oldest."""
    at = int(state.head[REMEMBERED] % LONG)
    state.memory[:, at], state.remembered[at] = x, y
    state.head[REMEMBERED] += 1
