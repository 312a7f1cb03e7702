"""A small site's files and an agent's, for tests that need no broker."""

import yaml

from protoledger.protocol.wire.identity import Member
from protoledger.runtime.identity_files import create_identity, load_roster, write_roster
from protoledger.runtime.site import SiteConfig, load

SITE = {
    "site": "hut",
    "channels": [{"name": n, "low": 0, "high": 10, "step": 0.1} for n in ("a", "b")],
    "labels": ["no", "yes"],
    "broker": {"host": "localhost", "port": 1883, "plaintext": True},
}
AGENT = {
    "id": "pi-0",
    "site_file": "site.yaml",
    "roster_file": "roster.json",
    "identity_file": "pi-0.identity",
    "sensors": [{"channel": "a", "driver": "mock"}, {"channel": "b", "driver": "mock"}],
}


def write_site(folder, site=SITE, channels=("a", "b"), votes=False, agents=4):
    """Write site file, roster and identities; returns the loaded site and roster."""
    fleet = create_identity(folder / "fleet.key")
    members = [
        Member(name, create_identity(folder / f"{name}.identity").public_key.hex(), channels, votes)
        for name in (f"pi-{i}" for i in range(agents))
    ]
    gateway = Member("gw", create_identity(folder / "gw.identity").public_key.hex())
    write_roster(folder / "roster.json", "hut", gateway, tuple(members), fleet)
    content = {**site, "fleet_key": fleet.public_key.hex()}
    (folder / "site.yaml").write_text(yaml.safe_dump(content))
    return load(folder / "site.yaml", SiteConfig), load_roster(
        folder / "roster.json", fleet.public_key
    )
