"""Power cuts: QEMU is killed while an agent runs and files are written, and switched on again.

What the guest had written and not yet sent to its disk is lost then, as on a Pi. What it had sent
is kept, which a card with a cache of its own does not promise.
"""

import hashlib
import os
import random
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from protoledger.emulator.processes.children import Children
from tests.pi.pi_guest import Guest
from tests.pi.pi_kits import SIMULATED, KitSite
from tests.pi.pi_readonly import LABEL, write_readonly
from tests.pi.pi_site import SITE, Site
from tests.pi.system.pi_disk import check, write_data

pytestmark = pytest.mark.pi

CUTS = int(os.environ.get("CUTS", "3"))
SEED = 16
NAMES = tuple(f"attic-pi-{number}" for number in range(1, 5))
WRITING = "power write"
PLACES = ("/", "/data", "/media/root-ro", "/var/lib/private/protoledger")
BOOT_S, LONGEST_S = 30.0, 80.0
KEPT_AFTER_S = 70.0
"""Files that are not written through are on the disk after that: 35 s until the kernel writes them,
30 until the file system commits what it knows of them, and what writes them."""


class Machine(NamedTuple):
    """A guest and its data partition, or None."""

    guest: Guest
    data: Path | None

    def switch_on(self):
        """Start it, without waiting until it is up."""
        self.guest.switch_on(*([self.data] if self.data else []))


@pytest.fixture(params=["writable root", "read-only root"])
def machine(request):
    folder = Path(tempfile.mkdtemp(prefix="pi-"))
    try:
        with Children(folder / "logs") as children:
            kits = KitSite(folder / "kits", dict.fromkeys(NAMES, SIMULATED))
            site = Site(folder / SITE, children, kits.access)
            guest = Guest(folder, children)

            def write_files(tree):
                kits.write_guest(tree / "opt/pi/kits", site.authority, site.port)
                write_readonly(folder / "readonly", tree / "opt/pi/readonly")

            guest.write(write_files)
            read_only = request.param.startswith("read-only")
            made = Machine(guest, folder / "data.img" if read_only else None)
            if made.data:
                write_data(made.data, LABEL)
            made.switch_on()
            guest.wait_until_up()
            for what in ("install", *(["close"] if read_only else [])):
                assert guest.do(f"power {what}", what=what, kit=NAMES[0])["code"] == 0
            guest.switch_off()
            yield made
    finally:
        shutil.rmtree(folder)


class Written:
    """What was told to be written, and so must be found after the next cut."""

    def __init__(self):
        self._last = dict.fromkeys(("store", "model", "rows"), 0)
        self._windows = self._next_windows = []
        self._next = 0

    def take(self, events):
        """Take note of what one boot told."""
        for event in events:
            match event:
                case {"event": "begins", "number": number, "spool": windows}:
                    self._next, self._next_windows = number, windows
                case {"event": "wrote", "what": "spool"}:
                    self._windows = self._next_windows
                case {"event": "wrote", "what": what, "number": number}:
                    self._last[what] = number

    def compare(self, found):
        """Compare with what a boot found; the write that was cut may be there, whole, or not."""
        for what, last in self._last.items():
            assert found[what] in (last, self._next), (what, self._last, self._next)
        assert found["spool"] in (self._windows, self._next_windows)
        self._last = {what: found[what] for what in self._last}
        self._windows = self._next_windows = found["spool"]


def digest(image):
    with image.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def told(guest, event):
    """Wait for an event of this boot and return it."""

    def found():
        return [one for one in guest.told if one["event"] == event]

    guest.wait(event, lambda: found() or WRITING in guest.ended)
    assert found(), guest.shown_by(WRITING)
    return found()[0]


def start_writing(machine, boot):
    """Switch it on, look at how it came up, and let it write; returns both."""
    machine.switch_on()
    machine.guest.wait_until_up()
    machine.guest.order(WRITING, what="write", boot=boot)
    came_up = told(machine.guest, "machine")
    return came_up, told(machine.guest, "found")


def assert_well(machine, came_up):
    """The disks are what they are to be, and neither kernel nor systemd complains."""
    root, _data, lower, state = (came_up["mounts"][place] for place in PLACES)
    if machine.data:
        assert root == ["overlayroot", "overlay"]
        assert lower == ["/dev/vda", "ext4"]
        assert state == ["/dev/vdb", "ext4"]
    else:
        assert (root, lower, state) == (["/dev/vda", "ext4"], None, None)
    assert not came_up["failed"] + came_up["kernel"] + came_up["damaged"]


def remembered(machine, came_up):
    """The boots of which the log that is to outlive a cut still has its line."""
    return set(came_up["errors"] if machine.data else came_up["journal"])


def assert_sound(machine):
    """What the next boot would find on the disks is clean."""
    for image in (machine.guest.root, machine.data):
        if image:
            assert not check(image), image.name


def test_a_power_cut_loses_and_repeats_nothing_that_was_written(machine):
    guest, chance, written = machine.guest, random.Random(SEED), Written()
    root = digest(guest.root)
    kept = set()
    for boot in range(1, CUTS + 1):
        came_up, found = start_writing(machine, boot)
        print(f"boot {boot}:", {**found, "spool": len(found["spool"])}, came_up["errors"])
        written.compare(found)
        assert_well(machine, came_up)
        assert kept <= remembered(machine, came_up)
        with_agent = chance.random() < 0.5
        seconds = LONGEST_S if boot == 1 else chance.uniform(0, LONGEST_S)
        if with_agent:
            assert_well(machine, told(guest, "agent"))
        guest.look_on(seconds)
        guest.cut_power()
        if seconds > KEPT_AFTER_S:
            kept.add(boot)
        written.take(guest.told)
        assert_sound(machine)

        # and while it boots
        machine.switch_on()
        guest.look_on(chance.uniform(0, BOOT_S))
        guest.cut_power()
        assert_sound(machine)
    came_up, found = start_writing(machine, CUTS + 1)
    written.compare(found)
    assert kept <= remembered(machine, came_up)
    assert_well(machine, told(guest, "agent"))
    guest.order("stop")
    guest.wait_for_end(WRITING)
    guest.switch_off()
    assert_sound(machine)
    assert (digest(guest.root) == root) is bool(machine.data)
