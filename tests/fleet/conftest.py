"""The fleet's hosts, as fixtures: booted once a module, and gone after it whatever happens."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.fleet.deployment import Deployment
from tests.fleet.golden import golden
from tests.fleet.machines import Machines

TOOLS = ("mmdebstrap", "systemd-nspawn", "dpkg-scanpackages", "ip", "nsenter", "ssh-keygen", "nft")


@pytest.fixture(scope="session")
def boot_tools() -> None:
    """Skip, with the reason, where no host can be booted."""
    if os.geteuid() != 0:
        pytest.skip("a fleet of containers needs root")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}; `make test-fleet` installs them")


@pytest.fixture(scope="module")
def boot(boot_tools: None) -> Iterator[Callable[..., Deployment]]:  # noqa: ARG001 - it may skip
    """Boot hosts for sites, given as `site → agents`; the hub is their broker and chain.

    Spare hosts are booted too, and are not in the inventory yet.
    """
    opened: list[Machines] = []

    def make(sites: dict[str, list[str]], spare: tuple[str, ...] = (), **options) -> Deployment:
        names = ["hub", *spare]
        for site, agents in sites.items():
            names += [f"{site}-gateway", *agents]
        machines = Machines(golden(), names)
        opened.append(machines)
        machines.__enter__()
        return Deployment(machines, sites, **options)

    try:
        yield make
    finally:
        for machines in opened:
            machines.close()
