"""How a learner is written to bytes: MessagePack structs whose arrays are raw little-endian bytes.

No pickle: reading a state runs no code. Every array's length is checked against the shape that
the struct declares, so a damaged state is refused rather than learnt on.
"""

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar, overload

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from protoledger.gateway.errors import ModelStateError
from protoledger.gateway.learner.base import Engine

Saved = TypeVar("Saved", bound=msgspec.Struct)
Older = TypeVar("Older", bound=msgspec.Struct)


class _Restorable(Protocol):
    engine: Engine

    def state(self) -> bytes: ...
    @classmethod
    def restore(cls, state: bytes) -> Self: ...


Learner = TypeVar("Learner", bound=_Restorable)
Copied = tuple[Callable[[bytes], Learner], tuple[bytes], dict[str, Engine]]
"""What `__reduce__` returns: what makes the copy, from what, and what is set in it."""


def copied(learner: Learner) -> Copied[Learner]:
    """Return how `copy` and `pickle` make a learner again: from its saved state, same engine."""
    return type(learner).restore, (learner.state(),), {"engine": learner.engine}


def pack(state: msgspec.Struct) -> bytes:
    """Return the struct as MessagePack."""
    return msgspec.msgpack.encode(state)


@overload
def unpack(data: bytes, kind: type[Saved]) -> Saved: ...
@overload
def unpack(data: bytes, kind: type[Saved], older: type[Older]) -> Saved | Older: ...
def unpack(data: bytes, kind: type[Saved], older: type[Older] | None = None) -> Saved | Older:
    """Return the struct, read strictly.

    Args:
        data: What `pack` wrote.
        kind: This version's struct.
        older: The one before, if it can be brought to this version.

    Raises:
        ModelStateError: The bytes are not one struct of these kinds.
    """
    try:
        wanted: Any = kind if older is None else kind | older
        found: Saved | Older = msgspec.msgpack.decode(data, type=wanted, strict=True)
    except msgspec.DecodeError as error:
        raise ModelStateError(
            f"this is not a saved {kind.__name__} ({error}); restore it with the version and mode "
            "that saved it, or start over"
        ) from error
    return found


def dump(array: NDArray[Any], dtype: str) -> bytes:
    """Return the array's elements, C order, as the little-endian dtype (such as `<f8`)."""
    return np.ascontiguousarray(array, dtype=dtype).tobytes()


def load(
    data: bytes, dtype: str, shape: tuple[int, ...], into: DTypeLike, *, missing: bool = False
) -> NDArray[Any]:
    """Return a writable copy of the array that `dump` wrote; NaN only where values may be missing.

    Raises:
        ModelStateError: The length does not fit the shape, or a float is not finite.
    """
    expected = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise ModelStateError(
            f"a saved array of shape {shape} must have {expected} bytes, found {len(data)}; "
            "the state is damaged: restore an older one, or start over"
        )
    array = np.frombuffer(data, dtype=dtype).reshape(shape).astype(into)
    if array.dtype.kind == "f" and not (np.isfinite(array) | (missing & np.isnan(array))).all():
        raise ModelStateError("a saved array has NaN or infinity; the state is damaged")
    return array
