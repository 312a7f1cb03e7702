"""Find a number in a message of another program: plain text, or a value in a JSON document.

Zigbee2MQTT, Tasmota and REST interfaces send JSON, ESPHome and Home Assistant's state stream plain
text. Texts and booleans become numbers by the option `values`. Errors name keys of the document but
never its values, since errors may be logged.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import Field, field_validator

from protoledger.sensors.base import DriverOptions
from protoledger.sensors.errors import MissingValue, ReadFailed

_NO_VALUE = frozenset(("", "unavailable", "unknown", "none", "null", "nan", "na", "n/a"))
_SWITCHED = {"on": 1.0, "off": 0.0, "true": 1.0, "false": 0.0}
_SHOWN_KEYS = 8


class PayloadOptions(DriverOptions):
    """Options of drivers whose value is in a message."""

    # Not `json_path`: in a configuration file that is the path of a file.
    json_path: str | list[str] = Field(
        "",
        description="Where the value is in a JSON message: keys, and numbers of list items from "
        "0, separated by points (SI7021.Temperature) or as a list; empty: the whole message.",
    )
    values: dict[str, float] = Field(
        default_factory=dict,
        description="Numbers for texts and booleans, such as {open: 1, closed: 0}; as a label "
        "source the numbers of labels. By default on and true are 1, off and false are 0.",
    )
    unit: str = Field("", description="Unit of the readings.")

    @field_validator("json_path")
    @classmethod
    def _no_empty_key(cls, path: str | list[str]) -> str | list[str]:
        if path and "" in (path.split(".") if isinstance(path, str) else path):
            raise ValueError("a key is empty: separate keys by single points")
        return path

    @property
    def keys(self) -> list[str]:
        """The path as a list."""
        if isinstance(self.json_path, list):
            return self.json_path
        return self.json_path.split(".") if self.json_path else []

    @property
    def states(self) -> dict[str, float]:
        """The values of a label source, by the option that sets each."""
        return {f"values.{text}": value for text, value in self.values.items()}

    def example(self, value: float) -> bytes:
        """A message in which these options find a number; a simulated machine sends it."""
        texts = list(self.values)
        found: Any = texts[int(value) % len(texts)] if texts else round(value, 3)
        if not self.keys:
            return str(found).encode()
        for key in reversed(self.keys):
            found = [found] * (int(key) + 1) if key.isdecimal() else {key: found}
        return json.dumps(found).encode()


def number_in(payload: bytes, keys: list[str], values: Mapping[str, float]) -> float:
    """Find and convert the value of a message.

    Args:
        payload: the message, of limited length.
        keys: path of the value in a JSON document; empty for the whole message.
        values: numbers for texts, compared without case.

    Returns:
        A finite number.

    Raises:
        MissingValue: the sender says that there is no value now.
        ReadFailed: there is no such value, or it is not a number.

    >>> number_in(b'{"temperature": 21.5}', ["temperature"], {})
    21.5
    >>> number_in(b"OPEN", [], {"open": 2})
    2.0
    """
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ReadFailed("the message is not UTF-8 text: check the topic or the URL") from None
    found: Any = _descend(_parse(text), keys) if keys else _plain(text)
    if found is None or (isinstance(found, str) and found.strip().lower() in _NO_VALUE):
        raise MissingValue("the sender has no value now")
    return _number(found, values)


def _plain(text: str) -> Any:
    if text.startswith("{"):
        known = _keys(_parse(text))
        raise ReadFailed(f"the message is JSON: set `json_path` to the value in it ({known})")
    return text.strip('"')


def _parse(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):  # JSONDecodeError is a ValueError
        raise ReadFailed(
            "the message is not JSON: leave `json_path` out if it is the value itself"
        ) from None


def _refuse(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _descend(found: Any, keys: list[str]) -> Any:
    for depth, key in enumerate(keys):
        where = ".".join(keys[:depth]) or "the message"
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise ReadFailed(
                f"there is no {key!r} in {where}, but {_keys(found)}: check `json_path`"
            )
    return found


def _keys(found: Any) -> str:
    if isinstance(found, list):
        return f"a list of {len(found)}"
    if not isinstance(found, dict):
        return "a value without keys"
    shown = [key[:30] for key in list(found)[:_SHOWN_KEYS] if key.isprintable()]
    return ", ".join(shown) + (", …" if len(found) > _SHOWN_KEYS else "") or "no keys"


def _number(found: Any, values: Mapping[str, float]) -> float:
    if isinstance(found, dict | list):
        raise ReadFailed(
            f"the path leads to {_keys(found)}, not to a value: make `json_path` longer"
        )
    if isinstance(found, bool):
        found = str(found)
    known = {text.lower(): value for text, value in (values or _SWITCHED).items()}
    if isinstance(found, str) and found.strip().lower() in known:
        return float(known[found.strip().lower()])
    try:
        number = float(found)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(found, str) and "_" in found):
        raise ReadFailed("the value is a text that is not a number: list such texts in `values`")
    return number
