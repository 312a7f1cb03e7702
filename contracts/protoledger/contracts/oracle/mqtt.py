"""A connection to an MQTT broker, for what the oracle's reporters read and exchange there."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from protoledger.contracts.keys import read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    import paho.mqtt.client as mqtt


class OracleBroker(BaseModel):
    """Where a broker is, and how to be let in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field(description="The broker.")
    port: int = Field(default=8883, ge=1, le=65_535, description="Its port.")
    ca_file: Path | None = Field(default=None, description="The authority of the broker's TLS.")
    plaintext: bool = Field(default=False, description="Speak without TLS.")
    username: str | None = Field(default=None, description="Name to log in with.")
    password_file: Path | None = Field(default=None, description="Its password; mode 0600.")


def open_client(
    config: OracleBroker, topic: str, take: Callable[[str, bytes], None]
) -> mqtt.Client:
    """Connect in the background, and again whenever the connection is lost.

    Args:
        config: the broker; it may be down.
        topic: subscribed at each connection; may have wildcards.
        take: gets topic and payload of each message, in the client's thread.

    Raises:
        OSError, ValueError: the authority's file or the address cannot be used.
        KeyFileError: the password's file cannot.
    """
    import paho.mqtt.client as mqtt  # noqa: PLC0415 - most reporters need none
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if config.username is not None:
        secret = read_secret(config.password_file) if config.password_file else None
        client.username_pw_set(config.username, secret)
    if not config.plaintext:
        client.tls_set(str(config.ca_file) if config.ca_file else None)
    client.on_connect = lambda own, *_: own.subscribe(topic, qos=1)
    client.on_message = lambda _own, _data, message: take(message.topic, bytes(message.payload))
    client.connect_async(config.host, config.port)
    client.loop_start()
    return client


def close_client(client: mqtt.Client) -> None:
    """Say goodbye and end the client's thread."""
    client.disconnect()
    client.loop_stop()
