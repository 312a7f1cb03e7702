"""A site's model carried over to a site file with more channels or labels.

Old channels and labels keep their meaning: a channel goes by its name, and must have the same unit
and range; a label goes by its name. The commits begin again, because the new schema has a contract
of its own; what stood on the old one is the first codebook for it. What others committed, and what
was held against them, comes again from there.
"""

import msgspec
import numpy as np

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.saved import dump, load, pack, unpack
from protoledger.gateway.learner.widening import Widening, widen
from protoledger.gateway.training.saved import SavedModel
from protoledger.gateway.training.significance import make_test
from protoledger.gateway.union.recent import RecentSamples, SavedRecent
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import Schema


def widening(old: Schema, new: Schema) -> Widening:
    """Find the old channels and labels among the new ones.

    Raises:
        ConfigurationError: names every channel and label that was removed or changed.
    """
    channels = {channel.name: at for at, channel in enumerate(new.channels)}
    problems = []
    for channel in old.channels:
        if channel.name not in channels:
            problems.append(f"channel {channel.name!r} was removed: a model can only get more")
            continue
        now = new.channels[channels[channel.name]]
        was, found = (f"{c.low:g} to {c.high:g} {c.unit}".strip() for c in (channel, now))
        if was != found:
            problems.append(f"channel {channel.name!r} was {was}, and is {found}: change it back")
    problems += [
        f"label {label!r} was removed: a model can only get more"
        for label in old.labels
        if label not in new.labels
    ]
    if problems:
        raise ConfigurationError(*problems)
    return Widening(
        np.array([channels[channel.name] for channel in old.channels], np.int64),
        np.array([new.labels.index(label) for label in old.labels], np.int64),
        len(new.channels),
        len(new.labels),
    )


def carried_over(state: bytes, wider: Widening) -> tuple[bytes, Codebook]:
    """Lay out a model's state; gives it, and the codebook that the old contract had of it.

    Raises:
        ModelStateError: it is damaged, of an older version, or of the learner as published.
    """
    old = unpack(state, SavedModel)
    if old.mode != "improved":
        raise ModelStateError(
            "the learner as published knows no missing features; only the improved one is carried "
            "over"
        )
    form = RecordFormat(len(wider.features), len(wider.classes))
    committed = _wide(Codebook.decode(old.codebook, form), wider)
    test = make_test(old.test, old.alpha)
    test.reset(first=True)
    seen = wider.rows(np.array(old.seen, np.float64)).astype(int)
    new = msgspec.structs.replace(
        old,
        learner=widen(old.learner, wider),
        apart=widen(old.apart, wider) if old.apart else b"",
        evidence=test.evidence,
        codebook=b"",
        version=0,
        candidate=b"",
        candidate_age=0,
        former={},
        seen=seen.tolist(),
        recent=_recent(old.recent, wider),
        last_label=wider.label(old.last_label),
    )
    return pack(new), committed


def _wide(book: Codebook, wider: Widening) -> Codebook:
    """Lay out a codebook; the heaviest records, if fewer of the longer ones fit."""
    most = RecordFormat(wider.n_features, wider.n_classes).max_records
    rows = np.sort(np.argsort(-book.weights.astype(int), kind="stable")[:most])
    return Codebook.from_prototypes(
        book.ids[rows],
        wider.classes[book.classes[rows]],
        book.weights[rows],
        wider.columns(book.features()[rows]),
        labels=wider.n_classes,
    )


def _recent(old: SavedRecent, wider: Widening) -> SavedRecent:
    d, c = len(wider.features), len(wider.classes)
    kept = len(RecentSamples.restore(old, d, c))
    xs = load(old.xs, "<f8", (kept, d), np.float64, missing=True)
    voters = len(old.classes) // max(1, kept)
    classes = load(old.classes, "u1", (kept, voters), np.int64)
    ys = load(old.ys, "u1", (kept,), np.int64)
    return msgspec.structs.replace(
        old,
        xs=dump(wider.columns(xs), "<f8"),
        ys=dump(wider.classes[ys], "u1"),
        classes=dump(wider.classes[classes], "u1"),
    )
