"""The one file that talks MQTT.

A `Link` is one client of the broker. Its callbacks only put events into the owner's queue; one loop
decides. paho reconnects by itself, for ever, and starts with the broker down; every subscription is
renewed at each connection, and nothing of a former one is kept: what is late is of another round.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protocol.config import BrokerConfig, CredentialsConfig
from protocol.errors import ConfigurationError
from protocol.files import read_secret
from protocol.messages import MAX_BYTES

KEEPALIVE_S = 15
_FATAL = {"Not authorized", "Bad user name or password", "Banned", "Client identifier not valid"}


@dataclass(frozen=True)
class LinkUp:
    """Connected and subscribed; retained messages follow."""

    client: str


@dataclass(frozen=True)
class LinkDown:
    """The connection is gone; paho is trying again."""

    client: str
    reason: str


@dataclass(frozen=True)
class Arrived:
    """A message from the broker, not yet looked at."""

    client: str
    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """The broker will not take this client or its message; trying again will not help."""

    client: str
    what: str
    reason: str


LinkEvent = LinkUp | LinkDown | Arrived | Refused


@dataclass
class Traffic:
    """Bytes of topics and payloads that went through a link."""

    sent: int = 0
    received: int = 0


class Link:
    """A client of the broker.

    Args:
        client_id: also the user's name; a second client with it throws this one out.
        broker: where.
        credentials: what to show.
        subscriptions: topics to read.
        will: (topic, payload), retained, published by the broker when this client vanishes.
        notify: called from paho's thread with each event; must only enqueue.
    """

    def __init__(
        self,
        client_id: str,
        broker: BrokerConfig,
        credentials: CredentialsConfig,
        subscriptions: list[str],
        will: tuple[str, bytes],
        notify: Callable[[LinkEvent], None],
    ) -> None:
        self.client_id = client_id
        self.traffic = Traffic()
        self._broker = broker
        self._will = will
        self._subscriptions = subscriptions
        self._notify = notify
        self._five = broker.version == 5
        self._connected = threading.Event()
        self._client = self._build(credentials)

    def _build(self, credentials: CredentialsConfig) -> mqtt.Client:
        version = MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=version,
            clean_session=None if self._five else True,
        )
        if not self._broker.plaintext:
            client.tls_set_context(_tls_context(self._broker, credentials))
        if credentials.password_file is not None:
            password = read_secret(credentials.password_file).strip().decode()
            client.username_pw_set(self.client_id, password)
        topic, payload = self._will
        client.will_set(topic, payload, qos=1, retain=True)
        client.max_queued_messages_set(10_000)
        client.max_inflight_messages_set(1000)
        client.reconnect_delay_set(1, 30)
        client.on_socket_open = _disable_nagle
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    def start(self) -> None:
        """Begin connecting in paho's thread; returns at once, also with the broker down."""
        arguments: dict[str, Any] = {"clean_start": True} if self._five else {}
        self._client.connect_async(
            self._broker.host, self._broker.port, keepalive=KEEPALIVE_S, **arguments
        )
        self._client.loop_start()

    def publish(self, topic: str, payload: bytes, expiry_s: float | None) -> None:
        """Send a message with QoS 1; retained if it has no expiry. Never blocks.

        While disconnected a message with an expiry is dropped: its round will be over.
        """
        if expiry_s is not None and not self._connected.is_set():
            return
        properties = None
        if self._five and expiry_s is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(1, round(expiry_s))
        self.traffic.sent += len(topic) + len(payload)
        self._client.publish(topic, payload, qos=1, retain=expiry_s is None, properties=properties)

    def close(self, farewell: bytes | None = None, timeout_s: float = 2.0) -> None:
        """Publish `farewell` where the will would go, disconnect, end the thread. Idempotent."""
        if farewell is not None and self._connected.is_set():
            info = self._client.publish(self._will[0], farewell, qos=1, retain=True)
            # if the connection goes in this moment, the broker publishes the will instead
            with contextlib.suppress(RuntimeError, ValueError):
                info.wait_for_publish(timeout_s)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        if reason.is_failure:
            text = str(reason)
            self._notify(
                Refused(self.client_id, "connection", text)
                if text in _FATAL
                else LinkDown(self.client_id, text)
            )
            return
        client.subscribe([(topic, 1) for topic in self._subscriptions])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any
    ) -> None:
        for topic, reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                self._notify(Refused(self.client_id, f"subscription to {topic}", str(reason)))
        self._connected.set()
        self._notify(LinkUp(self.client_id))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        self._connected.clear()
        self._notify(LinkDown(self.client_id, str(reason)))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.traffic.received += len(message.topic) + len(message.payload)
        if len(message.payload) <= MAX_BYTES:
            self._notify(Arrived(self.client_id, message.topic, bytes(message.payload)))

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, _mid: int, reason: ReasonCode, _props: Any
    ) -> None:
        if reason.is_failure:
            self._notify(Refused(self.client_id, "publish", str(reason)))


def _disable_nagle(_client: mqtt.Client, _data: Any, sock: Any) -> None:
    # Nagle and delayed acknowledgements together stall small messages by 40 ms.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls_context(broker: BrokerConfig, credentials: CredentialsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if credentials.certificate_file is not None:
            if credentials.key_file is not None:
                read_secret(credentials.key_file)  # refuse a key that others may read
            context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    except (OSError, ssl.SSLError) as error:
        files = (broker.ca_file, credentials.certificate_file, credentials.key_file)
        named = ", ".join(str(file) for file in files if file)
        raise ConfigurationError(f"TLS files {named}: {error}") from error
    return context
