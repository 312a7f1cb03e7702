"""What of an experiment has ended, so that a run that was interrupted can be continued.

A journal is a file of JSON lines: what runs first, then a line for each job that ended, written
as it ends. A run of the same experiment by the same code takes over what is there; by other code,
or by code that was changed since its commit, it begins again.
"""

import contextlib
import json
import math
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from protoledger.experiments.running.records import CodeVersion, code_here, holds, without_nan


class JournalHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line: what is run, and by what."""

    experiment: str
    quick: bool
    code: CodeVersion


class Journal:
    """The jobs of one experiment that have ended, in a file.

    Args:
        path: the file; it and its folder are made.
        experiment: the experiment's name.
        quick: whether its small version is run.

    Attributes:
        seconds: how long the runs so far took that ended what is there.
    """

    def __init__(self, path: Path, experiment: str, *, quick: bool) -> None:
        self._path = path
        self._known: dict[str, list[dict[str, Any]]] = {}
        lines = self._read()
        head = _head(lines[0]) if lines else None
        wanted = experiment, quick
        if head is None or (head.experiment, head.quick) != wanted or not holds(head.code):
            lines = []
        if not lines:
            head = JournalHead(experiment, quick, code_here())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(msgspec.json.encode(head) + b"\n")
        self._begun, self.seconds, last = time.monotonic(), 0.0, 0.0
        for line in lines[1:]:
            with contextlib.suppress(ValueError, KeyError):  # the last one may be cut short
                done = json.loads(line)
                self._known[done["job"]] = [_with_nan(row) for row in done["rows"]]
                if done["after_s"] < last:  # another run began there
                    self.seconds += last
                last = done["after_s"]
        self.seconds += last

    def __len__(self) -> int:
        """How many jobs have ended."""
        return len(self._known)

    def rows(self, job: object) -> list[dict[str, Any]] | None:
        """Return the rows of a job, None if it has not ended; what was not measured is NaN."""
        return self._known.get(str(job))

    def keep(self, job: object, rows: list[dict[str, Any]]) -> None:
        """Write down a job that has ended."""
        after_s = round(time.monotonic() - self._begun, 1)
        done = {"job": str(job), "after_s": after_s, "rows": without_nan(rows)}
        line = json.dumps(done, ensure_ascii=False)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")  # a line that was cut short ends here
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> list[str]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()]


def _head(line: str) -> JournalHead | None:
    try:
        return msgspec.json.decode(line, type=JournalHead)
    except msgspec.DecodeError:
        return None


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in row.items()}
