"""Ledger: who committed what and when, what it cost, and how the chain is."""

from typing import Any, Final

from protoledger.dashboard.reading.files import GatewayFiles

SHOWN: Final = 400
"""Commits on the timeline at most, the newest."""
LOOKED_AT: Final = 2000
"""Versions that are looked through for them, the last that were written."""
VERSIONS: Final = (
    "SELECT owner, version, block, tx_hash, lie FROM "
    "(SELECT owner, version, block, tx_hash, lie FROM ledger_versions ORDER BY rowid DESC LIMIT ?) "
    "WHERE length(tx_hash) > 4 OR lie <> '' LIMIT ?"
)
"""By order of writing, which is that of blocks: there is no index of these."""
TROUBLES: Final = (
    "kind IN ('disagrees', 'ledger_failed', 'rejected', 'successor', 'lied', 'unavailable')"
)


def ledger(sites: list[GatewayFiles]) -> dict[str, Any]:
    """Return the timeline over all owners, and each site's part."""
    commits: dict[tuple[str, str, int], dict[str, Any]] = {}
    for files in sites:
        files.shown(lambda one: _collect(one, commits))
    ordered = sorted(commits.values(), key=lambda one: (one["block"] or 0, one["at"] or 0))
    return {"commits": ordered[-SHOWN:], "sites": [files.shown(_site) for files in sites]}


def _collect(
    files: GatewayFiles, commits: dict[tuple[str, str, int], dict[str, Any]]
) -> dict[str, Any]:
    known = files.document("about").get("ledger") or {}
    contract, account = str(known.get("contract")), known.get("account")

    def commit(owner: str, version: int) -> dict[str, Any]:
        blank = {"owner": owner, "version": version, "block": None, "tx": None, "at": None,
                 "gas": None, "records": None, "lie": ""}  # fmt: skip
        return commits.setdefault((contract, owner, version), blank)

    for owner, version, block, tx_hash, lie in files.store.rows(VERSIONS, [LOOKED_AT, SHOWN]):
        if isinstance(owner, str) and isinstance(version, int) and isinstance(block, int):
            commit(owner, version).update(block=block, tx=tx_hash, lie=lie)
    for fields in reversed(files.events("kind IN ('committed', 'merged')", SHOWN)):
        at, kind = fields["at"], fields["kind"]
        owner = account if kind == "committed" else fields.get("owner")
        version = fields.get("version")
        if not isinstance(owner, str) or not isinstance(version, int):
            continue
        one = commit(owner.lower(), version)
        if one["at"] is None or kind == "committed":
            one["at"] = at
        if kind == "committed":
            one.update({name: fields.get(name) for name in ("gas", "records", "tx")})
    return {}


def _site(files: GatewayFiles) -> dict[str, Any]:
    about, now = files.document("about"), files.document("now")
    counters = now.get("counters") or {}
    configured = about.get("ledger")
    if configured is None:
        return {"ledger": None}
    samples, gas = counters.get("samples", 0), counters.get("gas", 0)
    gained = counters.get("right", 0) - counters.get("own_right", 0)
    points = 100 * gained / samples if samples else 0.0
    blocks = files.store.rows("SELECT max(block) FROM ledger_scanned")
    return {
        "ledger": configured,
        "chain": now.get("chain", ""),
        "block": blocks[0][0] if blocks else None,
        "outbox": _outbox(files),
        "commits": counters.get("commits", 0),
        "rejected": counters.get("commits_rejected", 0),
        "gas": gas,
        "points": round(points, 2),
        "gas_per_point": round(gas / points) if points > 0 else None,
        "troubles": files.events(TROUBLES, 20),
    }


def _outbox(files: GatewayFiles) -> dict[str, Any]:
    waiting = files.store.rows("SELECT note FROM ledger_wanted")
    sent = files.store.rows("SELECT tx_hash, nonce FROM ledger_pending")
    return {
        "waiting": waiting[0][0] if waiting else None,
        "sent": {"tx": sent[0][0], "nonce": sent[0][1]} if sent else None,
    }
