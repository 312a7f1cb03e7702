"""PrototypeBuffer as Python values: calls encoded, events decoded, refusals named.

Everything comes from the committed ABI. Only encoding happens here;
`protoledger.contracts.client.rpc` talks to a node. eth_abi, a part of web3, is imported when a
`Contract` is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eth_hash.auto import keccak

from protoledger.contracts import Artifact, load
from protoledger.contracts.errors import NoContractError, RevertedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protoledger.contracts.client.rpc import Log, Node

_PROBES = {"PrototypeBuffer": "maxRecords", "DataOracle": "quorum"}  # what only it answers
STATUSES = ("unknown", "active", "removed")


@dataclass(frozen=True, slots=True)
class DeltaLog:
    """A commit as the chain tells it; `log` says where it stands."""

    owner: str
    version: int
    count: int
    state_hash: bytes
    delta: bytes = field(repr=False)
    log: Log = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayLog:
    """A gateway was added or removed."""

    owner: str
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
class Head:
    """Where an owner's codebook stands, as the contract keeps it."""

    version: int
    count: int
    commit_block: int
    checkpoint_version: int
    oracle_round: int
    status: str
    state_hash: bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What a deployment fixed: schema, record format, limits, first block."""

    schema_hash: bytes
    features: int
    labels: int
    max_records: int
    deployed_block: int


class Contract:
    """Encode calls of a contract and name its refusals.

    Args:
        name: which one, see `contracts.NAMES`.
        address: where it stands, 0x-hex.
    """

    def __init__(self, name: str, address: str) -> None:
        from eth_abi.abi import decode, encode  # noqa: PLC0415 - see the module's docstring

        self._encode, self._decode = encode, decode
        self.artifact: Artifact = load(name)
        self.address = address.lower()
        self._errors = {
            keccak(_signature(entry).encode())[:4]: (
                str(entry["name"]),
                _types(entry["inputs"]),
                _names(entry["inputs"]),
            )
            for entry in self.artifact.abi
            if entry["type"] == "error"
        }

    def creation(self, types: Sequence[str], values: Sequence[object]) -> bytes:
        """Give the creation code with its constructor's arguments."""
        return self.artifact.bytecode + self._encode(types, values)

    def encode(self, signature: str, *values: object) -> bytes:
        """Encode a call, such as `encode("grant(address)", account)`."""
        types = signature[signature.index("(") + 1 : -1]
        return keccak(signature.encode())[:4] + self._encode(_split(types), values)

    def encode_call(self, name: str, *values: object) -> bytes:
        """Encode a call by its function's name alone, as the ABI declares it; takes structs.

        Raises:
            KeyError: there is no such function, or several.
        """
        found = [
            entry
            for entry in self.artifact.abi
            if entry["type"] == "function" and entry["name"] == name
        ]
        if len(found) != 1:
            raise KeyError(f"{self.artifact.name} has {len(found)} functions called {name}")
        types = _types(found[0]["inputs"])
        return keccak(_signature(found[0]).encode())[:4] + self._encode(types, values)

    def decode(self, types: Sequence[str], data: bytes) -> tuple[object, ...]:
        """Decode what a call returned."""
        return tuple(self._decode(types, data))

    def require(self, node: Node) -> None:
        """Make sure that this contract stands at the address.

        Raises:
            NoContractError: nothing does, or another one.
        """
        if not node.code(self.address):
            raise NoContractError(
                f"there is no contract at {self.address} on {node.url}; correct the address, or "
                "deploy with `protoledger contracts deploy`"
            )
        try:
            answer = node.call(self.address, self.encode(f"{_PROBES[self.artifact.name]}()"))
        except RevertedError:
            answer = b""
        if len(answer) != 32:
            raise NoContractError(f"the contract at {self.address} is no {self.artifact.name}")

    def explain(self, error: RevertedError) -> RevertedError:
        """Give a refusal its name and values, as the contract's ABI tells them."""
        data = error.values[0] if error.values else b""
        if error.name or not isinstance(data, bytes) or len(data) < 4:
            return error
        known = self._errors | {
            keccak(b"Error(string)")[:4]: ("Error", ["string"], [""]),
            keccak(b"Panic(uint256)")[:4]: ("Panic", ["uint256"], [""]),
        }
        if data[:4] not in known:
            return error
        name, types, names = known[data[:4]]
        return RevertedError(name, self.decode(types, data[4:]), names)


class Buffer(Contract):
    """PrototypeBuffer at an address."""

    def __init__(self, address: str) -> None:
        super().__init__("PrototypeBuffer", address)
        self._topics = {
            keccak(_signature(entry).encode()): str(entry["name"])
            for entry in self.artifact.abi
            if entry["type"] == "event"
        }

    def commit(
        self, base: int, count: int, state_hash: bytes, delta: bytes, oracle_round: int = 0
    ) -> bytes:
        """Encode a commit; `oracle_round` 0 names none."""
        if oracle_round:
            signature = "commit(uint32,uint16,bytes32,bytes,uint64)"
            return self.encode(signature, base, count, state_hash, delta, oracle_round)
        return self.encode("commit(uint32,uint16,bytes32,bytes)", base, count, state_hash, delta)

    def topic(self, *names: str) -> list[bytes]:
        """Give the first topics of events, by which a node picks logs."""
        return [topic for topic, name in self._topics.items() if name in names]

    def event(self, log: Log) -> DeltaLog | GatewayLog | CheckpointLog | None:
        """Decode an event; None for those that no follower needs."""
        name = self._topics.get(log.topics[0]) if log.topics else None
        if name == "Delta":
            count, state_hash, delta = self._decode(["uint16", "bytes32", "bytes"], log.data)
            owner, version = _address(log.topics[1]), int.from_bytes(log.topics[2])
            return DeltaLog(owner, version, count, state_hash, delta, log)
        if name in {"GatewayAdded", "GatewayRemoved"}:
            return GatewayLog(_address(log.topics[1]), name == "GatewayAdded", log)
        if name == "Checkpoint":
            version = int.from_bytes(log.topics[2])
            return CheckpointLog(_address(log.topics[1]), version, _address(log.data), log)
        return None

    def head(self, node: Node, owner: str) -> Head:
        """Read an owner's head and state hash."""
        data = node.call(self.address, self.encode("head(address)", owner))
        types = ["uint32", "uint16", "uint48", "uint32", "uint64", "uint8", "bytes32"]
        version, count, block, checkpoint, oracle_round, status, state_hash = self._decode(
            types, data
        )
        return Head(version, count, block, checkpoint, oracle_round, STATUSES[status], state_hash)

    def snapshot(self, node: Node, owner: str) -> tuple[int, bytes]:
        """Read an owner's checkpoint: its version and records.

        Raises:
            RevertedError: there is none.
        """
        data = node.call(self.address, self.encode("snapshot(address)", owner))
        version, records = self._decode(["uint32", "bytes"], data)
        return version, records

    def terms(self, node: Node) -> Terms:
        """Read what the deployment fixed."""
        values = [
            self._decode([kind], node.call(self.address, self.encode(f"{name}()")))[0]
            for name, kind in (
                ("schemaHash", "bytes32"),
                ("features", "uint8"),
                ("labels", "uint8"),
                ("maxRecords", "uint16"),
                ("deployedBlock", "uint48"),
            )
        ]
        return Terms(*values)

    def standing(self, node: Node) -> tuple[str, str, bool]:
        """Read who owns the contract, which oracle it cites, and whether it is paused."""
        owner, oracle = (
            "0x" + node.call(self.address, self.encode(f"{name}()"))[12:].hex()
            for name in ("owner", "oracle")
        )
        return owner, oracle, any(node.call(self.address, self.encode("paused()")))


def _address(topic: bytes) -> str:
    return "0x" + topic[12:].hex()


def _signature(entry: dict[str, object]) -> str:
    return f"{entry['name']}({','.join(_types(entry['inputs']))})"


def _types(inputs: object) -> list[str]:
    return [_type(item) for item in inputs] if isinstance(inputs, list) else []


def _names(inputs: object) -> list[str]:
    return [str(item["name"]) for item in inputs] if isinstance(inputs, list) else []


def _type(item: dict[str, object]) -> str:
    kind = str(item["type"])
    if kind.startswith("tuple"):  # a struct: its fields' types in brackets, then any []
        return f"({','.join(_types(item['components']))}){kind.removeprefix('tuple')}"
    return kind


def _split(types: str) -> list[str]:
    return types.split(",") if types else []
