"""A deployed contract as web3's contract object: calls encoded, answers decoded, refusals named.

Everything comes from the committed ABI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eth_hash.auto import keccak

from protoledger.contracts import Artifact, load
from protoledger.contracts.client.account import checksum
from protoledger.contracts.client.node import import_web3
from protoledger.contracts.errors import NoContractError, NonsenseError, RevertedError

if TYPE_CHECKING:
    from protoledger.contracts.client.answers import Log
    from protoledger.contracts.client.node import Node

_PROBES = {"PrototypeBuffer": "maxRecords", "DataOracle": "quorum"}  # what only it answers
_SOLIDITYS_OWN = {
    keccak(b"Error(string)")[:4]: ("Error", ["string"], [""]),
    keccak(b"Panic(uint256)")[:4]: ("Panic", ["uint256"], [""]),
}


class Contract:
    """Encode calls of a contract, decode what it says, and name its refusals.

    Args:
        contract: which one, see `contracts.NAMES`; or the artifact of another.
        address: where it stands, 0x-hex.
    """

    def __init__(self, contract: str | Artifact, address: str) -> None:
        w3 = import_web3()()
        self.artifact: Artifact = load(contract) if isinstance(contract, str) else contract
        self.address = address.lower()
        self._contract: Any = w3.eth.contract(
            address=checksum(address),  # type: ignore[call-overload]
            abi=self.artifact.abi,
            bytecode=self.artifact.bytecode,
        )
        self._codec = w3.codec
        self._outputs = {
            key: _types(entry["outputs"])
            for entry in self.artifact.abi
            if entry["type"] == "function"
            for key in (str(entry["name"]), _signature(entry))
        }
        self._errors = {
            keccak(_signature(entry).encode())[:4]: (
                str(entry["name"]),
                _types(entry["inputs"]),
                _names(entry["inputs"]),
            )
            for entry in self.artifact.abi
            if entry["type"] == "error"
        }
        self._topics = {
            keccak(_signature(entry).encode()): str(entry["name"])
            for entry in self.artifact.abi
            if entry["type"] == "event"
        }

    def creation(self, *values: object) -> bytes:
        """Give the creation code with its constructor's arguments."""
        made = self._contract.constructor(*map(_as_web3, values))
        return bytes.fromhex(str(made.data_in_transaction).removeprefix("0x"))

    def encode(self, call: str, *values: object) -> bytes:
        """Encode a call, by the function's name, or its signature where several have the name."""
        encoded = self._contract.encode_abi(call, args=[_as_web3(value) for value in values])
        return bytes.fromhex(str(encoded).removeprefix("0x"))

    def read(self, node: Node, call: str, *values: object, at: int | str = "latest") -> Any:
        """Call a view and decode what it returns: one value, or a tuple of several.

        Raises:
            NonsenseError: what came is no answer of this contract. Most often there is no contract
                at this block: the node is behind, or the address is wrong.
            RevertedError: the contract refuses, by name.
        """
        try:
            data = node.call(self.address, self.encode(call, *values), at=at)
        except RevertedError as error:
            raise self.explain(error) from error
        decoded = self.decode(self._outputs[call], data)
        return decoded[0] if len(decoded) == 1 else decoded

    def decode(self, types: list[str], data: bytes) -> tuple[Any, ...]:
        """Decode values.

        Raises:
            NonsenseError: they are not of these types.
        """
        try:
            return tuple(self._codec.decode(types, data))
        except Exception as error:  # the codec has errors of its own for each kind of bad bytes
            raise NonsenseError(
                f"{self.artifact.name} at {self.address} answers nonsense: {len(data)} bytes that "
                f"are no ({', '.join(types)}): {str(error)[:100]}"
            ) from error

    def topic(self, *names: str) -> list[bytes]:
        """Give the first topics of events, by which a node picks logs."""
        return [topic for topic, name in self._topics.items() if name in names]

    def event(self, log: Log) -> tuple[str, dict[str, Any]] | None:
        """Decode an event: its name and arguments; None for one that this contract does not have.

        Raises:
            NonsenseError: its topics or data do not fit the ABI.
        """
        name = self._topics.get(log.topics[0]) if log.topics else None
        if name is None:
            return None
        raw = {
            "address": checksum(log.address),
            "topics": list(log.topics),
            "data": log.data,
            "blockNumber": log.block,
            "blockHash": log.block_hash,
            "transactionHash": log.transaction,
            "transactionIndex": 0,
            "logIndex": log.index,
        }
        try:
            arguments = self._contract.events[name]().process_log(raw)["args"]
        except Exception as error:  # as above
            raise NonsenseError(
                f"the node answers nonsense: a log that is no {name}: {str(error)[:100]}"
            ) from error
        return name, {key: _lowered(value) for key, value in arguments.items()}

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
            self.read(node, _PROBES[self.artifact.name])
        except (RevertedError, NonsenseError) as error:
            raise NoContractError(
                f"the contract at {self.address} is no {self.artifact.name}"
            ) from error

    def explain(self, error: RevertedError) -> RevertedError:
        """Give a refusal its name and values, as the contract's ABI tells them."""
        data = error.values[0] if error.values else b""
        if error.name or not isinstance(data, bytes) or len(data) < 4:
            return error
        known = self._errors | _SOLIDITYS_OWN
        if data[:4] not in known:
            return error
        name, types, names = known[data[:4]]
        try:
            return RevertedError(name, self.decode(types, data[4:]), names)
        except NonsenseError:
            return error


def _as_web3(value: object) -> object:
    """Write addresses in the way that web3 insists on."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return checksum(value)
    if isinstance(value, list | tuple):
        return [_as_web3(item) for item in value]
    return value


def _lowered(value: object) -> object:
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


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
