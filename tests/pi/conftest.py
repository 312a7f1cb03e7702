"""One boot of the emulated Pi serves all tests but those of power cuts."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from protoledger.emulator.processes.children import Children
from tests.pi.pi_guest import Guest
from tests.pi.pi_home import Home
from tests.pi.pi_kits import KitSite, kits_at
from tests.pi.pi_site import SITE, Authority, Site

collect_ignore = ["guest"]  # these are tests inside the guest


class Deployment(NamedTuple):
    """The guest, the site whose rounds its agent takes part in, and that of the kits."""

    guest: Guest
    site: Site
    kits: KitSite


@pytest.fixture(scope="session")
def deployment():
    folder = Path(tempfile.mkdtemp(prefix="pi-"))
    try:
        with Children(folder / "logs") as children:
            home_authority = Authority(folder / "home-tls")
            home = Home(folder / "home", home_authority, children)
            try:
                kits = KitSite(folder / "kits", kits_at(home), home_authority.file.read_text())
                site = Site(folder / SITE, children, kits.access)
                guest = Guest(folder, children)

                def write_files(tree):
                    site.write_guest(tree / "etc/bench")
                    kits.write_guest(tree / "opt/pi/kits", site.authority, site.port)

                guest.write(write_files)
                guest.switch_on()
                guest.wait_until_up()
                yield Deployment(guest, site, kits)
                guest.switch_off()
            finally:
                home.close()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def guest(deployment):
    return deployment.guest
