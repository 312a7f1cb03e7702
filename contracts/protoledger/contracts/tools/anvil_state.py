"""Anvil's state file keeps one block 0: the first one.

Each start of Anvil makes a block 0 of its own, with the time of the start in it, and then reads the
state file. Both are in the next dump, in no order, and which of them is block 0 after the start
that follows is chance: the chain comes back with another hash of block 0, and every gateway
refuses it as another chain. Seen with Anvil 1.7.1.

So before a start this leaves the one that the chain began with, which a file beside the state
remembers from the first time on. It runs on hosts too, where protoledger is not installed:
`python3 anvil_state.py STATE`; nothing but the standard library, Python 3.9.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

Block = dict[str, Any]


def keep_first_block(state: Path) -> bool:
    """Leave one block 0 in a state file; one that is missing or no JSON is left to Anvil.

    Args:
        state: what Anvil's `--state` names.

    Returns:
        Whether the file was changed.
    """
    try:
        content = json.loads(state.read_bytes())
        blocks = content["blocks"]
        firsts = [block for block in blocks if _number(block) == 0]
        others = [block for block in blocks if _number(block) != 0]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if not firsts:
        return False
    remembered = state.with_name(f"{state.name}.block0")
    first = _read(remembered)
    if first not in firsts:  # nothing is remembered, or it is of a chain that was here before
        first = min(firsts, key=_time)  # of several, the others are of later starts
        _write(remembered, first)
    if firsts == [first]:
        return False
    content["blocks"] = [first, *others]
    _write(state, content)
    return True


def _number(block: Block) -> int:
    return int(block["header"]["number"], 16)


def _time(block: Block) -> int:
    return int(block["header"]["timestamp"], 16)


def _read(path: Path) -> Block | None:
    try:
        found = json.loads(path.read_bytes())
        return found if _number(found) == 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, content: Block) -> None:
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="ascii") as file:
        json.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


if __name__ == "__main__":
    keep_first_block(Path(sys.argv[1]))
