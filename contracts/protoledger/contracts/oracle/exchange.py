"""Where reporters leave their signed reports for each other: a folder, or topics of a broker.

A report is signed, and each reader checks the signature against the contract's reporters. So
the place need not be trusted: who can write there can delay, and not forge. Sites that share no
file system use a broker: each report is a retained message, so that one who connects later sees it.
"""

from __future__ import annotations

import json
import os
import re
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from protoledger.contracts.errors import ContractsError, KeyFileError
from protoledger.contracts.oracle.binding import Report
from protoledger.contracts.oracle.mqtt import OracleBroker, close_client, open_client

if TYPE_CHECKING:
    from pathlib import Path

    import paho.mqtt.client as mqtt

_MOST_BYTES = 4_096  # of a report: ten times what one has
_MOST_KEPT = 1_024  # reports of a broker: more are none of ours
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_SIGNATURE_BYTES = 65
_U64, _I192 = (0, 2**64 - 1), (-(2**191), 2**191 - 1)
_BOUNDS = {"round_id": _U64, "answer": _I192, "observed_at": _U64}  # what can be signed at all
_FIELDS = {"reporter", "signature", *_BOUNDS}
_NAME = re.compile(r"([0-9a-f]{64})[./](0x[0-9a-f]{40})(?:\.json)?")


class ExchangeError(ContractsError, OSError):
    """Reports cannot be left or read now: transient, reported once."""


class Exchange(Protocol):
    """A place for signed reports, the newest of each reporter and feed."""

    def share(self, feed: bytes, report: Report) -> None:
        """Leave a report.

        Raises:
            ExchangeError: it could not be left.
        """
        ...

    def reports(self, feed: bytes) -> list[Report]:
        """Give what lies there for a feed, unchecked.

        Raises:
            ExchangeError: the place cannot be read.
        """
        ...

    def close(self) -> None:
        """Let go of connections; idempotent."""
        ...


class BrokerExchangeConfig(OracleBroker):
    """A broker that all reporters reach."""

    topic: str = Field(
        default="protoledger/oracle",
        pattern=r"^[^+#/]+(/[^+#/]+)*$",
        description="Reports are retained at TOPIC/FEED/REPORTER.",
    )


def open_exchange(folder: Path | None, broker: BrokerExchangeConfig | None) -> Exchange:
    """Make an exchange; without a folder and a broker reports go nowhere.

    Raises:
        KeyFileError: the folder does not exist or may not be written, or a file cannot be used.
    """
    if broker is not None:
        return BrokerExchange(broker)
    if folder is not None:
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise KeyFileError(f"exchange: {folder} is no folder that can be written; make it")
        return FolderExchange(folder)
    return Alone()


class Alone:
    """No exchange: for a quorum of one."""

    def share(self, feed: bytes, report: Report) -> None:
        """Leave it nowhere."""

    def reports(self, feed: bytes) -> list[Report]:
        """Nobody else reports."""
        del feed
        return []

    def close(self) -> None:
        """Nothing is open."""


class FolderExchange:
    """A file for each report, replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def share(self, feed: bytes, report: Report) -> None:
        """See `Exchange.share`."""
        path = self._folder / f"{feed.hex()}.{report.reporter}.json"
        draft = path.with_suffix(f".{os.getpid()}.draft")
        try:
            draft.write_bytes(_encode(report))
            draft.replace(path)
        except OSError as error:
            raise ExchangeError(f"{self._folder} cannot be written: {error.strerror}") from error

    def reports(self, feed: bytes) -> list[Report]:
        """See `Exchange.reports`."""
        found = []
        for path in sorted(self._folder.glob(f"{feed.hex()}.0x*.json")):
            if _NAME.fullmatch(path.name) is None:
                continue
            try:
                with path.open("rb") as file:
                    report = _decode(file.read(_MOST_BYTES + 1))
            except OSError:
                continue  # it is being replaced, or not ours to read
            if report is not None:
                found.append(report)
        return found

    def close(self) -> None:
        """Nothing is open."""


class BrokerExchange:
    """A retained message for each report."""

    def __init__(self, config: BrokerExchangeConfig) -> None:
        self._topic, self._where = config.topic, f"{config.host}:{config.port}"
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], Report] = {}
        try:
            self._client: mqtt.Client | None = open_client(
                config, f"{config.topic}/+/+", self._take
            )
        except (OSError, ValueError) as error:
            raise KeyFileError(f"exchange_broker: {self._where}: {error}") from error

    def share(self, feed: bytes, report: Report) -> None:
        """See `Exchange.share`."""
        client = self._client
        if client is None or not client.is_connected():
            raise ExchangeError(f"the exchange's broker {self._where} is not connected")
        topic = f"{self._topic}/{feed.hex()}/{report.reporter}"
        client.publish(topic, _encode(report), qos=1, retain=True)

    def reports(self, feed: bytes) -> list[Report]:
        """See `Exchange.reports`."""
        with self._lock:
            return [report for (name, _), report in self._kept.items() if name == feed.hex()]

    def close(self) -> None:
        """Disconnect; idempotent."""
        if self._client is not None:
            close_client(self._client)
            self._client = None

    def _take(self, topic: str, payload: bytes) -> None:
        place = _NAME.fullmatch(topic.removeprefix(f"{self._topic}/"))
        report = _decode(payload)
        if place is None or report is None:
            return
        key = (place[1], place[2])
        with self._lock:
            if key in self._kept or len(self._kept) < _MOST_KEPT:
                self._kept[key] = report


def _encode(report: Report) -> bytes:
    return json.dumps(asdict(report) | {"signature": report.signature.hex()}).encode()


def _decode(payload: bytes) -> Report | None:
    """Read a report; None for what is none: anyone who reaches the exchange can write there.

    >>> good = Report("0x" + "ab" * 20, 1, -5, 100, bytes(65))
    >>> _decode(_encode(good)) == good
    True
    >>> _decode(_encode(good).replace(b"-5", b"1e400")) is None  # int() of an infinity raises
    True
    """
    if len(payload) > _MOST_BYTES:
        return None
    try:
        raw = json.loads(payload)
        if not isinstance(raw, dict) or raw.keys() != _FIELDS:
            return None
        reporter, signature = raw["reporter"], bytes.fromhex(raw["signature"])
    except (ValueError, TypeError, RecursionError):
        return None
    fits = all(_is_whole(raw[name], *bounds) for name, bounds in _BOUNDS.items())
    if not fits or not isinstance(reporter, str) or not _ADDRESS.fullmatch(reporter):
        return None
    if len(signature) != _SIGNATURE_BYTES:
        return None
    return Report(reporter, raw["round_id"], raw["answer"], raw["observed_at"], signature)


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
