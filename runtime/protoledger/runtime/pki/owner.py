"""The owner's folder: what only the owner of a site may hold, and what the devices handed in.

`protoledger site` and the playbooks (as `fleet_state`) use the same layout:

    pki/              the certificate authority: ca.key, ca.crt, crl.pem, certificates/ID.crt
    fleet.key         the key that signs rosters
    devices/ID.json   a device's public half: identity, channels, votes, chain account
    retired/ID.json   the same of a device that may never come back under this id
    chain/            owner.key, which owns the contracts, and deployment.json, where they are
"""

import json
import tempfile
from pathlib import Path

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.identity_files import load_identity, load_roster, write_roster
from protoledger.runtime.site import SiteConfig

FLEET_KEY = "fleet.key"


def member_of(folder: Path, device: str, suffix: str = "") -> Member:
    """Read a device's public half.

    Raises:
        ConfigurationError: if the device has not handed it in, or the file is malformed.
    """
    path = folder / "devices" / f"{device}.json{suffix}"
    try:
        told = json.loads(path.read_text())
        return Member(device, told["public_key"], tuple(told["channels"]), bool(told["votes"]))
    except FileNotFoundError:
        raise ConfigurationError(
            f"{device} has no public key yet ({path}); it has to hand in a request first"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: is no device's public half: {error!r}") from error


def signed_roster(
    folder: Path, site: SiteConfig, gateway: str, agents: list[str], suffix: str = ""
) -> str:
    """Sign the roster of a site's devices, as a text; nothing is written.

    Args:
        folder: the owner's folder.
        site: the site's file.
        gateway: the gateway's id.
        agents: the agents' ids.
        suffix: of the public halves' file names.

    Raises:
        ConfigurationError: if a public half is missing, or a gateway or agent would refuse the
            roster together with this site's file; it names every reason.
    """
    fleet = load_identity(folder / FLEET_KEY)
    first = member_of(folder, gateway, suffix)
    members = tuple(member_of(folder, agent, suffix) for agent in agents)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "roster.json"
        write_roster(path, site.site, Member(first.id, first.public_key), members, fleet)
        site.terms(load_roster(path, fleet.public_key))
        return path.read_text()
