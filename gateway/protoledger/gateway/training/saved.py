"""A site's model as bytes: this version's, and the one of version 2, which `restore` takes, too."""

from typing import Literal

import msgspec

from protoledger.gateway.config import TestName
from protoledger.gateway.learner import Mode
from protoledger.gateway.training.significance import Evidence
from protoledger.gateway.union.recent import SavedRecent


class SavedModel2(msgspec.Struct, forbid_unknown_fields=True, tag="site-2", tag_field="kind"):
    """The state of version 2, whose transactions were limited by the test or not at all."""

    mode: Mode
    learner: bytes
    transactions: Literal["limited", "unlimited"]
    test: TestName
    alpha: float
    counts: tuple[int, int, int]
    codebook: bytes
    version: int
    former: dict[str, list[bytes]]
    defended: bool = True


class SavedModel(msgspec.Struct, forbid_unknown_fields=True, tag="site-5", tag_field="kind"):
    """The state of this version."""

    mode: Mode
    learner: bytes
    apart: bytes
    test: TestName
    alpha: float
    evidence: Evidence
    codebook: bytes
    version: int
    candidate: bytes
    candidate_age: int
    former: dict[str, list[bytes]]
    defended: bool
    seen: list[int]
    recent: SavedRecent
    advantages: bytes
    last_label: int
    run: int
    calibration: bytes
