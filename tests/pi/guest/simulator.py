"""The world outside the Pi: what pulls its pins, by the files of the kernel's GPIO simulator."""

import time
from pathlib import Path

LABEL = "pinctrl-bcm2835"


class Pin:
    """A pin of the header, seen from the wire.

    Args:
        number: GPIO number.
    """

    def __init__(self, number):
        (lines,) = Path("/sys/devices/platform").glob("gpio-sim/gpiochip*")
        self._line = lines / f"sim_gpio{number}"

    def high(self):
        (self._line / "pull").write_text("pull-up")

    def low(self):
        (self._line / "pull").write_text("pull-down")

    @property
    def value(self):
        return int((self._line / "value").read_text())


def wait_until(condition, timeout_s=20.0):
    """Wait for something to become true, on a machine that may be slow; tells whether it did."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
