"""Put both contracts on a chain and let gateways write, in a few pipelined transactions.

All transactions are signed with consecutive nonces and sent before the first is mined: the
contracts' addresses follow from the sender and nonce, so nothing has to be waited for but the last
receipt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protoledger.contracts.client.account import Account, created_address
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.contract import Contract
from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import DeploymentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protoledger.contracts.client.answers import Receipt

_CREATION_GAS = 4_000_000
_CALL_GAS = 120_000
_GATEWAYS_A_CALL = 100  # 12 M gas
_GAS_PER_GATEWAY = 125_000


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the contracts stand.

    Attributes:
        buffer: PrototypeBuffer's address, 0x-hex in lower case.
        oracle: DataOracle's.
        owner: who may change both.
        chain_id: the chain's id.
        genesis_hash: hash of its block 0: an Anvil that starts from nothing has another.
        block: block of the last transaction.
        gas_used: gas of all transactions.
    """

    buffer: str
    oracle: str
    owner: str
    chain_id: int
    genesis_hash: str
    block: int
    gas_used: int


class Sender:
    """Sign and send transactions of one account one after another, without waiting between them.

    Args:
        node: where to send.
        account: who pays; nothing else may send with its key meanwhile.
        tip: wei per gas for the proposer; None: what the node suggests.
    """

    def __init__(self, node: Node, account: Account, tip: int | None = None) -> None:
        head = node.block("latest")
        self._node, self._account = node, account
        self._tip = node.tip() if tip is None else tip
        self._max_fee = 2 * (head.base_fee if head else 0) + self._tip
        self._chain_id = node.chain_id()
        self._nonce = node.nonce(account.address)
        self._sent: list[str] = []

    @property
    def next_contract(self) -> str:
        """Address of a contract that the next transaction would create."""
        return created_address(self._account.address, self._nonce)

    def send(self, to: str | None, data: bytes, gas: int, value: int = 0) -> None:
        """Send one transaction; `to` None creates a contract, `gas` is the limit."""
        raw, hash_ = self._account.sign(
            self._chain_id,
            self._nonce,
            to,
            data,
            gas=gas,
            max_fee=self._max_fee,
            tip=self._tip,
            value=value,
        )
        self._node.send(raw)
        self._nonce += 1
        self._sent.append(hash_)

    def wait(self, timeout_s: float = 30.0) -> list[Receipt]:
        """Wait until all are mined.

        Raises:
            DeploymentError: one failed, or was not mined in time.
        """
        deadline = time.monotonic() + timeout_s
        receipts = []
        for hash_ in self._sent:
            while (receipt := self._node.receipt(hash_)) is None:
                if time.monotonic() > deadline:
                    raise DeploymentError(f"{hash_} was not mined within {timeout_s:g} s")
                time.sleep(0.01)
            if not receipt.succeeded:
                raise DeploymentError(
                    f"{hash_} failed in block {receipt.block} with {receipt.gas_used} gas; is the "
                    "chain older than London, or its gas limit too small?",
                )
            receipts.append(receipt)
        self._sent.clear()
        return receipts


def deploy(
    rpc_url: str,
    deployer_key: bytes,
    schema_hash: bytes,
    features: int,
    labels: int,
    gateways: Sequence[str],
    *,
    fund_wei: int = 0,
    tip_wei: int | None = None,
) -> Deployment:
    """Create both contracts, name the oracle to the buffer, and let `gateways` commit.

    Args:
        rpc_url: the node.
        deployer_key: 32 secret bytes; its account pays and owns both contracts.
        schema_hash: 32 bytes that all gateways' site files hash to.
        features: features of a prototype, 1–255.
        labels: labels, 1–255.
        gateways: addresses that may commit.
        fund_wei: what to send to each of them, for gas.
        tip_wei: tip per gas; None: what the node suggests.

    Raises:
        ChainUnreachableError: the node does not answer.
        RpcError: the node refuses a transaction, say for lack of funds.
        DeploymentError: a transaction failed or was not mined.
    """
    node, account = Node(rpc_url), Account(deployer_key)
    try:
        sender = Sender(node, account, tip_wei)
        buffer = Buffer(sender.next_contract)
        creation = buffer.creation(account.address, schema_hash, features, labels)
        sender.send(None, creation, _CREATION_GAS)
        oracle = Contract("DataOracle", sender.next_contract)
        sender.send(None, oracle.creation(account.address, features), _CREATION_GAS)
        sender.send(buffer.address, buffer.encode("setOracle", oracle.address), _CALL_GAS)
        for first in range(0, len(gateways), _GATEWAYS_A_CALL):
            some = list(gateways[first : first + _GATEWAYS_A_CALL])
            call = buffer.encode("addGateways", some)
            sender.send(buffer.address, call, _CALL_GAS + _GAS_PER_GATEWAY * len(some))
        for gateway in gateways if fund_wei else ():
            sender.send(gateway, b"", 21_000, fund_wei)
        receipts = sender.wait()
        genesis = node.block(0)
        return Deployment(
            buffer.address,
            oracle.address,
            account.address,
            node.chain_id(),
            genesis.hash if genesis else "",
            max(receipt.block for receipt in receipts),
            sum(receipt.gas_used for receipt in receipts),
        )
    finally:
        node.close()
