"""What a broker should allow a client, from what a site's rounds need.

Without limits one certificate takes the broker's memory: it publishes large messages to a topic
that it reads itself, and reads none. What a broker keeps for a client is at most its messages in
flight and its queue; both follow from how large a round's messages are, and how many come at once.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protoledger.protocol.wire.messages import MAX_BYTES
from protoledger.protocol.wire.terms import Terms

_PACKET_SLACK = 1024
_ROUNDS_QUEUED = 4
_LEAST_QUEUED_BYTES = 2**20
_HELLO_BYTES = 512
_IN_FLIGHT = 64
_LEAST_CONNECTIONS = 32
_BROKER_BYTES = 48 * 2**20
_CONNECTION_BYTES = 2**17  # with TLS


@dataclass(frozen=True)
class BrokerLimits:
    """Limits as Mosquitto's configuration has them, for each client.

    Attributes:
        packet_bytes: the largest MQTT packet.
        inflight_messages: sent to a client and not yet acknowledged.
        queued_messages: waiting behind those; Mosquitto 2.0.21 adds `inflight_messages` to it.
        queued_bytes: of these.
        connections: of all clients.
        memory_bytes: that the broker may take for all of it. Mosquitto limits no client's
            subscriptions; the client that takes the last of the memory is disconnected.
    """

    packet_bytes: int
    inflight_messages: int
    queued_messages: int
    queued_bytes: int
    connections: int
    memory_bytes: int


ROOMY = BrokerLimits(MAX_BYTES, _IN_FLIGHT, 10_000, 64 * 2**20, 10_000, 2**32)
"""For brokers of tests and benchmarks that do not say what their rounds need."""


def limits_of(terms: Terms) -> BrokerLimits:
    """Return what a site of these terms needs, and not much more."""
    agents = terms.plan.agents
    packet = terms.message_bytes + _PACKET_SLACK
    boxes = terms.plan.committee * terms.box_bytes + terms.layout.declared_bytes + _PACKET_SLACK
    a_round = max(packet, agents * boxes)  # to the gateway
    hellos = agents * _HELLO_BYTES  # retained, at each connection
    queued = max(_LEAST_QUEUED_BYTES, _ROUNDS_QUEUED * a_round + 2 * hellos)
    connections = max(_LEAST_CONNECTIONS, 2 * (agents + 1))
    return BrokerLimits(
        packet_bytes=packet,
        inflight_messages=_IN_FLIGHT,
        queued_messages=_ROUNDS_QUEUED * (agents + 8) + 2 * agents,
        queued_bytes=queued,
        connections=connections,
        memory_bytes=_BROKER_BYTES + 4 * queued + connections * _CONNECTION_BYTES,
    )


def joined(sites: Iterable[BrokerLimits]) -> BrokerLimits:
    """Return what one broker of several sites allows: what the largest of them needs of each.

    >>> small, large = BrokerLimits(10, 64, 5, 100, 32, 7), BrokerLimits(20, 64, 9, 300, 40, 8)
    >>> both = joined([small, large])
    >>> both.packet_bytes, both.queued_bytes, both.connections, both.memory_bytes
    (20, 300, 72, 15)
    """
    each = list(sites)
    return BrokerLimits(
        packet_bytes=max(one.packet_bytes for one in each),
        inflight_messages=max(one.inflight_messages for one in each),
        queued_messages=max(one.queued_messages for one in each),
        queued_bytes=max(one.queued_bytes for one in each),
        connections=sum(one.connections for one in each),
        memory_bytes=sum(one.memory_bytes for one in each),
    )
