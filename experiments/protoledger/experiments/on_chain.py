"""Commits of an experiment as real transactions: a fresh PrototypeBuffer a run, on a local node."""

from collections.abc import Callable
from typing import Final

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender, deploy
from protoledger.contracts.client.heads import Head
from protoledger.contracts.client.node import Node
from protoledger.experiments.collaboration import Gateway
from protoledger.gateway.codebook.codebook import Codebook

GAS_LIMIT: Final = 16_777_216
KEYS: Final = tuple(bytes([0] * 30 + [0x6C, number]) for number in range(1, 12))
"""Worth nothing; the last deploys."""
_urls: list[str] = []


def use(url: str) -> None:
    """Name the node that this process's runs go to."""
    _urls[:] = [url]


def publisher(
    features: int, labels: int, gateways: int
) -> Callable[[Gateway, Codebook, bytes], int]:
    """Deploy a buffer for some gateways, and return what commits to it; see `Publish`.

    Args:
        features: of a record.
        labels: how many.
        gateways: at most 10, named by `Collaboration`.
    """
    accounts = [Account(key) for key in KEYS[:gateways]]
    made = deploy(_urls[0], KEYS[-1], bytes(32), features, labels, [a.address for a in accounts])
    node, buffer = Node(_urls[0]), Buffer(made.buffer)
    senders = [Sender(node, account) for account in accounts]

    def publish(gateway: Gateway, after: Codebook, delta: bytes) -> int:
        sender = senders[int(gateway.name.rpartition("-")[2])]
        head = Head(after.state_hash(), gateway.model.commits.version + 1, len(after), 1, "active")
        call = buffer.commit(head, delta)
        sender.send(buffer.address, call, GAS_LIMIT)
        return sender.wait()[0].gas_used

    return publish
