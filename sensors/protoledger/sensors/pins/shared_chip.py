"""One object for a device that several sensors use: a chip with two quantities, a connection.

The first sensor opens it, the last one closes it, and one sensor at a time uses it. A third party's
driver may use this too:

>>> chips = SharedChips[list](close=list.clear)
>>> one = chips.acquire("GPIO4", lambda: ["opened"])
>>> two = chips.acquire("GPIO4", lambda: ["never called"])
>>> with two as chip:
...     chip
['opened']
>>> one.release()
>>> two.release()
>>> chip
[]
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, TypeVar

Chip = TypeVar("Chip")


@dataclass
class _Entry(Generic[Chip]):
    chip: Chip
    users: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Lease(Generic[Chip]):
    """One sensor's use of a shared object; `with` gives the object to this sensor alone.

    Args:
        pool: where it came from.
        key: of the object.
        entry: the object and its lock.
    """

    def __init__(self, pool: "SharedChips[Chip]", key: Hashable, entry: _Entry[Chip]) -> None:
        self._pool = pool
        self._key = key
        self._entry = entry
        self._released = False

    @property
    def shared(self) -> Chip:
        """The object, without waiting for other users; for objects that are safe for threads."""
        return self._entry.chip

    def release(self) -> None:
        """End the use; the last one closes the object. A second call does nothing.

        It does not wait for a sensor that hangs while it uses the object.
        """
        if not self._released:
            self._released = True
            self._pool.give_back(self._key)

    def __enter__(self) -> Chip:
        self._entry.lock.acquire()
        return self._entry.chip

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entry.lock.release()


class SharedChips(Generic[Chip]):
    """The shared objects of one driver, by a key such as `(machine, pin)`.

    Args:
        close: closes an object whose last user has released it.
    """

    def __init__(self, close: Callable[[Chip], object]) -> None:
        self._close = close
        self._entries: dict[Hashable, _Entry[Chip]] = {}
        self._guard = threading.Lock()

    def acquire(self, key: Hashable, opener: Callable[[], Chip]) -> Lease[Chip]:
        """Return a use of the object of `key`; `opener` is called if there is none yet.

        Raises:
            Exception: whatever `opener` raises.
        """
        with self._guard:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = _Entry(opener())
            entry.users += 1
            return Lease(self, key, entry)

    def give_back(self, key: Hashable) -> None:
        """End one use; called by `Lease.release`."""
        with self._guard:
            entry = self._entries[key]
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
                self._close(entry.chip)
