"""Brokers that know certificates and the access list: Mosquitto, and one of another make.

The other is mochi-mqtt, a library in Go: `tests/support/mochi` is the program, `make mochi` builds
it. Its tests are those of Mosquitto, marked `long`.
"""

from pathlib import Path

import pytest

from protoledger.emulator.processes.broker import (
    LOOPBACK,
    MAX_PACKET_BYTES,
    BrokerAddress,
    Mosquitto,
    find_mosquitto,
    start_listening,
)
from protoledger.runtime.broker.limits import ROOMY
from protoledger.runtime.key_files import write_secret

PROGRAM = Path(__file__).resolve().parents[2] / ".venv/bin/mochi"
STRICT = ["mosquitto", pytest.param("mochi", marks=pytest.mark.long)]
"""Parameters of a fixture that asks `strict_broker` for each."""


class Mochi:
    """Takes what `protoledger.emulator.processes.broker.Mosquitto` takes, and the same list.

    It has no limit in bytes, neither of a client's queue nor of all memory.
    """

    def __init__(self, folder, authority, acl, children, limits=ROOMY):
        self._folder, self._authority, self._acl = folder, authority, acl
        self._children, self._limits = children, limits

    def start(self, timeout_s=10.0):
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        acl_file = self._folder / "mochi.acl"
        write_secret(acl_file, self._acl.encode(), replace=True)
        own, limits = self._authority.server(), self._limits
        options = {
            "ca": own.authority,
            "cert": own.certificate,
            "key": own.key,
            "acl": acl_file,
            "packet-bytes": min(limits.packet_bytes, MAX_PACKET_BYTES),
            "kept-messages": limits.inflight_messages + limits.queued_messages,
            "connections": limits.connections,
        }
        words = [word for name, value in options.items() for word in (f"-{name}", str(value))]
        port = start_listening(
            self._children,
            lambda port: [PROGRAM, "-listen", f"{LOOPBACK}:{port}", *words],
            self._authority.file,
            timeout_s,
        )
        return BrokerAddress(LOOPBACK, port, self._authority.file, client_certificates=True)


def strict_broker(name):
    """The class of the broker of this name."""
    if name == "mosquitto" and find_mosquitto() is None:
        pytest.skip("Mosquitto is not installed")
    if name == "mochi" and not PROGRAM.is_file():
        pytest.skip("mochi-mqtt is not built; `make mochi` builds it where Go is installed")
    return {"mosquitto": Mosquitto, "mochi": Mochi}[name]
