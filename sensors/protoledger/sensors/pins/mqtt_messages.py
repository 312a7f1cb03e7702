"""The last message of each topic of an MQTT broker: one connection for all sensors that use it.

paho-mqtt connects, and connects again, in a thread of its own; its callbacks only store. Nothing
here waits: a sensor asks for the last message and decides whether it is recent enough. This is the
home's own broker; the rounds of a site use another connection, with other credentials.
"""

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protoledger.sensors.errors import BadOptions, SensorMissing
from protoledger.sensors.pins.messages import HomeBroker, Message

_MOST_BYTES = 65_536
_KEEPALIVE_S = 30
_LONGEST_PAUSE_S = 60


class BrokerConnection:
    """A connection that remembers the last message of each topic; safe for threads.

    Args:
        address: of the broker.
        clock: monotonic seconds.

    Raises:
        SensorMissing: a file of the address does not exist.
        BadOptions: a certificate, key or password cannot be used.
    """

    def __init__(self, address: HomeBroker, clock: Callable[[], float] = time.monotonic) -> None:
        from paho.mqtt import client as mqtt  # noqa: PLC0415 - an agent without this driver needs no second client
        from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

        self._address = address
        self._clock = clock
        self._lock = threading.Lock()
        self._topics: dict[str, int] = {}
        self._last: dict[str, Message] = {}
        self._refused: dict[str, str] = {}
        self._pending: dict[int, str] = {}
        self.trouble = "it has not answered yet"
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._failed
        self._client.on_disconnect = self._disconnected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received
        self._log_in()
        self._client.reconnect_delay_set(1, _LONGEST_PAUSE_S)
        self._client.connect_async(address.host, address.port, _KEEPALIVE_S)
        self._client.loop_start()

    def watch(self, topic: str, _example: Callable[[float], bytes]) -> None:
        """Subscribe to a topic, now and after each reconnection; counts its users."""
        with self._lock:
            first = topic not in self._topics
            self._topics[topic] = self._topics.get(topic, 0) + 1
        if first and self._client.is_connected():
            self._subscribe(topic)

    def unwatch(self, topic: str) -> None:
        """End one use of a topic; the last one unsubscribes and forgets its message."""
        with self._lock:
            self._topics[topic] -= 1
            if self._topics[topic]:
                return
            del self._topics[topic]
            self._last.pop(topic, None)
        self._client.unsubscribe(topic)

    def last(self, topic: str) -> Message | None:
        """The last message of a topic."""
        with self._lock:
            return self._last.get(topic)

    def problem(self, topic: str) -> str:
        """Why no message of a topic can come now; empty if one can."""
        with self._lock:
            return self.trouble or self._refused.get(topic, "")

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._client.disconnect()
        self._client.loop_stop()

    def _log_in(self) -> None:
        address = self._address
        for file in (
            address.ca_file, address.cert_file, address.key_file, address.password_file
        ):  # fmt: skip
            if file is not None and not Path(file).is_file():
                raise SensorMissing(f"there is no file {file}: check the options of the driver")
        try:
            if address.tls:
                context = ssl.create_default_context(cafile=address.ca_file)
                if address.cert_file is not None:
                    context.load_cert_chain(address.cert_file, address.key_file)
                self._client.tls_set_context(context)
            if address.username is not None:
                self._client.username_pw_set(address.username, self._password())
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise BadOptions(
                f"the certificate, key or password for {address} cannot be used: "
                f"{type(error).__name__}; check ca_file, cert_file, key_file, password_file"
            ) from None

    def _password(self) -> str | None:
        if self._address.password_file is None:
            return None
        lines = Path(self._address.password_file).read_text("utf-8").splitlines()
        return lines[0] if lines else ""

    def _subscribe(self, topic: str) -> None:
        _, number = self._client.subscribe(topic, qos=0)
        with self._lock:
            if number is not None:
                self._pending[number] = topic

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if reason.is_failure:
            self.trouble = f"it refuses the login ({reason}): check username and password_file"
            return
        self.trouble = ""
        with self._lock:
            self._pending.clear()
            topics = list(self._topics)
        for topic in topics:
            self._subscribe(topic)

    def _failed(self, _client: Any, _data: Any) -> None:
        self.trouble = "it cannot be reached: check host, port, tls and ca_file"

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: Any, _more: Any) -> None:
        if not self.trouble:
            self.trouble = f"the connection was lost ({reason})"

    def _subscribed(self, _client: Any, _data: Any, number: int, reasons: Any, _more: Any) -> None:
        with self._lock:
            topic = self._pending.pop(number, "")
            if any(reason.is_failure for reason in reasons):
                self._refused[topic] = "it does not allow this user to read the topic"
            else:
                self._refused.pop(topic, None)

    def _received(self, _client: Any, _data: Any, message: Any) -> None:
        payload = bytes(message.payload) if len(message.payload) <= _MOST_BYTES else None
        with self._lock:
            if message.topic in self._topics:
                self._last[message.topic] = Message(payload, self._clock(), bool(message.retain))
