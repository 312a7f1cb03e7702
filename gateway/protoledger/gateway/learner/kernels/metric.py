"""The feature weights' updates; the numpy twin is `protoledger.gateway.learner.improved.metric`.

`metric` is the values of a `FeatureMetric`; a feature that a sample lacks is NaN and is left out.
"""

import numpy as np

from protoledger.gateway.learner.base import Floats
from protoledger.gateway.learner.improved import metric as rules
from protoledger.gateway.learner.kernels.kernel import kernel

RATE, RATE_DECAY, RATE_FLOOR = rules.RATE, rules.RATE_DECAY, rules.RATE_FLOOR
RELEVANCE_FLOOR, SHRINKAGE, CONSTANT = rules.RELEVANCE_FLOOR, rules.SHRINKAGE, rules.CONSTANT
WEIGHTS, RELEVANCES, PRECISIONS = rules.WEIGHTS, rules.RELEVANCES, rules.PRECISIONS
MEANS, WITHIN, TOTAL, SEEN = rules.MEANS, rules.WITHIN, rules.TOTAL, rules.SEEN
CLASS_MEANS, NO_VARIANCE = rules.CLASS_MEANS, rules.NO_VARIANCE
MEMORY, KEPT = rules.MEMORY, rules.KEPT


@kernel("void(f8[:,::1], i8, f8[::1], i8)")
def observe(metric: Floats, n_classes: int, x: Floats, y: int) -> None:
    """Take one sample into means, variances, precisions and weights."""
    d = len(x)
    means, within, total, seen = metric[MEANS], metric[WITHIN], metric[TOTAL], metric[SEEN]
    own, shown = metric[CLASS_MEANS + y], metric[CLASS_MEANS + n_classes + y]
    for j in range(d):
        if np.isnan(x[j]):
            continue
        shown[j] = min(shown[j] + 1, MEMORY)
        off = x[j] - own[j]
        own[j] += off / shown[j]
        within[j] += off * (x[j] - own[j])
        seen[j] += 1
        off = x[j] - means[j]
        means[j] += off / seen[j]
        total[j] += off * (x[j] - means[j])
    for j in range(d):
        if seen[j] < 2:
            continue
        known = max(seen[j] - n_classes, 0.0)
        trust = known / (known + SHRINKAGE)
        variance = (trust * within[j] + (1 - trust + CONSTANT) * total[j]) / seen[j]
        metric[PRECISIONS, j] = 1.0 / variance if variance > NO_VARIANCE else 0.0
        metric[WEIGHTS, j] = metric[RELEVANCES, j] * metric[PRECISIONS, j] / d


@kernel("i8(f8[:,::1], i8, i8)")
def forget(metric: Floats, n_classes: int, samples: int) -> int:
    """Let what was observed count as few samples; return how many, of so many."""
    seen = metric[SEEN]
    for j in range(len(seen)):
        if seen[j] > KEPT:
            share = KEPT / seen[j]
            metric[WITHIN, j] *= share
            metric[TOTAL, j] *= share
            seen[j] = KEPT
    metric[CLASS_MEANS + n_classes :] = 0.0
    return min(samples, int(KEPT))


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
        if np.isnan(pull):
            pull = 0.0
        relevances[j] = max(relevances[j] - rate * pull, RELEVANCE_FLOOR)
        total += relevances[j]
    scale = d / total
    for j in range(d):
        relevances[j] *= scale
        if metric[SEEN, j] >= 2:
            metric[WEIGHTS, j] = relevances[j] * precisions[j] / d
