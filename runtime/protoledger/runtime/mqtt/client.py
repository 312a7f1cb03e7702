"""One client of the MQTT broker; `protoledger.runtime.mqtt.loop` drives it.

Only this folder uses MQTT, together with `protoledger.runtime.check.broker`, which tests a broker,
and the outside data of `protoledger.contracts.oracle`. paho's callbacks only append events to a
queue, which the owner of the loop empties. A link may start while the broker is down; it reconnects
for ever and subscribes again at each connection. It keeps no message across connections, because
a late message belongs to a round that has ended.
"""

import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from protoledger.protocol.wire.messages import MAX_BYTES, Payload
from protoledger.protocol.wire.topics import subscribed_qos
from protoledger.runtime.key_files import read_secret
from protoledger.runtime.mqtt.tls import explained, forgive_clock, refused_unheard, tls_context
from protoledger.runtime.site import BrokerConfig, CredentialsConfig

KEEPALIVE_S = 15
CONNECT_TIMEOUT_S = 5.0
FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 30.0
STEADY_S = 10.0
"""A connection that held for so long was a good one: the next pause is short again."""
FIRST_RIVAL_S, LONGEST_RIVAL_S = 15.0, 120.0
"""Pauses while another client connects under the same name: two that come back at once would throw
each other out several times a second, for ever."""
RIVAL_S, RIVAL_TIMES = 60.0, 3
"""So many connections in a row that held for less look like it; old brokers give no reason."""
_TAKEN_OVER, _NO_REASON = "Session taken over", "Unspecified error"
_FATAL = {"Not authorized", "Bad user name or password", "Banned", "Client identifier not valid"}


@dataclass(frozen=True)
class LinkUp:
    """The link is connected and subscribed; retained messages follow."""

    client: str


@dataclass(frozen=True)
class LinkDown:
    """There is no connection; the loop connects again, after pauses of up to `LONGEST_RETRY_S`."""

    client: str
    reason: str


@dataclass(frozen=True)
class Arrived:
    """A message from the broker, not yet decoded."""

    client: str
    topic: str
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """The broker refuses this client, a subscription or a message, and would refuse it again."""

    client: str
    what: str
    reason: str


LinkEvent = LinkUp | LinkDown | Arrived | Refused


class _Expiry(Properties):
    """How long a message counts; packed once, as paho goes through all properties' names for it."""

    packed: bytes

    def __init__(self, seconds: float) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.MessageExpiryInterval = max(1, round(seconds))
        object.__setattr__(self, "packed", super().pack())  # type: ignore[no-untyped-call]

    def pack(self) -> bytes:
        """Return them as they go over the wire."""
        return self.packed


@dataclass
class Traffic:
    """Bytes of topics and payloads that a link has sent and received."""

    sent: int = 0
    received: int = 0


class Link:
    """A client of the broker; `LinkLoop` drives it.

    Args:
        client_id: also the user name; the broker disconnects this client if a second one connects
            with the same id.
        broker: the broker's address.
        credentials: how the client authenticates.
        subscriptions: topics to subscribe to.
        will: topic and payload of the retained message that the broker publishes when this client
            disappears.

    Raises:
        ConfigurationError: if a certificate or key cannot be used.
    """

    def __init__(
        self,
        client_id: str,
        broker: BrokerConfig,
        credentials: CredentialsConfig,
        subscriptions: list[str],
        will: tuple[str, bytes],
    ) -> None:
        self.client_id = client_id
        self.traffic = Traffic()
        self._broker = broker
        self._will = will
        self._subscriptions = subscriptions
        self._five = broker.version == 5
        self._context = None if broker.plaintext else tls_context(broker, credentials)
        self._password: str | None = None
        if credentials.password_file is not None:
            self._password = read_secret(credentials.password_file).strip().decode()
        self._up = False
        self._written: set[str] = set()
        self._unanswered: set[int] = set()
        self._retry_at = 0.0
        self._retry_s = FIRST_RETRY_S
        self._up_at = 0.0
        self._rivals = 0
        self._expiries: dict[float, Properties] = {}
        self._notify: Callable[[LinkEvent], None] = lambda _event: None
        self._wire: Callable[[mqtt.Client], None] = lambda _client: None
        self.client = self._build()

    def _build(self) -> mqtt.Client:
        """Make a new client of paho for each connection: an old one would resend old messages."""
        version = MQTTProtocolVersion.MQTTv5 if self._five else MQTTProtocolVersion.MQTTv311
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=version,
            clean_session=None if self._five else True,
        )
        if self._context is not None:
            client.tls_set_context(self._context)
        if self._password is not None:
            client.username_pw_set(self.client_id, self._password)
        topic, payload = self._will
        client.will_set(topic, payload, qos=1, retain=True)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(10_000)
        client.max_inflight_messages_set(1000)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        return client

    def attach(
        self, notify: Callable[[LinkEvent], None], wire: Callable[[mqtt.Client], None]
    ) -> None:
        """Set what receives the events, and what watches the sockets of new clients."""
        self._notify, self._wire = notify, wire

    def publish(self, topic: str, payload: Payload, expiry_s: float | None) -> None:
        """Send a message, retained if it has no expiry; never blocks.

        It has QoS 1 if it is retained, or the first to its topic in this connection: the broker's
        answer says whether this client may write there. The others have QoS 0, as nothing is sent
        again in another connection.

        While there is no connection the message is dropped: its round will have ended before the
        next one. The owner publishes its retained messages again at each `LinkUp`.
        """
        if not self._up:
            return
        self.traffic.sent += len(topic) + len(payload)
        retain = expiry_s is None
        properties = None if expiry_s is None else self._expiry(expiry_s)
        qos = int(retain or topic not in self._written)
        self._written.add(topic)
        sent = self.client.publish(topic, payload, qos, retain, properties)
        if qos:
            self._unanswered.add(sent.mid)
            self.client.on_publish = self._on_publish

    def _expiry(self, seconds: float) -> Properties | None:
        if not self._five:
            return None
        if seconds not in self._expiries:
            self._expiries[seconds] = _Expiry(seconds)
        return self._expiries[seconds]

    def read_no_more(self, topics: list[str]) -> None:
        """Leave topics out, whatever connections come; of those that somebody floods."""
        self._subscriptions = [topic for topic in self._subscriptions if topic not in topics]
        if self._up:
            self.client.unsubscribe(topics)

    def read_again(self, topics: list[str]) -> None:
        """Subscribe to topics that were left out."""
        self._subscriptions = [*self._subscriptions, *topics]
        if self._up:
            self.client.subscribe([(topic, subscribed_qos(topic)) for topic in topics])

    @property
    def connected(self) -> bool:
        """Whether there is a socket; the connection may still be in set-up."""
        return self.client.socket() is not None

    def due(self, now: float) -> bool:
        """Whether it is time to connect again."""
        return not self.connected and now >= self._retry_at

    def connect(self) -> None:
        """Try to connect; blocks for at most `CONNECT_TIMEOUT_S` and a name look-up."""
        if self._context is not None:
            forgive_clock(self._context)
        self.client = self._build()
        self._wire(self.client)
        arguments: dict[str, Any] = {"clean_start": True} if self._five else {}
        try:
            self.client.connect(
                self._broker.host, self._broker.port, keepalive=KEEPALIVE_S, **arguments
            )
        except (OSError, ValueError) as error:
            self._notify(LinkDown(self.client_id, explained(error)))
        # jitter: not all clients may connect at once to a broker that has just restarted
        self._retry_at = time.monotonic() + self._retry_s * random.uniform(0.7, 1.3)  # noqa: S311
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)

    def read(self) -> None:
        """Handle what has arrived; disconnects from a broker whose packets cannot be parsed."""
        client = self.client
        try:
            client.loop_read()
            # TLS decrypts whole records: a selector does not report the bytes that it has buffered
            while isinstance(sock := client.socket(), ssl.SSLSocket) and sock.pending():
                client.loop_read()
        except Exception as error:  # noqa: BLE001 - a malformed packet can raise anything in paho
            self._up = False
            if (sock := client.socket()) is not None:
                client.on_socket_close(client, None, sock)  # type: ignore[misc]
                sock.close()
            self.client = self._build()
            reason = f"the broker sent a malformed packet: {error!r:.200}"
            self._notify(LinkDown(self.client_id, reason))

    @property
    def will_topic(self) -> str:
        """The topic of the last will."""
        return self._will[0]

    @property
    def wants_write(self) -> bool:
        """Whether bytes wait to be written to the socket."""
        return bool(self.client.want_write())

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
        client.subscribe([(topic, subscribed_qos(topic)) for topic in self._subscriptions])

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[ReasonCode], _props: Any
    ) -> None:
        for topic, reason in zip(self._subscriptions, reasons, strict=False):
            if reason.is_failure:
                self._notify(Refused(self.client_id, f"subscription to {topic}", str(reason)))
        if not self._up:  # else it is to a topic that is read again
            self._written.clear()
            self._unanswered.clear()
            self._up, self._up_at = True, time.monotonic()
            self._notify(LinkUp(self.client_id))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _props: Any
    ) -> None:
        held_s = time.monotonic() - self._up_at if self._up else None
        self._up = False
        text = str(reason)
        if held_s is None:
            if text == _NO_REASON and self._context is not None:
                text = refused_unheard()
            self._notify(LinkDown(self.client_id, text))
            return
        if held_s >= STEADY_S:
            self._retry_s = FIRST_RETRY_S
        self._rivals = self._rivals + 1 if text == _TAKEN_OVER or held_s < RIVAL_S else 0
        if text == _TAKEN_OVER or self._rivals >= RIVAL_TIMES:
            text = f"{text}. {self._give_way()}"
        self._notify(LinkDown(self.client_id, text))

    def _give_way(self) -> str:
        """Come back later, and ever later while this goes on; returns what it looks like."""
        pause_s = min(FIRST_RIVAL_S * 2.0 ** min(self._rivals - 1, 10), LONGEST_RIVAL_S)
        self._retry_at = time.monotonic() + pause_s * random.uniform(0.7, 1.3)  # noqa: S311
        return (
            f"It looks as if another client connects as {self.client_id}, and the broker keeps the "
            f"newer: was this program started twice, a card copied, or a key stolen? Replace one "
            f"of them; trying again in about {pause_s:.0f} s"
        )

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # all topics of ours are ASCII
        self.traffic.received += len(topic) + len(message.payload)
        if len(message.payload) <= MAX_BYTES:
            self._notify(Arrived(self.client_id, topic, bytes(message.payload)))

    def _on_publish(
        self, client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _props: Any
    ) -> None:
        self._unanswered.discard(mid)
        if not self._unanswered:
            client.on_publish = None  # paho calls it for QoS 0 as well, at the price of an answer
        if reason.is_failure:
            self._notify(Refused(self.client_id, "publish", str(reason)))
