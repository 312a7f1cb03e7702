"""Writes as an agent and a gateway do, and tells of each write once it must outlast a power cut.

Begins with what it finds. Every round of writes has a number. In it an agent's spool gets ten
windows, or is emptied, which every fifth round does; a gateway's store gets the number of a round,
then a model with its counters; a recording's rows are marked as contributed.
"""

import itertools
import sys
import termios
from pathlib import Path

from telling import tell

from protoledger.edge.readings.backlog import Anchor
from protoledger.edge.readings.spent import SpentRows
from protoledger.edge.readings.spool import SqliteSpool
from protoledger.gateway.training.store import Store

_WINDOWS, _CLEARED_EVERY = 10, 5
_SCHEMA = bytes(32)
_ANCHOR = Anchor(1, 0.0)


class Writer:
    """The files.

    Args:
        folder: where they are.
    """

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self._spool = SqliteSpool(folder / "spool.db", _SCHEMA, 1)
        self._store = Store(folder / "gateway.db", _SCHEMA)
        self._spent = SpentRows(folder / "rows.spent")
        self._windows = []  # what an earlier boot kept is dropped: it was another outage

    def found(self):
        """What the files hold now."""
        _anchor, windows = self._spool.load()
        model, counters = self._store.model() or (b"", b"0")
        assert model == counters * (len(model) // len(counters)), "parts of two models"
        return {
            "spool": sorted(windows),
            "store": self._store.last_round,
            "model": int(counters),
            "rows": self._spent.next_row,
        }

    def write(self, number):
        """Write in all of them; tell before what it will be, and of each write when it is done."""
        first, old = number * _WINDOWS, self._windows
        added = range(first, first + _WINDOWS) if number % _CLEARED_EVERY else ()
        self._windows = [*old, *added] if added else []
        _tell("begins", number=number, spool=self._windows)
        if added:
            self._spool.keep(_ANCHOR, {window: ([0.5], 0) for window in added})
        else:
            assert self._spool.clear()
        _tell("wrote", what="spool", number=number)
        self._store.begin_round(number)
        _tell("wrote", what="store", number=number)
        self._store.save(f"{number}".encode() * 1000, f"{number}".encode())
        _tell("wrote", what="model", number=number)
        assert self._spent.spend(number)
        _tell("wrote", what="rows", number=number)


def _tell(event, **fields):
    """Tell, and wait until the host has it: what waits in the console's buffer would be lost."""
    tell(event, **fields)
    termios.tcdrain(sys.stdout)


def main():
    """Tell what is there, then write until the power fails."""
    writer = Writer(Path(sys.argv[1]))
    found = writer.found()
    tell("found", **found)
    for number in itertools.count(max(found["rows"], found["store"]) + 1):
        writer.write(number)


if __name__ == "__main__":
    main()
