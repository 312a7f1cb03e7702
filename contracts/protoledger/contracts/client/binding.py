"""PrototypeBuffer as Python values: what its events say and how its owners stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protoledger.contracts.client.contract import Contract
from protoledger.contracts.client.heads import HASH_BYTES, STATUSES, Head
from protoledger.contracts.errors import NonsenseError

if TYPE_CHECKING:
    from protoledger.contracts.client.answers import Log
    from protoledger.contracts.client.node import Node

NO_ADDRESS = "0x" + "00" * 20
_OWNERS_A_REQUEST = 64  # 320 bytes each


@dataclass(frozen=True, slots=True)
class DeltaLog:
    """A commit as the chain tells it; `head` is what the owner claims, `log` where it stands."""

    owner: str
    head: Head
    delta: bytes = field(repr=False)
    log: Log = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayLog:
    """A gateway was added, with the head that its epoch begins with, or removed."""

    owner: str
    head: Head
    added: bool
    log: Log = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckpointLog:
    """An owner's codebook was stored in the code of the contract `store`, after one zero byte."""

    owner: str
    version: int
    store: str
    log: Log = field(repr=False)


@dataclass(frozen=True, slots=True)
class Standing:
    """All that the state knows of an owner; see IPrototypeBuffer.Standing.

    Attributes:
        head: version, count, epoch, status, hash.
        first_block: block of the newest grant.
        oracle_round: newest oracle round that the codebook was learnt from; 0 if none.
        checkpoint_version: of the stored snapshot; 0 if this epoch has none.
        checkpoint_block: its block.
        store: the snapshot's data contract.
    """

    head: Head
    first_block: int
    oracle_round: int
    checkpoint_version: int
    checkpoint_block: int
    store: str

    @property
    def has_checkpoint(self) -> bool:
        """Whether this epoch has a stored snapshot."""
        return self.store != NO_ADDRESS


@dataclass(frozen=True, slots=True)
class DeploymentTerms:
    """What a deployment fixed: schema, record format, limits, first block."""

    schema_hash: bytes
    features: int
    labels: int
    max_records: int
    deployed_block: int


class Buffer(Contract):
    """PrototypeBuffer at an address."""

    def __init__(self, address: str) -> None:
        super().__init__("PrototypeBuffer", address)

    def commit(self, head: Head, delta: bytes, oracle_round: int = 0) -> bytes:
        """Encode a commit that leads to `head`; `oracle_round` 0 names none."""
        if oracle_round:
            return self.encode("commit(uint256,bytes,uint64)", head.word(), delta, oracle_round)
        return self.encode("commit(uint256,bytes)", head.word(), delta)

    def decoded(self, log: Log) -> DeltaLog | GatewayLog | CheckpointLog | None:
        """Decode an event; None for those that no follower needs.

        Raises:
            NonsenseError: it does not fit the ABI.
        """
        found = self.event(log)
        if found is None:
            return None
        name, values = found
        if name == "Delta":
            return DeltaLog(values["owner"], Head.of(values["head"]), values["delta"], log)
        if name in {"GatewayAdded", "GatewayRemoved"}:
            head = Head.of(values["head"])
            return GatewayLog(values["gateway"], head, name == "GatewayAdded", log)
        if name == "Checkpoint":
            return CheckpointLog(values["owner"], values["version"], values["store"], log)
        return None

    def standing(self, node: Node, owner: str, *, at: int | str = "latest") -> Standing:
        """Read how an owner stands at a block."""
        return _standing(self.read(node, "standing", owner, at=at))

    def standings(self, node: Node, *, at: int | str = "latest") -> dict[str, Standing]:
        """Read how everybody stands who was ever a gateway, in the order of the first grants."""
        found: dict[str, Standing] = {}
        while True:
            owners, rows = self.read(node, "gateways", len(found), _OWNERS_A_REQUEST, at=at)
            if len(owners) != len(rows):
                raise NonsenseError("the node answers nonsense: owners without standings")
            page = {
                str(owner).lower(): _standing(row) for owner, row in zip(owners, rows, strict=True)
            }
            if len(page) != len(owners) or page.keys() & found.keys():
                raise NonsenseError("the node answers nonsense: an owner twice")
            found |= page
            if len(owners) < _OWNERS_A_REQUEST:
                return found

    def snapshot(self, node: Node, owner: str) -> tuple[int, bytes]:
        """Read an owner's checkpoint: its version and records.

        Raises:
            RevertedError: there is none, or the owner was removed.
        """
        (version, _, _), records = self.read(node, "snapshot", owner, 0)
        return version, records

    def terms(self, node: Node) -> DeploymentTerms:
        """Read what the deployment fixed."""
        return DeploymentTerms(
            *(
                self.read(node, name)
                for name in ("schemaHash", "features", "labels", "maxRecords", "deployedBlock")
            )
        )

    def governance(self, node: Node) -> Governance:
        """Read who owns the contract, and what the owner has said."""
        owner, oracle, successor = (
            str(self.read(node, name)).lower() for name in ("owner", "oracle", "successor")
        )
        return Governance(owner, oracle, successor, paused=bool(self.read(node, "paused")))


@dataclass(frozen=True, slots=True)
class Governance:
    """What the contract's owner has said; addresses are `NO_ADDRESS` where there is none.

    Attributes:
        owner: who may add and remove gateways.
        oracle: whose rounds commits may name.
        successor: the deployment that takes this one's place.
        paused: whether commits and checkpoints are stopped.
    """

    owner: str
    oracle: str
    successor: str
    paused: bool


def _standing(row: object) -> Standing:
    assert isinstance(row, tuple)  # noqa: S101 - the codec makes tuples of structs
    version, count, epoch, status, state_hash = row[:5]
    if status >= len(STATUSES) or len(state_hash) != HASH_BYTES:
        raise NonsenseError(f"the node answers nonsense: status {status}")
    head = Head(state_hash, version, count, epoch, STATUSES[status])
    return Standing(head, row[5], row[6], row[7], row[8], str(row[9]).lower())
