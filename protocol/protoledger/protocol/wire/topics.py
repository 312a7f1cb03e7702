"""MQTT topics: `protoledger/v1/<site>/<kind>/<sender>[/<receiver>]`.

The sender is always a level of its own, so that a broker's access list can bind each client to its
own name. Presence is a hint from the broker (a last will cannot be signed afresh); all else is
authenticated inside.
"""

import re
from dataclasses import dataclass

from protoledger.protocol.errors import DecodeError
from protoledger.protocol.wire.messages import Kind

ROOT = "protoledger/v1"
PRESENCE = "presence"
ONLINE = b"1"
OFFLINE = b"0"

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
"""What sites and devices may be called: no wildcard, slash or upper case."""

_NAMES = {kind.name.lower(): kind for kind in Kind}
_PAIRED = {Kind.SHARE, Kind.PARTIAL}


def is_name(text: str) -> bool:
    r"""Whether a site or device may be called so.

    >>> is_name("pi-1"), is_name("pi-1\n"), is_name("+")
    (True, False, False)
    """
    return re.fullmatch(NAME_PATTERN, text) is not None and not text.endswith("\n")


@dataclass(frozen=True)
class Address:
    """A topic taken apart.

    `kind` is None for presence, `receiver` is set for shares and partial sums.
    """

    site: str
    kind: Kind | None
    sender: str
    receiver: str | None = None


def topic(site: str, kind: Kind | None, sender: str, receiver: str | None = None) -> str:
    """Name the topic that `sender` writes.

    >>> topic("attic", Kind.SHARE, "pi-1", "pi-2")
    'protoledger/v1/attic/share/pi-1/pi-2'
    """
    name = PRESENCE if kind is None else kind.name.lower()
    levels = [ROOT, site, name, sender]
    if receiver is not None:
        levels.append(receiver)
    return "/".join(levels)


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
    if (kind is None and name != PRESENCE) or bool(receiver) != (kind in _PAIRED):
        raise DecodeError(f"topic {text!r} has no known kind")
    if not all(is_name(level) for level in (site, sender, *receiver)):
        raise DecodeError(f"topic {text!r} has a level that is no name")
    return Address(site, kind, sender, receiver[0] if receiver else None)


def agent_subscriptions(site: str, me: str, gateway: str, peers: list[str]) -> list[str]:
    """Name what an agent reads; `peers` are those whose keys it may need."""
    by_gateway = [topic(site, k, gateway) for k in (Kind.ANNOUNCE, Kind.INCLUDE, Kind.RESULT)]
    by_peers = [topic(site, kind, peer) for peer in peers for kind in (Kind.KEY, None)]
    return [
        topic(site, Kind.KEY, gateway),
        *by_peers,
        topic(site, Kind.SHARE, "+", me),
        topic(site, Kind.PARTIAL, "+", me),
        *by_gateway,
    ]


def gateway_subscriptions(site: str) -> list[str]:
    """Name what a gateway reads."""
    kinds = (Kind.KEY, None, Kind.RECEIVED, Kind.SUM)
    return [topic(site, kind, "+") for kind in kinds]
