"""Recognise numbers, missing values, booleans, counters and time stamps in cells of a CSV file."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise

MISSING_WORDS = frozenset(
    ("", "na", "n/a", "nan", "null", "none", "unknown", "unavailable", "?", "-", "#n/a")
)
"""Texts, in lower case, that programs write if there is no value."""

BOOLEANS: dict[str, float] = {
    "true": 1.0, "false": 0.0, "on": 1.0, "off": 0.0, "yes": 1.0, "no": 0.0,
}  # fmt: skip

_DECIMAL_COMMA = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+(e[+-]?\d+)?", re.IGNORECASE)
_INDEX_NAME = re.compile(
    r"column_1|(.*[\W_])?(id|idx|index|row|no|nr|num|number|count|counter|seq|sequence)",
    re.IGNORECASE,
)
_INDEX_ROWS = 10
# From 2001 to 2033, in seconds; loggers also write milliseconds, microseconds and nanoseconds.
_EPOCH_S = (1.0e9, 2.0e9)
_EPOCH_UNITS = (1.0, 1e3, 1e6, 1e9)
# What sensors, chips and data bases write in place of a value.
_SENTINELS = frozenset(
    (-1.0, -99.0, -99.9, -127.0, -200.0, -999.0, -999.9, -9999.0, -32768.0, 32767.0, 65535.0,
     999.0, 999.9, 9999.0, 99999.0)
)  # fmt: skip


def number(text: str, *, comma: bool = False) -> float | None:
    """The value of a decimal number, of "nan" or "inf"; None for any other text.

    Args:
        text: without surrounding blanks.
        comma: a comma is the decimal sign, and points divide thousands.

    >>> number("20.5"), number("1.234,5", comma=True), number("1_000")
    (20.5, 1234.5, None)
    """
    if comma and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(".", "").replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return None if "_" in text else value


def is_number(text: str) -> bool:
    """Whether a cell is a number, with a point or a comma as decimal sign."""
    return number(text, comma=True) is not None


def is_decimal(text: str) -> bool:
    """Whether a cell is a number that is written with a decimal sign.

    >>> is_decimal("21.0"), is_decimal("21,5"), is_decimal("21"), is_decimal("v1.2")
    (True, True, False, False)
    """
    return ("." in text or "," in text) and is_number(text)


def has_decimal_commas(cells: Sequence[str]) -> bool:
    """Whether numbers of a column are written with a decimal comma.

    >>> has_decimal_commas(["20,5", "21", ""]), has_decimal_commas(["20.5", "a, b"])
    (True, False)
    """
    return any(_DECIMAL_COMMA.fullmatch(cell) for cell in cells)


def ambiguous_comma(cells: Sequence[str]) -> str:
    """A number whose comma may also divide thousands, if the column does not decide it; else "".

    >>> ambiguous_comma(["1,234", "2,500"]), ambiguous_comma(["1,234", "2,5"])
    ('1,234', '')
    """
    with_comma = [cell for cell in cells if "," in cell]
    if all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in with_comma):
        return with_comma[0] if with_comma else ""
    return ""


def is_missing(text: str, words: frozenset[str], values: frozenset[float]) -> bool:
    """Whether a cell has no value: a known word, or one of `words` (lower case) or `values`."""
    if text.lower() in MISSING_WORDS or text.lower() in words:
        return True
    return bool(values) and number(text, comma=True) in values


def index_or_time(name: str, values: Sequence[float]) -> str:
    """Why a numeric column is not a reading: "" if it may be one.

    >>> index_or_time("entry_id", [float(i) for i in range(20)])
    'a row number'
    >>> index_or_time("ts", [1594512094.4, 1594512098.1])
    'a time stamp'
    """
    if len(values) < 2:
        return ""
    rising = all(a <= b for a, b in pairwise(values))
    for unit in _EPOCH_UNITS:
        low, high = _EPOCH_S[0] * unit, _EPOCH_S[1] * unit
        # A clock that is set back makes single steps downwards.
        if low <= min(values) and max(values) <= high and values[0] < values[-1]:
            return "a time stamp"
    steps = {b - a for a, b in pairwise(values)}
    if rising and steps == {1.0} and len(values) >= _INDEX_ROWS and _INDEX_NAME.fullmatch(name):
        return "a row number"
    return ""


def only_rises(values: Sequence[float]) -> bool:
    """Whether a column never falls and takes many values, as a counter or a meter does."""
    rising = all(a <= b for a, b in pairwise(values))
    return rising and len(values) >= _INDEX_ROWS and 2 * len(set(values)) > len(values)


def sentinel(values: Sequence[float]) -> float | None:
    """A value that is likely to stand for "no reading": known, at one end and far from the rest.

    >>> sentinel([20.0, 21.0, -200.0, 22.5]), sentinel([20.0, 21.0, 22.5])
    (-200.0, None)
    """
    for found in (min(values), max(values)):
        others = [value for value in values if value != found]
        if found in _SENTINELS and len(set(others)) > 1:
            gap = min(abs(found - value) for value in others)
            if gap > 2 * (max(others) - min(others)) and math.isfinite(gap):
                return found
    return None
