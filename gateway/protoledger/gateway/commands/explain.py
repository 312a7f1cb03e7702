"""`protoledger gateway explain`: why a gateway answered, or would answer, what it does."""

import contextlib
import csv
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.predictor import Predictor
from protoledger.gateway.training.history.tables import history_path
from protoledger.runtime.site import SiteConfig


def kept(store_file: Path, sample: int | None) -> dict[str, Any]:
    """Return the explanation of a prediction that the gateway made.

    Args:
        store_file: the gateway's store.
        sample: number of the sample; None: the newest that is explained.

    Raises:
        ValueError: it is not kept.
    """
    path = history_path(store_file)
    query = "SELECT n, at, content FROM explanations WHERE ?1 IS NULL OR n = ?1 ORDER BY n DESC"
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            found = database.execute(query, [sample]).fetchone()
            numbers = database.execute("SELECT min(n), max(n) FROM explanations").fetchone()
    except sqlite3.Error as error:
        raise ValueError(f"{path}: {error}; has the gateway run with a history?") from error
    if found is None:
        first, last = numbers
        held = "none are kept yet" if first is None else f"kept are some of {first} to {last}"
        raise ValueError(f"sample {sample} is not explained; {held}")
    return {"n": found[0], "at": found[1], **json.loads(found[2])}


def of_rows(config: GatewayConfig, site: SiteConfig, rows: Path) -> Iterator[dict[str, Any]]:
    """Explain rows of channel values with the stored model.

    Raises:
        ValueError: naming the line and cell that is no number, or the missing column.
        ConfigurationError: if there is no usable store.
    """
    predictor = Predictor(config, site)
    with rows.open(newline="", encoding="utf-8") as file:
        for line, found in enumerate(predictor.explain_rows(csv.DictReader(file)), start=2):
            yield {"line": line, **found}


def as_text(found: Mapping[str, Any], labels: Sequence[str]) -> Iterator[str]:
    """Yield an explanation's lines, for people."""

    def name(index: int | None) -> str:
        return "unknown" if index is None else labels[index]

    if not found.get("nearest"):
        yield "unknown: the model has no prototypes that could vote"
        return
    which = f"sample {found['n']}" if "n" in found else f"line {found['line']}"
    sure = found.get("confidence", max(found["probabilities"], default=0.0))  # older ones lack it
    more = " (new: far from all prototypes)" if found["new"] else ""
    yield f"{which}: {name(found['answer'])}, right in {sure:.0%} of such cases{more}"
    yield f"  answered by: {found['expert']}; alone: {name(found['alone'])}"
    yield f"  {'says':12} {'share':>7} {'distance':>9} {'samples':>8}  whose, and from where"
    for voter in found["nearest"]:
        whose = voter["owner"] or "this site"
        if "version" in voter:
            earlier = "" if voter["exact"] else " or earlier"
            whose += f", version {voter['version']}{earlier}, block {voter['block']}, {voter['tx']}"
        yield (
            f"  {name(voter['class'])[:12]:12} {voter['share']:7.1%} {voter['distance']:9.3f} "
            f"{voter['weight']:8.0f}  {whose}"
        )
    for other in found["without"]:
        owner = "all others" if other["owner"] == "*" else other["owner"]
        yield f"  without {owner}: {name(other['answer'])}, {other['probability']:.1%}"
