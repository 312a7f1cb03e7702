"""Where a reporter reads numbers: an HTTP JSON address, an MQTT topic, or a CSV file.

A source gives a finite decimal number or raises `SourceError`; there is no third way, so that what
is down, slow, huge or no number never becomes a value on the chain. Numbers stay decimal from the
text to the contract: no binary rounding, and no NaN.
"""

from __future__ import annotations

import csv
import json
import threading
import time
import urllib.error
import urllib.request
from decimal import Decimal, InvalidOperation
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from protoledger.contracts.errors import ContractsError
from protoledger.contracts.oracle.mqtt import OracleBroker, close_client, open_client

if TYPE_CHECKING:
    import paho.mqtt.client as mqtt

MOST_BYTES = 65_536
_DIGITS = 60  # of a number's text: more is a mistake or an attack
_CHUNK = 4_096


class SourceError(ContractsError, ValueError):
    """A source gave no number: transient, nothing is reported."""


class Source(Protocol):
    """What a reporter reads."""

    def read(self) -> Decimal:
        """Give the present number.

        Raises:
            SourceError: there is none.
        """
        ...

    def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HttpConfig(_Config):
    """A JSON document at an address."""

    kind: Literal["http"]
    url: str = Field(pattern=r"^https?://", description="What to fetch.")
    path: str = Field(
        default="", description="Where the number is, such as `current.values[0].t`; empty: all."
    )
    timeout_s: float = Field(default=5.0, gt=0, le=60, description="Longest wait for all of it.")


class MqttConfig(OracleBroker):
    """A topic whose messages are numbers or JSON."""

    kind: Literal["mqtt"]
    topic: str = Field(min_length=1, description="The topic, without wildcards.")
    path: str = Field(default="", description="Where in the JSON the number is; empty: all of it.")
    most_age_s: float = Field(default=300.0, gt=0, description="Older messages are no answer.")


class CsvConfig(_Config):
    """The last row of a file that grows."""

    kind: Literal["csv"]
    file: Path = Field(description="A CSV with a header.")
    column: str = Field(description="Which column.")


SourceConfig = Annotated[HttpConfig | MqttConfig | CsvConfig, Field(discriminator="kind")]


def open_source(config: HttpConfig | MqttConfig | CsvConfig) -> Source:
    """Make a source; it is read only when asked."""
    match config:
        case HttpConfig():
            return HttpSource(config)
        case MqttConfig():
            return MqttSource(config)
        case CsvConfig():
            return CsvSource(config)


class HttpSource:
    """Fetches it each time; redirects and proxies are not followed, nor more than 64 KiB read."""

    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def read(self) -> Decimal:
        """Fetch; see `Source.read`."""
        config, ends = self._config, time.monotonic() + self._config.timeout_s
        asked = urllib.request.Request(config.url, headers={"Accept": "application/json"})  # noqa: S310 - the pattern admits http only
        body = b""
        try:
            with self._opener.open(asked, timeout=config.timeout_s) as answer:
                while chunk := answer.read1(_CHUNK):
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise SourceError(f"{config.url} answers more than {MOST_BYTES} bytes")
                    if time.monotonic() > ends:  # the socket's own timeout starts at each byte
                        raise SourceError(f"{config.url} was not done in {config.timeout_s:g} s")
        except (OSError, urllib.error.URLError, ValueError) as error:
            if isinstance(error, SourceError):
                raise
            raise SourceError(f"{config.url} cannot be read: {error}") from error
        return number_in(body, config.path, config.url)

    def close(self) -> None:
        """Nothing is kept open."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object, **__: object) -> None:
        """Refuse: what was configured is what is read."""


class CsvSource:
    """Reads the last row each time."""

    def __init__(self, config: CsvConfig) -> None:
        self._config = config

    def read(self) -> Decimal:
        """Read the file; see `Source.read`."""
        config = self._config
        last: dict[str | None, str | None] | None = None
        try:
            with config.file.open(newline="", encoding="utf-8") as stream:
                for last in csv.DictReader(stream):  # noqa: B007 - the last one is wanted
                    pass
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SourceError(f"{config.file} cannot be read: {error}") from error
        text = last.get(config.column) if last is not None else None
        # A row of more fields than the header, say for a decimal comma, has them under None.
        if text is None or (last is not None and None in last):
            raise SourceError(
                f"{config.file}: its last row does not fit a header with {config.column!r}"
            )
        return as_number(text, f"{config.file}, column {config.column}")

    def close(self) -> None:
        """Nothing is kept open."""


class MqttSource:
    """Keeps the newest message of a topic."""

    def __init__(self, config: MqttConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._newest: tuple[float, bytes] | None = None
        self._client: mqtt.Client | None = None

    def read(self) -> Decimal:
        """Give the newest message's number; see `Source.read`. Connects the first time."""
        config = self._config
        if self._client is None:
            self._connect()
        with self._lock:
            newest = self._newest
        if newest is None or time.monotonic() - newest[0] > config.most_age_s:
            raise SourceError(f"no message on {config.topic} at {config.host}:{config.port} lately")
        return number_in(newest[1], config.path, config.topic)

    def _connect(self) -> None:
        config = self._config
        try:
            self._client = open_client(config, config.topic, self._take)
        except (OSError, ValueError) as error:
            raise SourceError(f"{config.host}:{config.port}: {error}") from error

    def _take(self, _topic: str, payload: bytes) -> None:
        with self._lock:  # what is too long is cut, and then no number
            self._newest = (time.monotonic(), payload[: MOST_BYTES + 1])

    def close(self) -> None:
        """Disconnect; idempotent."""
        if self._client is not None:
            close_client(self._client)
            self._client = None


def number_in(body: bytes, path: str, where: str) -> Decimal:
    """Find a number in a JSON text.

    Args:
        body: the text.
        path: names and `[index]`es, joined by dots; empty for the whole document.
        where: named in errors.

    Raises:
        SourceError: it is no JSON, has no such path, or something else than a number stands there.

    >>> number_in(b'{"a": [{"t": 21.50}]}', "a[0].t", "here")
    Decimal('21.50')
    """
    if len(body) > MOST_BYTES:
        raise SourceError(f"{where} gives more than {MOST_BYTES} bytes")
    try:
        found = json.loads(body, parse_float=str, parse_int=str, parse_constant=_no_number)
        for step in path.replace("[", ".[").split(".") if path else ():
            if step.startswith("[") and isinstance(found, list):
                found = found[int(step[1:-1])]
            elif step and isinstance(found, dict):
                found = found[step]
            elif step:
                found = None
    except (ValueError, KeyError, IndexError, RecursionError) as error:
        raise SourceError(f"{where}: no number at {path or 'the top'!r}: {error!r}") from error
    if not isinstance(found, str):
        raise SourceError(f"{where}: {type(found).__name__} at {path or 'the top'!r}, not a number")
    return as_number(found, where)


def as_number(text: str, where: str) -> Decimal:
    """Read a finite decimal number.

    Raises:
        SourceError: it is none, or longer than any measured one.
    """
    try:
        number = Decimal(text.strip()) if len(text) <= _DIGITS else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > _DIGITS:
        raise SourceError(f"{where}: {text[:_DIGITS]!r} is not a number")
    return number


def _no_number(constant: str) -> str:
    raise ValueError(f"{constant} is not JSON")
