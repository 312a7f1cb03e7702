"""The broker's access list, in the format of Mosquitto's `acl_file`.

One `user` block a client, least privilege, everything else denied (`$SYS` too). A client's username
is its certificate's common name is its id, and each topic has its writer's id as its fifth level
(`protoledger.protocol.wire.topics`): so nobody can write in another's name, read what is meant for
another, or see another site. What lies in the topics is signed or sealed besides; the list is there
so that a broken device cannot even try. Mosquitto grants every SUBSCRIBE and applies the list to
each message that it would deliver.
"""

import re
from collections.abc import Iterable

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.topics import ROOT

# X.520 allows a common name 64 characters. The allowed characters exclude MQTT's wildcards and
# levels (`+ # /`), Mosquitto's patterns (`%u`) and parent folders.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_BY_ANYONE = ("presence", "key")  # written by each client under its own id
_BY_GATEWAY = ("announce", "result")  # read by the site
_TO_GATEWAY = ("boxes", "answer")
_TO_AGENT = "deliver"  # a further level names the only reader


class NameRefusedError(ConfigurationError):
    """A name cannot be used in a certificate, as a level of an MQTT topic, or as a file name."""


def checked_name(name: str) -> str:
    """Return `name` if it is valid as a client's id or a site's name.

    Raises:
        NameRefusedError: If it is empty, is longer than 64 characters, does not begin with a letter
            or digit, or has other characters than letters, digits, dot, underscore and hyphen.
    """
    if not _NAME.fullmatch(name):
        raise NameRefusedError(
            f"the name {name!r} cannot be used in certificates and topics; use 1 to 64 letters, "
            "digits, '.', '_' or '-', beginning with a letter or a digit",
        )
    return name


def acl_text(site: str, gateway_id: str, agent_ids: Iterable[str]) -> str:
    r"""Return the access list of one site; the lists of several sites can be concatenated.

    Args:
        site: The site's name, the third level of its topics.
        gateway_id: The gateway's id, which is the common name of its certificate.
        agent_ids: The agents' ids, which are the common names of their certificates.

    Raises:
        NameRefusedError: If a name is invalid, or an id occurs more than once.

    Examples:
        >>> text = acl_text("attic", "attic.gateway", ["attic.agent-01"])
        >>> print(text.split("\n\n")[1])
        user attic.agent-01
        topic write protoledger/v1/attic/presence/attic.agent-01
        topic write protoledger/v1/attic/key/attic.agent-01
        topic write protoledger/v1/attic/boxes/attic.agent-01
        topic write protoledger/v1/attic/answer/attic.agent-01
        topic read protoledger/v1/attic/key/+
        topic read protoledger/v1/attic/announce/attic.gateway
        topic read protoledger/v1/attic/result/attic.gateway
        topic read protoledger/v1/attic/deliver/attic.gateway/attic.agent-01
        <BLANKLINE>
    """
    agents = list(agent_ids)
    ids = [gateway_id, *agents]
    for name in (site, *ids):
        checked_name(name)
    if len(set(ids)) < len(ids):
        twice = sorted({name for name in ids if ids.count(name) > 1})
        raise NameRefusedError(f"site {site!r} has an id more than once: {', '.join(twice)}")
    at = f"{ROOT}/{site}"
    by_gateway = [f"{at}/{kind}/{gateway_id}" for kind in _BY_GATEWAY]
    deliveries = f"{at}/{_TO_AGENT}/{gateway_id}"
    blocks = [
        _block(
            gateway_id,
            writes=[f"{at}/{kind}/{gateway_id}" for kind in _BY_ANYONE]
            + [*by_gateway, f"{deliveries}/+"],
            reads=[f"{at}/{kind}/+" for kind in _BY_ANYONE + _TO_GATEWAY],
        ),
    ]
    blocks += [
        _block(
            agent,
            writes=[f"{at}/{kind}/{agent}" for kind in _BY_ANYONE + _TO_GATEWAY],
            reads=[f"{at}/key/+", *by_gateway, f"{deliveries}/{agent}"],
        )
        for agent in agents
    ]
    return "\n".join(blocks)


def _block(user: str, writes: list[str], reads: list[str]) -> str:
    rules = [f"topic write {name}" for name in writes] + [f"topic read {name}" for name in reads]
    return "\n".join([f"user {user}", *rules, ""])
