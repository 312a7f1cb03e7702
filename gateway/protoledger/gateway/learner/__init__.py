"""Incremental prototype classifiers: labelled samples flow in, a few dozen prototypes come out.

Two learners stand behind one interface (`Classifier`): `XuILVQ`, decision for decision the
published implementation, and `ImprovedILVQ`, the default, which scales its own features and keeps
at most `capacity` prototypes. Both learn in one pass, refuse bad samples by name without
changing, and save themselves to bytes. They compute in numpy until compiled kernels are ready,
which `Warmup` brings about beside them and `load_kernels` waits for; results do not depend on it.

Others add learners by entry points in the group `protoledger.learners`: a class that has all of
`Classifier`, such as a subclass of `protoledger.gateway.learner.own.PrototypeLearner`.
"""

from typing import Any, Final, cast

from protoledger.gateway.errors import LearnerUnavailableError
from protoledger.gateway.learner.base import Classifier, Prototypes
from protoledger.gateway.learner.compilation.compiled import Warmup
from protoledger.gateway.learner.compilation.compiled import load as load_kernels
from protoledger.gateway.learner.improved.classifier import ImprovedILVQ
from protoledger.gateway.learner.reference.classifier import XuILVQ
from protoledger.plugins import Group, PluginError

Mode = str
"""The name of a learner: one of `MODES`, or what another package calls its own."""
MODES: Final[tuple[Mode, ...]] = ("improved", "reference")
"""The built-in ones."""
LEARNERS: Final = Group(
    "protoledger.learners",
    "learner",
    {
        "improved": "protoledger.gateway.learner.improved.classifier:ImprovedILVQ",
        "reference": "protoledger.gateway.learner.reference.classifier:XuILVQ",
    },
)

__all__ = [
    "LEARNERS",
    "MODES",
    "Classifier",
    "ImprovedILVQ",
    "Mode",
    "Prototypes",
    "Warmup",
    "XuILVQ",
    "check_mode",
    "find_learner",
    "load_kernels",
    "make_learner",
    "restore_learner",
]


def find_learner(mode: Mode) -> type[Classifier]:
    """Return the class of a learner by its name.

    Raises:
        LearnerUnavailableError: Nothing installed has this name, or it cannot be imported.
    """
    try:
        found: Any = LEARNERS.find(mode)
    except PluginError as error:
        raise LearnerUnavailableError(str(error)) from error
    if not (isinstance(found, type) and callable(getattr(found, "restore", None))):
        raise LearnerUnavailableError(f"learner {mode!r} is {found!r}: it must be a Classifier")
    return cast("type[Classifier]", found)


def check_mode(mode: Mode) -> Mode:
    """Return the name of a learner that is installed.

    Raises:
        LearnerUnavailableError: See `find_learner`; a ValueError, as validators raise.
    """
    find_learner(mode)
    return mode


def make_learner(mode: Mode, n_features: int, n_classes: int, *, capacity: int = 128) -> Classifier:
    """Return an empty learner.

    Args:
        mode: `improved`, `reference`, or the name of one that another package adds.
        n_features: Length of a sample, at least 1.
        n_classes: Number of declared labels, 1 to 255.
        capacity: Most prototypes; the reference knows no limit.

    Raises:
        ValueError: A number is out of its range, or the mode is unknown.
    """
    make: Any = find_learner(mode)
    if mode == "reference":
        return cast("Classifier", make(n_features, n_classes))
    return cast("Classifier", make(n_features, n_classes, capacity=capacity))


def restore_learner(mode: Mode, state: bytes) -> Classifier:
    """Return the learner that `state()` saved.

    Raises:
        ModelStateError: The bytes are damaged, or of another mode or version.
        ValueError: The mode is unknown.
    """
    return find_learner(mode).restore(state)
