"""A device that floods: one certificate of the site sends so many messages a second.

The messages are well-formed boxes of a round to come, sealed by nobody: the gateway has to read
each until it reads no more of their sender.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from protoledger.emulator.errors import EmulatorError
from protoledger.emulator.processes.broker import BrokerAddress
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.topics import topic

_EVERY_S = 0.02
_CONNECT_S = 60.0


class Flooder:
    """Sends from a thread, from entering to leaving the block.

    Args:
        broker: where to.
        files: certificate and key of the device.
        site: its site.
        names: of the device and of the site's gateway.
        rate: messages a second, if the broker takes them as fast.

    Attributes:
        sent: messages so far.
    """

    def __init__(
        self,
        broker: BrokerAddress,
        files: tuple[Path, Path],
        site: str,
        names: tuple[str, str],
        rate: float,
    ) -> None:
        self.sent = 0
        self._rate = rate
        me, gateway = names
        seal = messages.encode([3, int(Kind.BOXES), 2**40, me, gateway, os.urandom(60)])
        self._packet = _publish(topic(site, Kind.BOXES, me), seal)
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=me, protocol=MQTTProtocolVersion.MQTTv5
        )
        certificate, key = files
        self._client.tls_set(str(broker.authority), str(certificate), str(key))
        self._client.connect(broker.host, broker.port, keepalive=3600)
        until = time.monotonic() + _CONNECT_S
        while not self._client.is_connected():
            self._client.loop(0.1)
            if time.monotonic() > until:
                raise EmulatorError(f"the broker does not take {me}, who is to flood it")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_CONNECT_S)
        self._client.disconnect()

    def _run(self) -> None:
        sock: Any = self._client.socket()
        sock.setblocking(True)
        begun = time.monotonic()
        while not self._stop.wait(_EVERY_S):
            due = int(self._rate * (time.monotonic() - begun)) - self.sent
            if due > 0:
                sock.sendall(self._packet * due)
                self.sent += due


def _publish(name: str, payload: bytes) -> bytes:
    """Return a PUBLISH of MQTT 5, QoS 0 and without properties."""
    body = len(name).to_bytes(2, "big") + name.encode() + b"\0" + payload
    length, left = b"", len(body)
    while True:
        left, low = left >> 7, left & 127
        length += bytes([low | 128 if left else low])
        if not left:
            return b"\x30" + length + body
