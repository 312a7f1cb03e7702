"""Ask a broker what it allows: the part of `edge check` and `gateway check` that connects.

A client of its own, which shows the device's certificate and name but another client id, so that a
running agent is not thrown out. Only MQTT 5 tells by a reason code that it refuses a publish
(Mosquitto drops it silently in MQTT 3.1.1). All that is published is empty and not retained:
agents and gateways take an empty message for a cleared one and pass it over.
"""

import secrets
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
from protoledger.runtime.mqtt.client import CONNECT_TIMEOUT_S, forgive_clock, tls_context
from protoledger.runtime.site import BrokerConfig, CredentialsConfig

ANSWER_S = 5.0


@dataclass(frozen=True)
class Me:
    """Who asks.

    Args:
        site: the site.
        id: of the device.
        stranger: another device of the site, in whose name nothing may be published.
        is_agent: whether this is an agent; else the gateway.
    """

    site: str
    id: str
    stranger: str
    is_agent: bool


@dataclass
class _Answers:
    """What the broker has said so far."""

    connected: ReasonCode | None = None
    subscribed: list[ReasonCode] = field(default_factory=list)
    published: dict[int, ReasonCode] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    lost: str = ""


def probe(broker: BrokerConfig, credentials: CredentialsConfig, me: Me) -> Iterator[Item]:
    """Connect as a device, and try what it may and may not do."""
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
    me: Me,
    context: ssl.SSLContext | None,
) -> tuple[mqtt.Client, _Answers]:
    five = broker.version == 5
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2,
        client_id=f"{me.id}.check-{secrets.token_hex(4)}",
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

    def gone(_c: Any, _d: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:
        answers.lost = str(reason)

    client.on_connect, client.on_subscribe, client.on_publish = connected, subscribed, published
    client.on_message, client.on_disconnect = arrived, gone
    return client, answers


def _connect(client: mqtt.Client, answers: _Answers, broker: BrokerConfig) -> Item | None:
    """Connect and wait for the broker's word; returns what is wrong, or None."""
    where = f"{broker.host}:{broker.port}"
    try:
        client.connect(broker.host, broker.port, keepalive=15)
    except (OSError, ValueError) as error:
        return failed("broker", *_why_not(error, broker))
    _turn(client, answers, lambda: answers.connected is not None, ANSWER_S)
    reason = answers.connected
    if reason is None:
        said = answers.lost or f"nothing in {ANSWER_S:g} s"
        return failed(
            "broker",
            f"{where} takes the connection and then says: {said}",
            "does it know this certificate's authority? Its log tells (journalctl -u mosquitto)",
            Exit.UNAVAILABLE,
        )
    if reason.is_failure:
        return failed(
            "broker",
            f"{where} refuses: {reason}",
            "the certificate's common name, or the password, must be of a user the broker knows",
        )
    return None


def _why_not(error: Exception, broker: BrokerConfig) -> tuple[str, str, Exit]:
    """Say why there is no connection, and what to do."""
    where = f"{broker.host}:{broker.port}"
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"{where} shows a certificate that is not good: {error.verify_message}",
                (
                    f"ca_file {broker.ca_file} must be the authority that signed it, it must bear "
                    f"the name {broker.host!r}, and this machine's clock must be roughly right"
                ),
                Exit.CONFIGURATION,
            )
        case ssl.SSLError():
            return (
                f"{where} breaks the TLS handshake: {error.reason or error}",
                "is this the broker's TLS port, and do both speak TLS 1.2 or newer?",
                Exit.CONFIGURATION,
            )
        case socket.gaierror():
            return (
                f"{broker.host} is not known: {error.strerror}",
                "is there a network? Correct broker.host in the site file, or use the address",
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


def _access(client: mqtt.Client, answers: _Answers, broker: BrokerConfig, me: Me) -> Item:
    if broker.version != 5:
        return note(
            "access list",
            "MQTT 3.1.1 does not tell what it refuses: not tested",
            "use a broker with MQTT 5 (version: 5)",
        )
    own = topics.topic(me.site, Kind.KEY, me.id)
    must = {own: "its own key"}
    must_not = {
        topics.topic(me.site, Kind.KEY, me.stranger): f"a key in the name of {me.stranger}",
        topics.topic(me.site, Kind.RECEIVED, me.stranger): f"a report as {me.stranger}",
    }
    read = [own]
    if me.is_agent:
        share = topics.topic(me.site, Kind.SHARE, me.id, me.stranger)
        must[share] = f"a share for {me.stranger}"
        must_not[topics.topic(me.site, Kind.ANNOUNCE, me.id)] = "an announce, as only gateways do"
        read.append(topics.topic(me.site, Kind.SHARE, "+", me.stranger))
    client.subscribe([(topic, 1) for topic in read])
    _turn(client, answers, lambda: bool(answers.subscribed), ANSWER_S)
    # its own key comes last: once it is back, whatever else would be delivered was
    order = [*must_not, *reversed(must)]
    sent = {topic: client.publish(topic, b"", qos=1).mid for topic in order}
    _turn(client, answers, lambda: set(sent.values()) <= set(answers.published), ANSWER_S)
    _turn(client, answers, lambda: own in answers.arrived, ANSWER_S)
    return _verdict(answers, sent, must, must_not, me)


def _verdict(
    answers: _Answers,
    sent: dict[str, int],
    must: dict[str, str],
    must_not: dict[str, str],
    me: Me,
) -> Item:
    advice = (
        f"the broker's access list must bind each user to its own topics; `user {me.id}` "
        "needs the lines that docs/edge.md shows"
    )
    problems = []
    if answers.lost:
        problems.append(f"the broker hung up: {answers.lost}")
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
    problems += [f"{me.id} can read what is not for it ({topic})" for topic in leaked]
    if problems:
        return failed("access list", "\n".join(problems), advice)
    return ok("access list", f"own topics open, {len(must_not)} of others refused")


def _turn(client: mqtt.Client, answers: _Answers, done: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not done() and not answers.lost and time.monotonic() < until:
        if client.loop(timeout=0.05) != mqtt.MQTT_ERR_SUCCESS:
            answers.lost = answers.lost or "the connection broke"
