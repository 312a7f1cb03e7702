"""Report what changed in the copy of the chain: newest codebooks, drops, owners not believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.events import (
    CodebookChanged,
    CodebookDropped,
    LedgerEvent,
    OwnerLied,
)
from protoledger.gateway.ledger.following.copy import Version, objection

if TYPE_CHECKING:
    from collections.abc import Mapping


class Changes:
    """Remembers what was reported of each owner; owned by one thread.

    Args:
        form: record format of the contract.
        own: this gateway's address.
    """

    def __init__(self, form: RecordFormat, own: str) -> None:
        self._form, self._own = form, own
        self._reported: dict[str, tuple[int, bytes]] = {}
        self._liars: set[str] = set()

    def since(
        self, newest: Mapping[str, Version], active: Mapping[str, bool], contract: str
    ) -> list[LedgerEvent]:
        """Give what has changed since the last call.

        Args:
            newest: every owner's newest version.
            active: whether an owner may write.
            contract: its address, for advice.
        """
        events: list[LedgerEvent] = []
        for owner, version in newest.items():
            if not version.lie:
                self._liars.discard(owner)
            elif owner not in self._liars:
                self._liars.add(owner)
                events.append(OwnerLied(owner, version.version, _evidence(version, contract)))
        for owner in sorted(self._reported.keys() | newest.keys()):
            events.extend(self._of(owner, newest.get(owner), active=active.get(owner, False)))
        return events

    def _of(self, owner: str, newest: Version | None, *, active: bool) -> list[LedgerEvent]:
        reason = objection(newest, active=active)
        if newest is None or reason:
            known = self._reported.pop(owner, None)
            return [CodebookDropped(owner, reason)] if known else []
        now = (newest.version, newest.head.state_hash)
        if self._reported.get(owner) == now:
            return []
        self._reported[owner] = now
        book = Codebook.decode(newest.snapshot, self._form)
        return [CodebookChanged(owner, newest.version, book, owner == self._own)]


def _evidence(newest: Version, contract: str) -> str:
    return (
        f"{newest.lie}; it is ignored; the contract's owner removes it with `protoledger "
        f"contracts revoke {newest.owner} --contract {contract} --key FILE`"
    )
