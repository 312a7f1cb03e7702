"""Trust: who votes here, who does not and why, and what each owner brings to this site."""

from typing import Any, Final

from protoledger.dashboard.reading.curves import ascending, thinned
from protoledger.dashboard.reading.files import DOCUMENT_CHARACTERS, GatewayFiles, content
from protoledger.gateway.training.history.tables import SERIES_KEPT

DRAWN: Final = 240
"""Points of a curve at most."""
KEPT: Final = 2 * SERIES_KEPT
LISTED: Final = 40
"""Owners at most, those that matter most here."""
LINES: Final = 7
"""Owners with a line of their own at most."""


def trust(files: GatewayFiles) -> dict[str, Any]:
    """Return what the tab shows of one site."""
    now, known = files.document("now"), files.document("trust")
    counters = now.get("counters") or {}
    kept = _gains(files)
    last = kept[-1][1] if kept else {}
    gained = _owners(last)
    seen = {owner for _, one in kept for owner in _owners(one)} | set(known)
    helped, hurt = (counters.get(name) or {} for name in ("helped_by", "hurt_by"))

    def weight(owner: str) -> tuple[float, int, bool, str]:
        told = helped.get(owner, 0) + hurt.get(owner, 0)
        return -abs(gained.get(owner) or 0), -told, not known.get(owner, {}).get("votes"), owner

    owners = sorted(seen, key=weight)[:LISTED]
    return {
        "owners": [
            {
                "owner": owner,
                **(known.get(owner) or {"votes": False, "evidence": "not on the ledger any more"}),
                "gain": gained.get(owner),
                "helped": helped.get(owner, 0),
                "hurt": hurt.get(owner, 0),
            }
            for owner in owners
        ],
        "owners_in_all": len(seen),
        "gains": {
            "at": [round(at, 1) for at, _ in kept],
            "together": [one.get("together") for _, one in kept],
            "alone": [one.get("alone") for _, one in kept],
            "owners": {
                owner: [_owners(one).get(owner) for _, one in kept] for owner in owners[:LINES]
            },
        },
        "samples": last.get("samples", 0),
        "helped": counters.get("helped", 0),
        "hurt": counters.get("hurt", 0),
        "dropped": files.events("kind IN ('dropped', 'lied')", 10),
    }


def _gains(files: GatewayFiles) -> list[tuple[float, dict[str, Any]]]:
    """Return when gains were computed, and what they were, as far as they are drawn."""
    rows = files.rows("SELECT at, id FROM gains ORDER BY id DESC LIMIT ?", [KEPT])[::-1]
    rows = thinned([rows[i] for i in ascending([at for at, _ in rows], files.clock())], DRAWN)
    found = []
    for at, number in rows:
        texts = files.rows(
            "SELECT content FROM gains WHERE id = ? AND length(content) < ?",
            [number, DOCUMENT_CHARACTERS],
        )
        found += [(at, content(text)) for (text,) in texts]
    return found


def _owners(gains: dict[str, Any]) -> dict[str, float | None]:
    owners = gains.get("owners")
    return owners if isinstance(owners, dict) else {}


def votes(files: GatewayFiles) -> dict[str, int]:
    """Return how many other owners a site knows, and how many of them vote there."""
    known = files.document("trust")
    voting = sum(bool(one.get("votes") and not one.get("vetoed")) for one in known.values())
    return {"owners": len(known), "voting": voting}


def explanations(files: GatewayFiles) -> list[dict[str, Any]]:
    """Return the predictions that can be explained, newest first."""
    rows = files.rows(
        "SELECT e.n, e.at, s.label, s.answer, s.alone, s.confidence FROM explanations AS e "
        "JOIN samples AS s ON s.n = e.n ORDER BY e.n DESC LIMIT 100"
    )
    names = ("n", "at", "label", "answer", "alone", "confidence")
    return [dict(zip(names, row, strict=True)) for row in rows]


def explanation(files: GatewayFiles, n: int) -> dict[str, Any] | None:
    """Return one explanation; None if it is not kept."""
    rows = files.rows(
        "SELECT e.at, e.content, s.label FROM explanations AS e "
        "LEFT JOIN samples AS s ON s.n = e.n WHERE e.n = ?",
        [n],
    )
    if not rows:
        return None
    at, text, label = rows[0]
    return {"n": n, "at": at, "label": label, **content(text)}
