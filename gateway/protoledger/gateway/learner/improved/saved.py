"""The improved learner's state as bytes: this version's, and how those of earlier ones are read.

A learner of version 2 had no memory, refused samples that lacked a feature, and marked suspects by
their recent right wins; it goes on as one that has just begun to remember.
"""

from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.improved.metric import SAMPLES
from protoledger.gateway.learner.improved.state import (
    ADVANTAGE,
    BET,
    COUNT,
    CURSOR,
    DRIFTS,
    EXPERTS,
    LAST_LABEL,
    LEARNT,
    LONG,
    REMEMBERED,
    RUN,
    USUAL,
    ImprovedState,
)
from protoledger.gateway.learner.saved import dump, load, pack
from protoledger.gateway.learner.saved import unpack as read

if TYPE_CHECKING:
    from protoledger.gateway.learner.base import Floats

_SUSPECT_2: Final = -1.0


class SavedLearner2(msgspec.Struct, forbid_unknown_fields=True, tag="improved-2", tag_field="kind"):
    """The state of version 2."""

    n_features: int
    n_classes: int
    capacity: int
    count: int
    cursor: int
    ids: bytes
    classes: bytes
    wins: bytes
    right: bytes
    wrong: bytes
    features: bytes
    samples: int
    learnt: int
    drifts: int
    drift: bytes
    class_counts: bytes
    class_means: bytes
    means: bytes
    within: bytes
    total: bytes
    relevances: bytes


class SavedLearner(msgspec.Struct, forbid_unknown_fields=True, tag="improved-3", tag_field="kind"):
    """The state of this version; `memory` is in the order of learning, oldest first."""

    n_features: int
    n_classes: int
    capacity: int
    count: int
    cursor: int
    ids: bytes
    classes: bytes
    suspect: bytes
    wins: bytes
    right: bytes
    wrong: bytes
    features: bytes
    samples: int
    learnt: int
    drifts: int
    drift: bytes
    last_label: int
    run: int
    bet: bool
    remembered: int
    memory: bytes
    memory_classes: bytes
    advantages: bytes
    usual: bytes
    means: bytes
    within: bytes
    total: bytes
    seen: bytes
    class_means: bytes
    class_seen: bytes
    precisions: bytes
    weights: bytes
    relevances: bytes


def save(state: ImprovedState) -> bytes:
    """Return all that decides what the learner does next."""
    metric, n, head = state.metric, state.count, state.head
    ring = _ring(int(head[REMEMBERED]))
    usual = state.books[:, USUAL]
    return pack(
        SavedLearner(
            n_features=len(metric.weights),
            n_classes=metric.n_classes,
            capacity=state.capacity,
            count=n,
            cursor=int(head[CURSOR]),
            ids=dump(state.ids[:n], "<u2"),
            classes=dump(state.classes[:n], "u1"),
            suspect=dump(state.suspect[:n], "u1"),
            wins=dump(state.wins[:n], "<f8"),
            right=dump(state.right[:n], "<f8"),
            wrong=dump(state.wrong[:n], "<f8"),
            features=dump(state.features[:, :n].T, "<f8"),
            samples=metric.samples,
            learnt=int(head[LEARNT]),
            drifts=int(head[DRIFTS]),
            drift=dump(state.drift, "<f8"),
            last_label=int(head[LAST_LABEL]),
            run=int(head[RUN]),
            bet=bool(head[BET]),
            remembered=int(head[REMEMBERED]),
            memory=dump(state.memory[:, ring].T, "<f8"),
            memory_classes=dump(state.remembered[ring], "u1"),
            advantages=dump(state.books[:, ADVANTAGE], "<f8"),
            usual=dump(np.where(np.isinf(usual), -1.0, usual), "<f8"),
            means=dump(metric.means, "<f8"),
            within=dump(metric.within, "<f8"),
            total=dump(metric.total, "<f8"),
            seen=dump(metric.seen, "<f8"),
            class_means=dump(metric.class_means, "<f8"),
            class_seen=dump(metric.class_seen, "<f8"),
            precisions=dump(metric.precisions, "<f8"),
            weights=dump(metric.weights, "<f8"),
            relevances=dump(metric.relevances, "<f8"),
        )
    )


def unpack(data: bytes) -> SavedLearner:
    """Return a saved state, brought to this version.

    Raises:
        ModelStateError: The bytes are damaged, or of another learner or version.
    """
    saved = read(data, SavedLearner, SavedLearner2)
    return _upgraded(saved) if isinstance(saved, SavedLearner2) else saved


def load_into(state: ImprovedState, saved: SavedLearner) -> None:
    """Fill an empty state of the saved shape.

    Raises:
        ModelStateError: The saved state contradicts itself.
    """
    n, d, c = saved.count, saved.n_features, saved.n_classes
    numbers = (saved.cursor, saved.samples, saved.drifts, saved.run, saved.remembered)
    if not 0 <= n <= min(saved.capacity, saved.learnt) or min(numbers) < 0:
        raise ModelStateError(f"a saved model counts {n} prototypes of {saved.learnt} samples")
    if not -1 <= saved.last_label < c or saved.remembered > saved.learnt:
        raise ModelStateError("a saved model remembers what it never learnt")
    state.head[[COUNT, LEARNT, LAST_LABEL, BET]] = n, saved.learnt, saved.last_label, saved.bet
    state.head[[CURSOR, SAMPLES, DRIFTS, RUN, REMEMBERED]] = numbers
    state.drift[:] = load(saved.drift, "<f8", (3,), np.float64)
    state.ids[:n] = load(saved.ids, "<u2", (n,), np.int64)
    state.classes[:n] = load(saved.classes, "u1", (n,), np.int64)
    state.suspect[:n] = load(saved.suspect, "u1", (n,), np.int64)
    state.wins[:n] = load(saved.wins, "<f8", (n,), np.float64)
    state.right[:n] = load(saved.right, "<f8", (n,), np.float64)
    state.wrong[:n] = load(saved.wrong, "<f8", (n,), np.float64)
    state.features[:, :n] = load(saved.features, "<f8", (n, d), np.float64, missing=True).T
    if (state.classes >= c).any() or (state.ids > saved.capacity).any():
        raise ModelStateError("a saved prototype has an undeclared class or an id out of range")
    if not state.claim_ids():
        raise ModelStateError("two saved prototypes have one id")
    ring = _ring(saved.remembered)
    memory = load(saved.memory, "<f8", (len(ring), d), np.float64, missing=True)
    state.memory[:, ring] = memory.T
    state.remembered[ring] = load(saved.memory_classes, "u1", (len(ring),), np.int64)
    if (state.remembered >= c).any():
        raise ModelStateError("a remembered sample has an undeclared class")
    state.books[:, ADVANTAGE] = load(saved.advantages, "<f8", (EXPERTS,), np.float64)
    usual = load(saved.usual, "<f8", (EXPERTS,), np.float64)
    state.books[:, USUAL] = np.where(usual < 0, np.inf, usual)
    metric = state.metric
    for values, stored, shape in (
        (metric.class_means, saved.class_means, (c, d)),
        (metric.class_seen, saved.class_seen, (c, d)),
        (metric.means, saved.means, (d,)),
        (metric.within, saved.within, (d,)),
        (metric.total, saved.total, (d,)),
        (metric.seen, saved.seen, (d,)),
        (metric.precisions, saved.precisions, (d,)),
        (metric.weights, saved.weights, (d,)),
        (metric.relevances, saved.relevances, (d,)),
    ):
        values[:] = load(stored, "<f8", shape, np.float64)


def _ring(remembered: int) -> NDArray[np.int64]:
    """Return the places of the memory, oldest first."""
    held = min(remembered, LONG)
    return (remembered - held + np.arange(held)) % LONG


def _upgraded(old: SavedLearner2) -> SavedLearner:
    n, d, c = old.count, old.n_features, old.n_classes
    right = load(old.right, "<f8", (n,), np.float64)
    suspect = right == _SUSPECT_2
    counts: Floats = load(old.class_counts, "<f8", (c,), np.float64)
    common = {
        name: getattr(old, name)
        for name in SavedLearner2.__struct_fields__
        if name not in {"class_counts", "right"}
    }
    fresh = ImprovedState(d, c, max(2, c))
    metric = fresh.metric
    metric.clock[SAMPLES] = old.samples
    metric.within[:] = load(old.within, "<f8", (d,), np.float64)
    metric.total[:] = load(old.total, "<f8", (d,), np.float64)
    metric.relevances[:] = load(old.relevances, "<f8", (d,), np.float64)
    metric.seen[:] = old.samples
    metric.refresh()
    new: dict[str, Any] = {
        "suspect": dump(suspect, "u1"),
        "right": dump(np.where(suspect, 0.0, right), "<f8"),
        "last_label": -1,
        "run": 0,
        "bet": False,
        "remembered": 0,
        "memory": b"",
        "memory_classes": b"",
        "advantages": dump(np.zeros(EXPERTS), "<f8"),
        "usual": dump(np.full(EXPERTS, -1.0), "<f8"),
        "seen": dump(metric.seen, "<f8"),
        "class_seen": dump(np.repeat(counts[:, None], d, axis=1), "<f8"),
        "precisions": dump(metric.precisions, "<f8"),
        "weights": dump(metric.weights, "<f8"),
    }
    return SavedLearner(**common, **new)
