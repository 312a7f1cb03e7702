"""Tests a broker: whether it accepts the device, and what its access list allows.

The test connects as the device itself: our brokers bind a client's id to its certificate, so that a
second connection of a device ends its first one, under whatever id. While a device runs its status
file answers instead (`running`). Only MQTT 5 reports a refused publish, by its reason code;
with MQTT 3.1.1 Mosquitto drops the message silently. All test messages are empty and not retained:
agents and gateways ignore empty messages.
"""

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire import topics
from protoledger.protocol.wire.messages import Kind
from protoledger.runtime.check.findings import Item, failed, note, ok, skipped
from protoledger.runtime.exits import Exit
from protoledger.runtime.key_files import read_secret
from protoledger.runtime.mqtt.client import CONNECT_TIMEOUT_S
from protoledger.runtime.mqtt.tls import forgive_clock, tls_context
from protoledger.runtime.site import BrokerConfig, CredentialsConfig

ANSWER_S = 5.0


@dataclass(frozen=True)
class Client:
    """The device in whose name the broker is tested.

    Args:
        site: name of its site.
        id: its id.
        other: id of another device of the site, in whose name it must not be able to publish.
        is_agent: whether it is an agent; otherwise it is the gateway.
    """

    site: str
    id: str
    other: str
    is_agent: bool


@dataclass
class _Answers:
    """What the broker has answered so far."""

    connected: ReasonCode | None = None
    subscribed: list[ReasonCode] = field(default_factory=list)
    published: dict[int, ReasonCode] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    lost: str = ""


def check_broker(
    broker: BrokerConfig, credentials: CredentialsConfig, me: Client
) -> Iterator[Item]:
    """Connect as a device, and try what the access list must allow and what it must refuse."""
    where = f"{broker.host}:{broker.port}"
    names = ("broker", "access list")
    try:
        context = None if broker.plaintext else tls_context(broker, credentials)
        client, answers = _client(broker, credentials, me, context)
    except ConfigurationError as error:
        yield failed("broker", str(error), "correct the credentials in the device's file")
        yield skipped(names[1], "no connection")
        return
    problem = _connect(client, answers, broker)
    if problem is not None:
        yield problem
        yield skipped(names[1], "no connection")
        return
    how = "plaintext, this machine only"
    sock = client.socket()
    if isinstance(sock, ssl.SSLSocket):
        how = f"{sock.version()}, its certificate is good"
    yield ok("broker", f"{where} lets {me.id} in ({how})")
    try:
        yield _access(client, answers, broker, me)
    finally:
        client.disconnect()
        _turn(client, answers, lambda: False, 0.2)


def _client(
    broker: BrokerConfig,
    credentials: CredentialsConfig,
    me: Client,
    context: ssl.SSLContext | None,
) -> tuple[mqtt.Client, _Answers]:
    five = broker.version == 5
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=me.id,
        protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        clean_session=None if five else True,
    )
    if context is not None:
        forgive_clock(context)
        client.tls_set_context(context)
    if credentials.password_file is not None:
        password = read_secret(credentials.password_file).strip().decode()
        client.username_pw_set(me.id, password)
    client.connect_timeout = CONNECT_TIMEOUT_S
    answers = _Answers()

    def connected(_c: Any, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        answers.connected = reason

    def subscribed(_c: Any, _d: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        answers.subscribed = reasons

    def published(_c: Any, _d: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        answers.published[mid] = reason

    def arrived(_c: Any, _d: Any, message: mqtt.MQTTMessage) -> None:
        if not message.payload:
            answers.arrived.add(message.topic)

    def disconnected(_c: Any, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        answers.lost = str(reason)

    client.on_connect, client.on_subscribe, client.on_publish = connected, subscribed, published
    client.on_message, client.on_disconnect = arrived, disconnected
    return client, answers


def _connect(client: mqtt.Client, answers: _Answers, broker: BrokerConfig) -> Item | None:
    """Connect and wait for the broker's answer; returns a failed item, or None."""
    where = f"{broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port, keepalive=15)
    except (OSError, ValueError) as error:
        return failed("broker", *_why_not(error, broker))
    _turn(client, answers, lambda: answers.connected is not None, ANSWER_S)
    reason = answers.connected
    if reason is None:
        said = answers.lost or f"no answer in {ANSWER_S:g} s"
        return failed(
            "broker",
            f"{where} accepts the connection and then ends it: {said}",
            "does it trust this certificate's authority? See its log (journalctl -u mosquitto)",
            Exit.UNAVAILABLE,
        )
    if reason.is_failure:
        return failed(
            "broker",
            f"{where} refuses: {reason}",
            "the certificate's common name, or the password, must belong to a user of the broker",
        )
    return None


def _why_not(error: Exception, broker: BrokerConfig) -> tuple[str, str, Exit]:
    """Explain why there is no connection: what was seen, what to do, and the exit code."""
    where = f"{broker.host}:{broker.port}"
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"{where} has a certificate that is not valid here: {error.verify_message}",
                (
                    f"ca_file {broker.ca_file} must be the authority that signed it, it must name "
                    f"{broker.host!r}, and this machine's clock must be roughly right"
                ),
                Exit.CONFIGURATION,
            )
        case ssl.SSLError():
            return (
                f"{where} fails the TLS handshake: {error.reason or error}",
                "is this the broker's TLS port, and do both sides support TLS 1.2 or newer?",
                Exit.CONFIGURATION,
            )
        case socket.gaierror():
            return (
                f"the name {broker.host} cannot be resolved: {error.strerror}",
                "is there a network? Correct broker.host in the site file, or use an address",
                Exit.UNAVAILABLE,
            )
        case _:
            return (
                f"{where} does not answer: {getattr(error, 'strerror', None) or error}",
                (
                    "is the broker running, the network up, the port right? "
                    "(systemctl status mosquitto)"
                ),
                Exit.UNAVAILABLE,
            )


def _access(client: mqtt.Client, answers: _Answers, broker: BrokerConfig, me: Client) -> Item:
    if broker.version != 5:
        return note(
            "access list",
            "not tested: MQTT 3.1.1 does not report what it refuses",
            "use a broker with MQTT 5 (version: 5)",
        )
    own = topics.topic(me.site, Kind.KEY, me.id)
    must = {own: "its own key"}
    must_not = {
        topics.topic(me.site, Kind.KEY, me.other): f"a key in the name of {me.other}",
        topics.topic(me.site, Kind.ANSWER, me.other): f"an answer as {me.other}",
    }
    read = [own]
    if me.is_agent:
        boxes = topics.topic(me.site, Kind.BOXES, me.id)
        must[boxes] = "its boxes"
        must_not[topics.topic(me.site, Kind.ANNOUNCE, me.id)] = "an announce, as only gateways do"
        read.append(boxes)
    client.subscribe([(topic, 1) for topic in read])
    _turn(client, answers, lambda: bool(answers.subscribed), ANSWER_S)
    # its own key is published last: once that arrives, everything else that would arrive has
    order = [*must_not, *reversed(must)]
    sent = {topic: client.publish(topic, b"", qos=1).mid for topic in order}
    _turn(client, answers, lambda: set(sent.values()) <= set(answers.published), ANSWER_S)
    _turn(client, answers, lambda: own in answers.arrived, ANSWER_S)
    return _judge_access(answers, sent, must, must_not, me)


def _judge_access(
    answers: _Answers,
    sent: dict[str, int],
    must: dict[str, str],
    must_not: dict[str, str],
    me: Client,
) -> Item:
    advice = (
        f"the broker's access list must limit each user to its own topics; `user {me.id}` "
        "needs the lines that docs/edge.md shows"
    )
    problems = []
    if answers.lost:
        return failed(
            "access list",
            f"not tested: the broker ended the connection: {answers.lost}",
            f"if {me.id} runs, here or elsewhere, stop it first: a device has one connection. If "
            "it does not, see the broker's log (journalctl -u mosquitto)",
            Exit.UNAVAILABLE,
        )
    for topic, what in must.items():
        reason = answers.published.get(sent[topic])
        if reason is None or reason.is_failure:
            said = reason or "no answer"
            problems.append(f"{me.id} may not publish {what} ({topic}): {said}")
    for topic, what in must_not.items():
        reason = answers.published.get(sent[topic])
        if reason is not None and not reason.is_failure:
            problems.append(f"{me.id} may publish {what} ({topic})")
    own, *others = must
    if not problems and own not in answers.arrived:
        problems.append(f"{me.id} may not read {own}")
    leaked = [topic for topic in others if topic in answers.arrived]
    problems += [f"{me.id} can read a message for another device ({topic})" for topic in leaked]
    if problems:
        return failed("access list", "\n".join(problems), advice)
    return ok("access list", f"own topics open, {len(must_not)} of others refused")


def _turn(client: mqtt.Client, answers: _Answers, done: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and not answers.lost and time.monotonic() < until:
        if client.loop(timeout=0.05) != mqtt.MQTT_ERR_SUCCESS:
            answers.lost = answers.lost or "the connection broke"
