"""The stand-in for Mosquitto where that cannot be installed: rumqttd, from the package `iotcore`.

It speaks MQTT v5 over TLS, keeps retained messages, sends last wills and honours message expiry.
What it lacks, compared with Mosquitto: it asks for no client certificates and has no access list,
so a client could publish in another's name. The protocol does not rely on the broker for that
(what counts is signed or sealed), but the defence in depth is absent: for emulation only.
"""

import importlib.util
import json
import sys
from pathlib import Path

from protoledger.emulator.errors import ToolMissingError
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

# Each topic filter has a log of its own of this many segments; what a reader has not fetched when
# the oldest one goes is lost to it.
_SEGMENT_BYTES = 10 << 20
_SEGMENTS = 4


class EmbeddedBroker:
    """A rumqttd as a child process.

    Args:
        folder: Where configuration and certificates go.
        authority: Issues the broker's certificate.
        children: Owns the process, which is named `broker` there.
    """

    def __init__(self, folder: Path, authority: CertificateAuthority, children: Children) -> None:
        self._folder = folder
        self._authority = authority
        self._children = children

    def start(self, timeout_s: float = 10.0) -> BrokerAddress:
        """Start it on a free port on loopback; see `protoledger.emulator.processes.broker.Broker`.

        Raises:
            ToolMissingError: If the package `iotcore` is not installed.
            BrokerError: If it does not come up.
        """
        if importlib.util.find_spec("iotcore") is None:
            raise ToolMissingError(
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
