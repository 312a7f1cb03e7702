"""The replacement for Mosquitto where that is not installed: rumqttd, from the package `iotcore`.

It supports MQTT 5 over TLS, retained messages, last wills and message expiry. Unlike Mosquitto, it
requires no client certificates and has no access list, so a client can publish in the name of
another, or connect under its id and so end its connection. The protocol does not rely on the broker
for that, because its messages are signed or sealed; but a line of defence is missing, so use it for
emulation only.
"""

import importlib.util
import json
import sys
from pathlib import Path

from protoledger.emulator.errors import ProgramMissingError
from protoledger.emulator.processes.broker import (
    LOOPBACK,
    MAX_PACKET_BYTES,
    BrokerAddress,
    start_listening,
)
from protoledger.emulator.processes.certificates import CertificateAuthority
from protoledger.emulator.processes.children import Children
from protoledger.runtime.key_files import write_secret

NOTICE = "Mosquitto is not installed: using the embedded broker (TLS, but no access list)."

# Each topic filter has its own log of this many segments. A client loses the messages that it has
# not fetched when the oldest segment is deleted.
_SEGMENT_BYTES = 10 << 20
_SEGMENTS = 4


class EmbeddedBroker:
    """A rumqttd as a child process.

    Args:
        folder: Folder for the configuration.
        authority: Issues the broker's certificate.
        children: Owns the process, under the name `broker`.
    """

    def __init__(self, folder: Path, authority: CertificateAuthority, children: Children) -> None:
        self._folder = folder
        self._authority = authority
        self._children = children

    def start(self, timeout_s: float = 10.0) -> BrokerAddress:
        """Start it on a free port on loopback; see `protoledger.emulator.processes.broker.Broker`.

        Raises:
            ProgramMissingError: If the package `iotcore` is not installed.
            BrokerError: If it does not start.
        """
        if importlib.util.find_spec("iotcore") is None:
            raise ProgramMissingError(
                "the embedded broker needs the Python package iotcore; run `make setup`",
            )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        credentials = self._authority.server()
        file = self._folder / "rumqttd.toml"

        def arguments(port: int) -> list[str | Path]:
            table = _configuration(port, credentials.certificate, credentials.key)
            write_secret(file, table.encode(), replace=True)
            options = json.dumps({"config_path": str(file)})
            return [sys.executable, "-m", "iotcore._serve", options]

        port = start_listening(self._children, arguments, self._authority.file, timeout_s)
        return BrokerAddress(LOOPBACK, port, self._authority.file, client_certificates=False)


def _configuration(port: int, certificate: Path, key: Path) -> str:
    return f"""\
id = 0

[router]
id = 0
max_connections = 5000
max_outgoing_packet_count = 200
max_segment_size = {_SEGMENT_BYTES}
max_segment_count = {_SEGMENTS}

[v5.1]
name = "v5"
listen = "{LOOPBACK}:{port}"
next_connection_delay_ms = 0

[v5.1.tls]
certpath = {json.dumps(str(certificate))}
keypath = {json.dumps(str(key))}

[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = {MAX_PACKET_BYTES}
max_inflight_count = 500
dynamic_filters = true
"""
