"""The page of an emulation: all its sites, in the process that `protoledger dashboard` becomes."""

import contextlib
import socket
import sys
import time
from pathlib import Path
from typing import Final

from protoledger.dashboard.server.settings import Settings
from protoledger.emulator.processes.children import SERVERS, Children

PORT: Final = 8765
"""Tried first, so that the address is the same the next time."""
LOOK_EVERY_S: Final = 0.5
PATIENCE_S: Final = 60.0
"""An address is named when something answers there; after so long in any case."""


class Page:
    """Starts the page's process.

    Args:
        children: starts it.
        stores: each site's name and its gateway's store, which need not exist yet.

    Attributes:
        url: where it is.
    """

    def __init__(self, children: Children, stores: list[tuple[str, Path]]) -> None:
        port = _free(PORT) or _free(0)
        sites = tuple((name, str(store)) for name, store in stores)
        settings = Settings(sites=sites, port=port, until_input_ends=True)
        command = [sys.executable, "-m", "protoledger.dashboard.server", settings.encode()]
        children.start("page", command, layer=SERVERS)
        self.url = f"http://127.0.0.1:{port}/"
        end = time.monotonic() + PATIENCE_S
        while not _answers(port) and time.monotonic() < end:
            children.wait_any(LOOK_EVERY_S / 5)

    @staticmethod
    def wait(children: Children) -> None:
        """Wait until Ctrl-C; the page's end is an error."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                children.wait_any(LOOK_EVERY_S)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), LOOK_EVERY_S).close()
    except OSError:
        return False
    return True


def _free(port: int) -> int:
    """Return a free port, the wanted one if it is; 0 if it is not."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
        return int(probe.getsockname()[1])
