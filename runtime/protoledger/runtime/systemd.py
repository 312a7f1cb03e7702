"""Tell systemd how a service does: sd_notify(3) over its datagram socket.

Without systemd (no NOTIFY_SOCKET) all of it does nothing, so callers need not ask. Whoever pets the
watchdog must have seen progress first: that is the caller's business, `due` says when it is time.
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
        """Half of the unit's WatchdogSec; None if nobody waits for it."""
        if self._address and mine and timeout_us.isdecimal() and int(timeout_us):
            self.pet_every_s = int(timeout_us) / 2e6

    def ready(self, status: str) -> None:
        """The service has started; with Type=notify systemd waits for this."""
        self._status = status
        self._send(f"READY=1\nSTATUS={status}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; an unchanged one is not sent again."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """The service is about to leave."""
        self._send("STOPPING=1")

    @property
    def due(self) -> float | None:
        """When the watchdog wants to be petted next, monotonic; None if there is none."""
        return None if self.pet_every_s is None else self._pet_at

    def pet(self) -> None:
        """Say that there was progress; more often than needed costs nothing."""
        if self.pet_every_s is not None and (now := time.monotonic()) >= self._pet_at:
            self._pet_at = now + self.pet_every_s
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # A manager that does not listen must not take the service with it.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.settimeout(0.5)
            out.sendto(text.encode(), self._address)
