"""Which K: what a round costs an agent, by the number of parts (arXiv 2203.13060, section V).

Larger K makes shares shorter and groups larger: fewer bytes for long vectors, more messages for
short ones. Both parties compute the choice from the same numbers, so that it need not be sent.
"""

from dataclasses import dataclass
from typing import Literal

from protoledger.protocol.code.seats import MAX_AGENTS, Plan
from protoledger.protocol.errors import ConfigurationError

HEADER_BYTES = 180
"""What a share carries besides its symbols: topic, envelope, tag."""
MESSAGE_US = 200.0
BYTE_US = 0.004
HOP_US = 1500.0
"""Rough costs of a message, a byte and a step up the tree, on one core beside a broker."""


@dataclass(frozen=True)
class Cost:
    """What a round asks of one agent that holds a position.

    Attributes:
        partitions: K.
        groups: how many there are.
        messages: sent: shares, report, sum.
        sent_bytes: of these.
        latency_us: a rough estimate until the gateway has the sum.
    """

    partitions: int
    groups: int
    messages: int
    sent_bytes: int
    latency_us: float


def cost(plan: Plan, length: int) -> Cost:
    """Estimate a plan's cost for vectors of `length` symbols."""
    code = plan.code(plan.agents)
    share = 4 * code.share_length(length) + HEADER_BYTES
    messages = code.positions + 1
    members = -(-plan.agents // plan.groups)
    sent = code.positions * share + HEADER_BYTES
    received = (members - 1) * share
    depth = plan.groups.bit_length() - 1
    handled = MESSAGE_US * (messages + members + 2) + BYTE_US * (sent + received)
    hop = HOP_US + MESSAGE_US + BYTE_US * share
    return Cost(code.parts, plan.groups, messages, sent, handled + depth * hop)


def candidates(agents: int, collusion: int, dropouts: int, length: int) -> list[Cost]:
    """Return the cost of every K that fits, smallest K first."""
    most = min(agents - collusion - dropouts, 127 - collusion, max(dropouts + 1, length))
    return [
        cost(Plan(agents, collusion, dropouts, partitions), length)
        for partitions in range(dropouts + 1, most + 1)
    ]


def choose_partitions(
    agents: int,
    collusion: int,
    dropouts: int,
    length: int,
    optimise: Literal["bytes", "latency"],
) -> int:
    """Return the K with the fewest bytes sent, or the least latency; the smallest of equals.

    Raises:
        ConfigurationError: if no K fits.

    >>> choose_partitions(10, 1, 1, 20, "latency"), choose_partitions(10, 1, 1, 100_000, "bytes")
    (3, 8)
    """
    costs = candidates(min(agents, MAX_AGENTS), collusion, dropouts, length)
    if not costs:
        raise ConfigurationError(
            f"no partitions fit {agents} agents with collusion {collusion} and dropouts "
            f"{dropouts}: agents − collusion − dropouts must exceed dropouts"
        )
    best = min(costs, key=lambda c: c.sent_bytes if optimise == "bytes" else c.latency_us)
    return best.partitions
