"""Trust: who votes here, who does not and why, and what each owner brings to this site."""

from typing import Any, Final

from protoledger.dashboard.reading.files import GatewayFiles, content

DRAWN: Final = 240
"""Points of a curve at most."""


def trust(files: GatewayFiles) -> dict[str, Any]:
    """Return what the tab shows of one site."""
    now, known = files.document("now"), files.document("trust")
    counters = now.get("counters") or {}
    rows = files.rows("SELECT at, content FROM gains ORDER BY id")
    step = max(1, -(-len(rows) // DRAWN))
    kept = [(at, content(text)) for at, text in rows[(len(rows) - 1) % step :: step]]
    last = kept[-1][1] if kept else {}
    owners = sorted({owner for _, one in kept for owner in one.get("owners", {})} | set(known))
    return {
        "owners": [
            {
                "owner": owner,
                **(known.get(owner) or {"votes": False, "evidence": "not on the ledger any more"}),
                "gain": last.get("owners", {}).get(owner),
                "helped": (counters.get("helped_by") or {}).get(owner, 0),
                "hurt": (counters.get("hurt_by") or {}).get(owner, 0),
            }
            for owner in owners
        ],
        "gains": {
            "at": [round(at, 1) for at, _ in kept],
            "together": [one.get("together") for _, one in kept],
            "alone": [one.get("alone") for _, one in kept],
            "owners": {
                owner: [one.get("owners", {}).get(owner) for _, one in kept] for owner in owners
            },
        },
        "samples": last.get("samples", 0),
        "helped": counters.get("helped", 0),
        "hurt": counters.get("hurt", 0),
        "dropped": [
            {"at": at, **content(text)}
            for at, text in files.rows(
                "SELECT at, content FROM events WHERE kind IN ('dropped', 'lied') "
                "ORDER BY id DESC LIMIT 10"
            )
        ],
    }


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
