"""The broker's access list: who may write and read which topic, as Mosquitto's `acl_file` has it.

One `user` block a client, least privilege, everything else denied (`$SYS` too). A client's username
is its certificate's common name is its id, and each topic has its writer's id as its fifth level
(`protoledger.protocol.wire.topics`): so nobody can write in another's name, read shares meant for
another, or see another site. What lies in the topics is signed or sealed besides; the list is there
so that a broken device cannot even try. Mosquitto grants every SUBSCRIBE and applies the list to
each message that it would deliver.
"""

import re
from collections.abc import Iterable

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.topics import ROOT

# 64 characters is what X.520 allows a common name; the rest keeps MQTT's wildcards and levels
# (`+ # /`), `%u` patterns and parent folders out of topics, access lists and file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_BY_ANYONE = ("presence", "key")  # written by each client under its own id, read by the site
_BY_GATEWAY = ("announce", "include", "result")  # read by the site
_TO_GATEWAY = ("received", "sum")
_TO_PEER = ("share", "partial")  # a further level names the only reader


class NameRefusedError(ConfigurationError):
    """A name cannot become a certificate's subject, an MQTT topic level and a file's name."""


def checked_name(name: str) -> str:
    """Hand back `name` if it may be a client's id or a site's name.

    Raises:
        NameRefusedError: If it is empty, longer than 64 characters, does not begin with a letter
            or digit, or holds anything besides letters, digits, dot, underscore and hyphen.
    """
    if not _NAME.fullmatch(name):
        raise NameRefusedError(
            f"the name {name!r} cannot be used in certificates and topics; take 1 to 64 letters, "
            "digits, '.', '_' or '-', beginning with a letter or a digit",
        )
    return name


def acl_text(site: str, gateway_id: str, agent_ids: Iterable[str]) -> str:
    r"""Write the part of an access list that concerns one site.

    The parts of several sites can simply be put one behind the other.

    Args:
        site: Its name, the third topic level.
        gateway_id: The gateway's id, which is its certificate's common name.
        agent_ids: The agents' ids, likewise.

    Raises:
        NameRefusedError: If a name could not be a topic level, or an id occurs twice.

    Examples:
        >>> text = acl_text("attic", "attic.gateway", ["attic.agent-01"])
        >>> print(text.split("\n\n")[1])
        user attic.agent-01
        topic write protoledger/v1/attic/presence/attic.agent-01
        topic write protoledger/v1/attic/key/attic.agent-01
        topic write protoledger/v1/attic/received/attic.agent-01
        topic write protoledger/v1/attic/sum/attic.agent-01
        topic write protoledger/v1/attic/share/attic.agent-01/+
        topic write protoledger/v1/attic/partial/attic.agent-01/+
        topic read protoledger/v1/attic/presence/+
        topic read protoledger/v1/attic/key/+
        topic read protoledger/v1/attic/announce/attic.gateway
        topic read protoledger/v1/attic/include/attic.gateway
        topic read protoledger/v1/attic/result/attic.gateway
        topic read protoledger/v1/attic/share/+/attic.agent-01
        topic read protoledger/v1/attic/partial/+/attic.agent-01
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
    blocks = [
        _block(
            gateway_id,
            writes=[f"{at}/{kind}/{gateway_id}" for kind in _BY_ANYONE + _BY_GATEWAY],
            reads=[f"{at}/{kind}/+" for kind in _BY_ANYONE + _TO_GATEWAY],
        ),
    ]
    for agent in agents:
        own = [f"{at}/{kind}/{agent}" for kind in _BY_ANYONE + _TO_GATEWAY]
        site_wide = [f"{at}/{kind}/+" for kind in _BY_ANYONE]
        gateways = [f"{at}/{kind}/{gateway_id}" for kind in _BY_GATEWAY]
        blocks.append(
            _block(
                agent,
                writes=own + [f"{at}/{kind}/{agent}/+" for kind in _TO_PEER],
                reads=site_wide + gateways + [f"{at}/{kind}/+/{agent}" for kind in _TO_PEER],
            ),
        )
    return "\n".join(blocks)


def _block(user: str, writes: list[str], reads: list[str]) -> str:
    rules = [f"topic write {name}" for name in writes] + [f"topic read {name}" for name in reads]
    return "\n".join([f"user {user}", *rules, ""])
