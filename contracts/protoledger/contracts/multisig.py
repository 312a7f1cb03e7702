"""A multisignature owner: a Safe, whose owners sign apart and one of whom sends.

Source: Safe 1.4.1 (https://github.com/safe-global/safe-smart-account), `Safe.sol` and
`SafeProxyFactory.sol`. A transaction of a Safe is signed after EIP-712, bound to chain, Safe and
number; `execTransaction` takes the signatures of `threshold` owners in the order of their
addresses. What is signed here is computed here: a node that lies cannot have something else signed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from protoledger.contracts import Artifact
from protoledger.contracts.client.account import Account, checksum
from protoledger.contracts.client.binding import NO_ADDRESS
from protoledger.contracts.client.contract import Contract
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.errors import NoContractError, NonsenseError, RevertedError
from protoledger.contracts.recursion import limit_kept

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from protoledger.contracts.client.answers import Receipt
    from protoledger.contracts.client.node import Node

SIGNATURE_BYTES: Final = 65
_CALL: Final = (
    ("to", "address"),
    ("value", "uint256"),
    ("data", "bytes"),
    ("operation", "uint8"),
    ("safeTxGas", "uint256"),
    ("baseGas", "uint256"),
    ("gasPrice", "uint256"),
    ("gasToken", "address"),
    ("refundReceiver", "address"),
)
"""What a Safe executes; its number follows where it is signed, the signatures where it is sent."""
_SINGLETON_GAS, _FACTORY_GAS, _PROXY_GAS = 6_000_000, 1_500_000, 1_000_000


def _function(name: str, inputs: Sequence[tuple[str, str]], *outputs: str) -> dict[str, object]:
    return {
        "type": "function",
        "name": name,
        "stateMutability": "view" if outputs and not inputs else "nonpayable",
        "inputs": [{"name": word, "type": kind} for word, kind in inputs],
        "outputs": [{"name": "", "type": kind} for kind in outputs],
    }


_SAFE: Final = Artifact(
    "Safe",
    [
        _function("VERSION", (), "string"),
        _function("nonce", (), "uint256"),
        _function("getThreshold", (), "uint256"),
        _function("getOwners", (), "address[]"),
        _function("execTransaction", (*_CALL, ("signatures", "bytes")), "bool"),
        _function(
            "setup",
            (
                ("owners", "address[]"),
                ("threshold", "uint256"),
                ("to", "address"),
                ("data", "bytes"),
                ("fallbackHandler", "address"),
                ("paymentToken", "address"),
                ("payment", "uint256"),
                ("paymentReceiver", "address"),
            ),
        ),
    ],
    b"",
    "0.7.6",
)
_FACTORY: Final = Artifact(
    "SafeProxyFactory",
    [
        _function(
            "createProxyWithNonce",
            (("singleton", "address"), ("initializer", "bytes"), ("salt", "uint256")),
            "address",
        )
    ],
    b"",
    "0.7.6",
)


class Safe(Contract):
    """A Safe at an address."""

    def __init__(self, address: str) -> None:
        super().__init__(_SAFE, address)

    def require(self, node: Node) -> None:
        """Make sure that a Safe of a known version stands at the address.

        Raises:
            NoContractError: nothing does, or something else.
        """
        try:
            version = str(self.read(node, "VERSION"))
        except (RevertedError, NonsenseError) as error:
            raise NoContractError(f"there is no Safe at {self.address} on {node.url}") from error
        if not version.startswith(("1.3.", "1.4.")):
            raise NoContractError(
                f"the Safe at {self.address} is of version {version}, not 1.3, 1.4"
            )

    def owners(self, node: Node) -> list[str]:
        """Read who may sign, in lower case."""
        return [str(owner).lower() for owner in self.read(node, "getOwners")]

    def threshold(self, node: Node) -> int:
        """Read how many must sign."""
        return int(self.read(node, "getThreshold"))

    def nonce(self, node: Node) -> int:
        """Read the number of the next transaction."""
        return int(self.read(node, "nonce"))

    def sign(self, key: bytes, chain_id: int, number: int, to: str, data: bytes) -> bytes:
        """Sign a call; 65 bytes that hold for this chain, Safe and number only."""
        with limit_kept():
            from eth_account import Account as EthAccount  # noqa: PLC0415 - half of web3's import time

        types, message = self._message(number, to, data)
        signed = EthAccount.sign_typed_data(key, self._domain(chain_id), types, message)
        return bytes(signed.signature)

    def signer(self, signature: bytes, chain_id: int, number: int, to: str, data: bytes) -> str:
        """Tell who signed a call; empty if nobody can have."""
        with limit_kept():
            from eth_account import Account as EthAccount  # noqa: PLC0415
            from eth_account.messages import encode_typed_data  # noqa: PLC0415

        types, message = self._message(number, to, data)
        signable = encode_typed_data(self._domain(chain_id), types, message)
        try:
            return str(EthAccount.recover_message(signable, signature=signature)).lower()
        except Exception:  # noqa: BLE001 - the library raises several kinds for bad bytes
            return ""

    def arguments(
        self, to: str, data: bytes, signatures: Mapping[str, bytes]
    ) -> tuple[object, ...]:
        """Give what `execTransaction` takes: the call, and its signatures by who gave them."""
        joined = b"".join(signatures[owner] for owner in sorted(signatures))
        return (*self._values(to, data), joined)

    def _domain(self, chain_id: int) -> dict[str, object]:
        return {"chainId": chain_id, "verifyingContract": checksum(self.address)}

    @staticmethod
    def _values(to: str, data: bytes) -> tuple[object, ...]:
        return (to, 0, data, 0, 0, 0, 0, NO_ADDRESS, NO_ADDRESS)

    def _message(
        self, number: int, to: str, data: bytes
    ) -> tuple[dict[str, list[dict[str, str]]], dict[str, Any]]:
        fields = [*_CALL, ("nonce", "uint256")]
        values = [checksum(to), *self._values(to, data)[1:], number]
        types = {"SafeTx": [{"name": name, "type": kind} for name, kind in fields]}
        return types, dict(zip((name for name, _ in fields), values, strict=True))


def create(
    node: Node, key: bytes, artifacts: Path, owners: Sequence[str], threshold: int
) -> tuple[str, list[Receipt]]:
    """Put a Safe on a chain that has none: its code, a factory, and the owners' own proxy.

    Args:
        node: where.
        key: of the account that pays; it gets no rights.
        artifacts: folder with `Safe.json` and `SafeProxyFactory.json`, as `make setup` leaves it.
        owners: who may sign; each once.
        threshold: how many must.

    Returns:
        The Safe's address, and what was paid for.
    """
    sender = Sender(node, Account(key))
    singleton = sender.next_contract
    sender.send(None, _creation(artifacts / "Safe.json"), _SINGLETON_GAS)
    factory = Contract(_FACTORY, sender.next_contract)
    sender.send(None, _creation(artifacts / "SafeProxyFactory.json"), _FACTORY_GAS)
    receipts = sender.wait(60)
    nobody = (NO_ADDRESS, b"", NO_ADDRESS, NO_ADDRESS, 0, NO_ADDRESS)
    setup = Safe(singleton).encode("setup", list(owners), threshold, *nobody)
    made = str(factory.read(node, "createProxyWithNonce", singleton, setup, 0)).lower()
    call = factory.encode("createProxyWithNonce", singleton, setup, 0)
    sender.send(factory.address, call, _PROXY_GAS)
    return made, [*receipts, *sender.wait(60)]


def _creation(file: Path) -> bytes:
    return bytes.fromhex(json.loads(file.read_text(encoding="utf-8"))["bytecode"][2:])
