"""Batches of labelled samples for DataOracle, signed by keys that lie in one place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.errors import RevertedError
from protoledger.contracts.keys import address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protoledger.contracts.client.answers import Receipt
    from protoledger.contracts.client.node import Node
    from protoledger.contracts.oracle.binding import Oracle

CLOCK_S = 2  # a report is dated so much back: the contract refuses dates ahead of its block


def submit_samples(
    node: Node,
    oracle: Oracle,
    keys: Sequence[bytes],
    source: bytes,
    samples: bytes,
    payer: bytes | None = None,
) -> Receipt:
    """Sign the next batch of a source, send it, and wait until it stands.

    Args:
        node: the chain.
        oracle: where to.
        keys: of exactly a quorum of reporters.
        source: who aggregated the samples, see `feed_id`.
        samples: records of the buffer's format, ids rising.
        payer: key that sends it, any account's; nothing else may send with it meanwhile. Default:
            the reporter's with the lowest address.

    Raises:
        NoContractError: no DataOracle stands at the oracle's address.
        RevertedError: the contract refuses, by name.
        ChainUnreachableError, RpcError, DeploymentError: the node does.
    """
    oracle.require(node)
    order, chain_id = oracle.order(node), node.chain_id()
    seats = {account: at for at, account in enumerate(order.seats)}
    ordered = sorted(keys, key=lambda key: seats.get(address_of(key), len(seats)))
    latest, before = oracle.latest_batch(node, source)
    number, now = latest + 1, max(int(time.time()) - CLOCK_S, before)
    signed = [oracle.sign_batch(key, chain_id, source, number, now, samples) for key in ordered]
    call = oracle.encode("submitBatch", source, number, now, samples, signed)
    account = Account(payer or ordered[0])
    try:
        gas = node.estimate_gas(account.address, oracle.address, call, at="pending")
    except RevertedError as error:
        raise oracle.explain(error) from error
    sender = Sender(node, account)
    sender.send(oracle.address, call, gas * 5 // 4)
    return sender.wait()[0]
