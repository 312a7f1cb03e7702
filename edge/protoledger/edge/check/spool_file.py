"""The item of `edge check` about the spool, the file that keeps windows through an outage."""

import os
import sqlite3
from pathlib import Path

from protoledger.edge.readings.spool import waiting
from protoledger.runtime.check.findings import Item, failed, note, ok
from protoledger.runtime.exits import Exit

NAME = "spool"


def check_spool(path: Path | None) -> Item:
    """Check an agent's spool without creating or changing it."""
    if path is None:
        return ok(NAME, "none: windows of an outage are kept in memory, a restart loses them")
    folder = path.parent
    if not folder.is_dir():
        return failed(
            NAME, f"{folder}: there is no such folder", "create it, or correct spool_file", Exit.IO
        )
    # SQLite writes its journal next to the file, so the folder must be writable as well.
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            return failed(
                NAME,
                f"{place} cannot be written to",
                "give it to the agent's user, or name another spool_file",
                Exit.IO,
            )
    if not path.exists():
        return ok(NAME, f"{path}: a long outage will create it; the folder can be written to")
    try:
        count = waiting(path)
    except (sqlite3.Error, ValueError) as error:
        return note(
            NAME,
            f"{path} cannot be read ({error}): the agent will set it aside",
            "check the SD card for errors",
        )
    return ok(
        NAME, f"{path}: keeps {count} windows of an outage, {path.stat().st_size / 1024:.0f} KiB"
    )
