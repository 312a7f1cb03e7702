"""Where prototypes of the other owners came from: the version and the transaction of each.

The ledger's copy keeps an owner's last versions as whole snapshots. A record that stands in two
versions with the same bytes was written in the earlier of them.
"""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from protoledger.gateway.codebook.format import RecordFormat


@dataclass(frozen=True, slots=True)
class Origin:
    """What wrote a prototype as it stands.

    Attributes:
        version: of its owner, ≥ 1.
        block: the block's number.
        tx_hash: the transaction; a placeholder such as 0x where the copy began at a checkpoint.
        exact: whether it is known to be this version, and not an earlier one that is not kept.
    """

    version: int
    block: int
    tx_hash: str
    exact: bool


class Provenance:
    """Reads the ledger's copy in a gateway's store, and remembers what it has read.

    Args:
        store_file: the gateway's store; may lack the ledger's tables.
        form: of the records.
    """

    def __init__(self, store_file: Path, form: RecordFormat) -> None:
        self._path = store_file
        self._form = form
        self._known: dict[str, dict[int, Origin]] = {}

    def of(self, owner: str, prototype: int) -> Origin | None:
        """Return what wrote an owner's prototype; None if the copy does not know it."""
        return self._origins(owner).get(prototype)

    def look_again(self) -> None:
        """Forget what was read: a codebook has changed."""
        self._known.clear()

    def _origins(self, owner: str) -> dict[int, Origin]:
        if owner not in self._known:
            try:
                self._known[owner] = self._read(owner)
            except (sqlite3.Error, OSError):  # busy, or no ledger yet: read at the next change
                self._known[owner] = {}
        return self._known[owner]

    def _read(self, owner: str) -> dict[int, Origin]:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0.2)) as database:
            rows = database.execute(
                "SELECT version, block, tx_hash, snapshot FROM ledger_versions "
                "WHERE owner = ? AND lie = '' ORDER BY version",
                (owner,),
            ).fetchall()
        width = self._form.record_bytes
        known: dict[int, tuple[bytes, Origin]] = {}
        for place, (version, block, tx_hash, snapshot) in enumerate(rows):
            now: dict[int, tuple[bytes, Origin]] = {}
            for start in range(0, len(snapshot) - width + 1, width):
                record = bytes(snapshot[start : start + width])
                number = int.from_bytes(record[:2], "big")
                before = known.get(number)
                if before is not None and before[0] == record:
                    now[number] = before
                else:
                    exact = place > 0 or version == 1
                    now[number] = (record, Origin(int(version), int(block), str(tx_hash), exact))
            known = now
        return {number: origin for number, (_, origin) in known.items()}
