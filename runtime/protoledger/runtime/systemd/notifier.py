"""Report a service's state to systemd: sd_notify(3) over systemd's datagram socket.

Without systemd (no NOTIFY_SOCKET) every method does nothing, so callers need not distinguish. The
caller pets the watchdog only after it has seen progress; `due` tells when the next time is.
"""

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """The service's side of the socket.

    Args:
        environment: where systemd's variables are looked up.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name  # @: abstract
        self._status = ""
        self._pet_at = 0.0
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout_us = environment.get("WATCHDOG_USEC", "")
        self.pet_every_s: float | None = None
        """Half of the unit's WatchdogSec, in seconds; None if the unit has no watchdog."""
        if self._address and mine and timeout_us.isdecimal() and int(timeout_us):
            self.pet_every_s = int(timeout_us) / 2e6

    def ready(self, status: str) -> None:
        """Report that the service has started; with Type=notify systemd waits for this."""
        self._status = status
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; an unchanged one is not sent again."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1")

    @property
    def due(self) -> float | None:
        """The monotonic time at which `pet` is due next; None if the unit has no watchdog."""
        return None if self.pet_every_s is None else self._pet_at

    def pet(self) -> None:
        """Report progress to the watchdog; calls that come too early send nothing."""
        if self.pet_every_s is not None and (now := time.monotonic()) >= self._pet_at:
            self._pet_at = now + self.pet_every_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # The service must go on if systemd does not read its socket.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(0.5)
            out.sendto(text.encode(), self._address)
