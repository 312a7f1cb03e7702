"""MQTT topics: `protoledger/v1/<site>/<kind>/<sender>[/<receiver>]`.

The sender is always a level of its own, so that a broker's access list can bind each client to its
own name. Presence is a hint from the broker (a last will cannot be signed afresh); all else is
authenticated inside.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from protoledger.protocol.errors import DecodeError
from protoledger.protocol.wire.messages import Kind

ROOT = "protoledger/v1"
PRESENCE = "presence"
ONLINE = b"1"
OFFLINE = b"0"

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
"""What sites and devices may be called: no wildcard, slash or upper case."""

KINDS = (Kind.KEY, Kind.ANNOUNCE, Kind.BOXES, Kind.DELIVER, Kind.ANSWER, Kind.RESULT)
PAIRED = frozenset({Kind.DELIVER})
"""Kinds whose topic names a receiver."""
_NAMES = {kind.name.lower(): kind for kind in KINDS}


def is_name(text: str) -> bool:
    r"""Whether a site or device may be called so.

    >>> is_name("pi-1"), is_name("pi-1\n"), is_name("+")
    (True, False, False)
    """
    return re.fullmatch(NAME_PATTERN, text) is not None and not text.endswith("\n")


@dataclass(frozen=True)
class Address:
    """A topic taken apart.

    `kind` is None for presence, `receiver` is set for deliveries.
    """

    site: str
    kind: Kind | None
    sender: str
    receiver: str | None = None


def topic(site: str, kind: Kind | None, sender: str, receiver: str | None = None) -> str:
    """Name the topic that `sender` writes.

    >>> topic("attic", Kind.DELIVER, "gateway", "pi-2")
    'protoledger/v1/attic/deliver/gateway/pi-2'
    """
    name = PRESENCE if kind is None else kind.name.lower()
    levels = [ROOT, site, name, sender]
    if receiver is not None:
        levels.append(receiver)
    return "/".join(levels)


@lru_cache(maxsize=4096)  # a site has few, and each comes in every round
def parse(text: str) -> Address:
    """Take a topic apart.

    Raises:
        DecodeError: if it is none of ours.
    """
    levels = text.split("/")
    if levels[:2] != ROOT.split("/") or len(levels) not in {5, 6}:
        raise DecodeError(f"topic {text!r} is none of {ROOT}/<site>/<kind>/<sender>[/<receiver>]")
    _, _, site, name, sender, *receiver = levels
    kind = _NAMES.get(name)
    if (kind is None and name != PRESENCE) or bool(receiver) != (kind in PAIRED):
        raise DecodeError(f"topic {text!r} has no known kind")
    if not all(is_name(level) for level in (site, sender, *receiver)):
        raise DecodeError(f"topic {text!r} has a level that is no name")
    return Address(site, kind, sender, receiver[0] if receiver else None)


def is_hello(name: str) -> bool:
    """Return whether a topic or a subscription is for hellos.

    >>> is_hello(topic("attic", Kind.KEY, "+"))
    True
    """
    return name.split("/")[3] == Kind.KEY.name.lower()


def subscribed_qos(name: str) -> int:
    """Return the QoS to subscribe with: 1 for what the broker retains, 0 for a round's messages.

    No connection takes messages of another one over, so that acknowledging each to the broker would
    double the packets and bring nothing.

    >>> subscribed_qos(topic("attic", Kind.KEY, "+")), subscribed_qos("x/y")
    (1, 1)
    >>> subscribed_qos(topic("attic", Kind.DELIVER, "gateway", "pi-2"))
    0
    """
    levels = name.split("/")
    found = _NAMES.get(levels[3]) if levels[:2] == ROOT.split("/") and len(levels) > 4 else None
    return int(found in {None, Kind.KEY})


def agent_subscriptions(site: str, me: str, gateway: str, holders: list[str] | None) -> list[str]:
    """Name what an agent reads.

    Args:
        site: its name.
        me: the agent.
        gateway: of the site.
        holders: whose hellos it may need; None for everybody's, as for who may hold a position.
    """
    hellos = [gateway, *(["+"] if holders is None else holders)]
    return [
        *(topic(site, Kind.KEY, name) for name in hellos),
        topic(site, Kind.DELIVER, gateway, me),
        topic(site, Kind.ANNOUNCE, gateway),
        topic(site, Kind.RESULT, gateway),
    ]


def gateway_subscriptions(site: str, agents: list[str]) -> list[str]:
    """Name what a gateway reads, by agent: one that floods can be left out."""
    return [one for agent in agents for one in agent_topics(site, agent)]


def agent_topics(site: str, agent: str) -> list[str]:
    """Name what a gateway reads of one agent."""
    return [topic(site, kind, agent) for kind in (Kind.KEY, None, Kind.BOXES, Kind.ANSWER)]
