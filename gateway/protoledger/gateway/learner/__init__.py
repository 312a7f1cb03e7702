"""Incremental prototype classifiers: labelled samples flow in, a few dozen prototypes come out.

Two learners stand behind one interface (`Classifier`): `XuILVQ`, decision for decision the
published implementation, and `ImprovedILVQ`, the default, which scales its own features and keeps
at most `capacity` prototypes. Both learn in one pass, refuse bad samples by name without
changing, and save themselves to bytes. They compute in numpy until compiled kernels are ready,
which `Warmup` brings about beside them and `load_kernels` waits for; results do not depend on it.
"""

from typing import Final, Literal

from protoledger.gateway.learner.base import Classifier, Prototypes
from protoledger.gateway.learner.compilation.compiled import Warmup
from protoledger.gateway.learner.compilation.compiled import load as load_kernels
from protoledger.gateway.learner.improved.classifier import ImprovedILVQ
from protoledger.gateway.learner.reference.classifier import XuILVQ

Mode = Literal["improved", "reference"]
MODES: Final[tuple[Mode, ...]] = ("improved", "reference")

__all__ = [
    "MODES",
    "Classifier",
    "ImprovedILVQ",
    "Mode",
    "Prototypes",
    "Warmup",
    "XuILVQ",
    "load_kernels",
    "make_learner",
    "restore_learner",
]


def make_learner(
    mode: Mode, n_features: int, n_classes: int, *, capacity: int = 128
) -> ImprovedILVQ | XuILVQ:
    """Return an empty learner.

    Args:
        mode: `improved` or `reference`.
        n_features: Length of a sample, at least 1.
        n_classes: Number of declared labels, 1 to 255.
        capacity: Most prototypes of the improved mode; the reference knows no limit.

    Raises:
        ValueError: A number is out of its range, or the mode is unknown.
    """
    if mode == "improved":
        return ImprovedILVQ(n_features, n_classes, capacity=capacity)
    if mode == "reference":
        return XuILVQ(n_features, n_classes)
    raise ValueError(f"there is no learner mode {mode!r}; choose one of {', '.join(MODES)}")


def restore_learner(mode: Mode, state: bytes) -> ImprovedILVQ | XuILVQ:
    """Return the learner that `state()` saved.

    Raises:
        ModelStateError: The bytes are damaged, or of another mode or version.
        ValueError: The mode is unknown.
    """
    if mode == "improved":
        return ImprovedILVQ.restore(state)
    if mode == "reference":
        return XuILVQ.restore(state)
    raise ValueError(f"there is no learner mode {mode!r}; choose one of {', '.join(MODES)}")
