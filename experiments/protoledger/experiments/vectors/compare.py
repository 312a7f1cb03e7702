"""Where two JSON values differ, named as a client's author needs it."""

from collections.abc import Iterator

_SHOWN = 60


def differences(found: object, expected: object, where: str = "") -> Iterator[str]:
    """Yield a line for each place where `found` is not `expected`.

    >>> list(differences({"a": [1, 2]}, {"a": [1, 3]}))
    ['a[1]: 2 here, 3 expected']
    >>> list(differences({"b": 1}, {"a": 1}))
    ['a: missing', 'b: not a part of the vectors']
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            path = f"{where}.{key}" if where else str(key)
            if key not in found:
                yield f"{path}: missing"
            elif key not in expected:
                yield f"{path}: not a part of the vectors"
            else:
                yield from differences(found[key], expected[key], path)
        return
    if isinstance(expected, list | tuple) and isinstance(found, list):
        if len(found) != len(expected):
            yield f"{where}: {len(found)} entries here, {len(expected)} expected"
        for number, (one, other) in enumerate(zip(found, expected, strict=False)):
            yield from differences(one, other, f"{where}[{number}]")
        return
    # True == 1 in Python, and not in JSON
    if type(found) is not type(expected) or found != expected:
        yield f"{where}: {_shown(found)} here, {_shown(expected)} expected"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
