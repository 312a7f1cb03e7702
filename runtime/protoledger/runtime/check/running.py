"""What a check says of a device that runs, and whose only connection it must not end."""

import os
from collections.abc import Iterator

from protoledger.runtime.check.findings import Item, ok, skipped
from protoledger.runtime.site import BrokerConfig


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number, as whatever user it runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_connected(broker: BrokerConfig, device: str, pid: int) -> Iterator[Item]:
    """Report the items of `check_broker` for a device that is connected, without connecting.

    Args:
        broker: the broker's address.
        device: the device's id.
        pid: its process, which says that it is connected.
    """
    where = f"{broker.host}:{broker.port}"
    yield ok("broker", f"{where} lets {device} in: its process {pid} is connected")
    why = f"not tested: a second connection would end that of process {pid}; stop it to test"
    yield skipped("access list", why)
