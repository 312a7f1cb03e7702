"""Files that are damaged, huge, of another time or full of nonsense: the page shows what it can."""

import asyncio
import json
import math
import sqlite3
import time

import pytest

from protoledger.dashboard.reading.curves import ascending
from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.trust import LISTED
from protoledger.dashboard.reading.views import VIEWS, explained, view
from protoledger.dashboard.server.stream import Streams
from protoledger.gateway.training.history.tables import history_path
from tests.support.recorded import OTHER, TX, Recorded

BIDI = "\u202eytpme\u2066\u200b"


@pytest.fixture
def site(tmp_path):
    recorded = Recorded(tmp_path / "attic")
    recorded.learn(30)
    recorded.join()
    recorded.learn(10)
    recorded.status()
    yield recorded
    recorded.close()


def edit(site, *statements, file=None):
    with sqlite3.connect(file or history_path(site.store_file)) as database:
        for statement, values in statements:
            database.execute(statement, values)


def document(site, name, content):
    text = content if isinstance(content, str) else json.dumps(content)
    edit(site, ("INSERT OR REPLACE INTO documents VALUES (?, ?)", (name, text)))


def strictly(body):
    """Decode as a browser does: NaN and Infinity are no JSON there."""

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(body, parse_constant=refuse)


def shown(site, name="now"):
    sound = GatewayFiles("cellar", site.store_file.with_name("none") / "gateway.db")
    found = strictly(view(name, [GatewayFiles("attic", site.store_file), sound]))
    assert found["sites"][1]["state"] == "absent", "the other site is shown as it is"
    return found["sites"][0]


NONSENSE = [
    '{"at": NaN, "counters": {"samples": 1e999, "right": -Infinity}, "prediction": {"at": NaN}}',
    '{"counters": [], "members": 7, "contributors": "x", "last_failed_at": "never"}',
    '{"counters": {"samples": "many", "right": null}, "missing": 3, "prediction": [1]}',
    '{"members": ["a"], "missing": [[], {}], "last_failed_at": [1]}',
    "[" * 100_000,
    '{"at": ' + "9" * 6000 + "}",
    '{"at": ' + "9" * 400 + "}",
    json.dumps({"prediction": {"probabilities": "a" * 1000}}),
]


@pytest.mark.parametrize("name", ["about", "now", "map", "trust"])
@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_of_one_site_costs_no_other_site(site, name, text):
    document(site, name, text)
    for each in VIEWS:
        shown(site, each)
    explained("attic", 3, [GatewayFiles("attic", site.store_file)])


@pytest.mark.parametrize(
    "text", ['{"pid": "x", "written_at": "y"}', '{"written_at": NaN}', "[1]", "[" * 100_000,
             '{"last_completed_at": "z", "completed": {}, "connected": []}'],
    ids=range(5),
)  # fmt: skip
def test_a_nonsensical_status_costs_no_other_site(site, text):
    site.store_file.with_name("gateway.db.status.json").write_text(text)
    for each in VIEWS:
        shown(site, each)


def test_columns_of_other_types_cost_no_other_site(site):
    huge = math.inf
    edit(
        site,
        ("UPDATE samples SET at = ?, confidence = ? WHERE n = 3", (huge, -huge)),
        ("UPDATE samples SET label = 'x', answer = x'00ff' WHERE n = 4", ()),
        ("UPDATE explanations SET at = ?, content = x'00ff' WHERE n = 5", (huge,)),
        ("INSERT INTO events (at, kind, content) VALUES (?, 'merged', ?)", (huge, '{"owner": 3}')),
        ("INSERT INTO events (at, kind, content) VALUES (1, x'ff', '[]')", ()),
        ("INSERT INTO gains (at, content) VALUES (?, '{\"owners\": 3}')", (huge,)),
        ('INSERT INTO points (at, content) VALUES (?, \'{"n": "x"}\')', (huge,)),
    )
    edit(
        site,
        ("INSERT INTO ledger_versions VALUES (x'00ff', 'v', 'b', x'ff', x'', '', 7)", ()),
        file=site.store_file,
    )
    for each in VIEWS:
        shown(site, each)


@pytest.mark.parametrize("name", VIEWS)
def test_a_lost_table_costs_no_other_site(site, name):
    edit(site, *((f"DROP TABLE {table}", ()) for table in ("documents", "events", "samples")))
    shown(site, name)


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\1" * 4096]
)
def test_a_damaged_history_is_a_state_of_its_own(tmp_path, content):
    site = Recorded(tmp_path / "attic", enabled=False)
    site.status()
    history_path(site.store_file).write_bytes(content)
    for each in VIEWS:
        assert shown(site, each)["state"] == "damaged"
    site.close()


def test_a_locked_history_is_shown_as_it_was_last(site):
    """A lock of a second hides nothing, and costs less than a second."""
    path = history_path(site.store_file)
    site.close()
    locking = sqlite3.connect(path, isolation_level=None)
    locking.execute("PRAGMA journal_mode = DELETE")
    site.status()
    streams = Streams([GatewayFiles("attic", site.store_file)])
    before = asyncio.run(streams.newest("now"))
    locking.execute("BEGIN EXCLUSIVE")
    site.status(connected=False)
    streams._due.clear()
    assert asyncio.run(streams.newest("now")) == before
    locking.execute("ROLLBACK")
    locking.close()
    streams._due.clear()
    assert asyncio.run(streams.newest("now")) != before
    streams.close()


def test_a_status_that_is_half_written_changes_nothing(site):
    files = GatewayFiles("attic", site.store_file)
    assert files.state() == "running"
    path = site.store_file.with_name("gateway.db.status.json")
    whole = path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert files.state() == "running", f"after {size} bytes"
    path.unlink()
    assert files.state() == "stopped"


def test_a_status_of_the_future_is_no_sign_of_life(site):
    """A clock that was set back: what was written before says nothing of now."""
    site.status(written_at=time.time() + 365 * 86_400)
    assert shown(site)["state"] == "stale"
    site.status(written_at=time.time() + 5)
    assert shown(site)["state"] == "running"


def test_times_along_a_chart_ascend_and_end_with_the_newest():
    now = 1_800_000_000.0
    year = 365 * 86_400.0
    good = [now - 900 + 10 * i for i in range(90)]
    assert ascending(good, now) == list(range(90))
    # a clock that was a year ahead, a Pi that started in 1970, and one that was a year back
    for wrong in (now + year, 12.0, now - year, math.inf, math.nan, "x", None):
        mixed = [*good[:40], wrong, wrong, *good[40:]]
        assert ascending(mixed, now) == [*range(40), *range(42, 92)], wrong
    assert ascending([*good, good[0] - year], now) == [90], "the newest is always there"
    assert ascending([], now) == []


def test_curves_ascend_though_the_clock_was_set_back(site):
    edit(
        site,
        ("UPDATE samples SET at = at + 31536000 WHERE n BETWEEN 10 AND 15", ()),
        ("INSERT INTO gains (at, content) SELECT at + 1e7, content FROM gains", ()),
        ("INSERT INTO gains (at, content) SELECT min(at), content FROM gains", ()),
    )
    for curve in (shown(site, "learning")["curve"], shown(site, "trust")["gains"]):
        assert curve["at"] == sorted(curve["at"])
        assert all(len(values) == len(curve["at"]) for values in curve.values()
                   if isinstance(values, list))  # fmt: skip


def test_ten_thousand_owners_are_listed_by_what_they_do_here(site):
    owners = [f"0x{n:040x}" for n in range(10_000)]
    known = {owner: {"votes": n % 2 == 0, "evidence": BIDI, "prototypes": n}
             for n, owner in enumerate(owners)}  # fmt: skip
    document(site, "trust", known)
    gains = {"together": 0.9, "alone": 0.8, "samples": 5, "owners": dict.fromkeys(owners, 0.0)}
    gains["owners"][owners[77]] = 0.25
    edit(site, *(("INSERT INTO gains (at, content) VALUES (?, ?)",
                  (time.time(), json.dumps(gains))) for _ in range(3)))  # fmt: skip
    body = view("trust", [GatewayFiles("attic", site.store_file)])
    assert len(body) < 100_000
    (found,) = strictly(body)["sites"]
    assert found["owners"][0]["owner"] == owners[77], "who matters most is first"
    assert len(found["owners"]) == LISTED
    assert found["owners_in_all"] == 10_001  # with the one that `join` wrote
    assert set(found["gains"]["owners"]) <= {one["owner"] for one in found["owners"]}


@pytest.mark.parametrize("most", [20_100, pytest.param(10**6, marks=pytest.mark.long)])
def test_a_long_history_answers_from_its_end(site, most):
    """What a gateway keeps is bounded; whatever wrote this file did not hold to it."""
    many = f"WITH RECURSIVE many(n) AS (SELECT 100 UNION ALL SELECT n+1 FROM many WHERE n < {most})"
    text = json.dumps({"version": 1, "owner": OTHER, "text": "x" * 200})
    edit(
        site,
        (f"INSERT INTO samples {many} SELECT n, 1.7e9 + n, NULL, 0, 0, 0, 0, 0.5, 0 FROM many", ()),
        (f"INSERT INTO events (at, kind, content) {many} SELECT 1.7e9 + n, 'merged', ? FROM many",
         (text,)),
        (f"INSERT INTO gains (at, content) {many} SELECT 1.7e9 + n, '{{}}' FROM many", ()),
    )  # fmt: skip
    row = "printf('0x%040d', n % 50), n, n, ?, x'00', '0x0', ''"
    edit(
        site,
        (f"INSERT INTO ledger_versions {many} SELECT {row} FROM many", (TX,)),
        file=site.store_file,
    )
    files = GatewayFiles("attic", site.store_file)
    for name in VIEWS:
        assert len(view(name, [files])) < 400_000, name
    assert len(strictly(view("ledger", [files]))["commits"]) == 400
    plan = " ".join(map(str, files.store.rows(f"EXPLAIN QUERY PLAN {_versions()}", [1, 1])))
    assert "TEMP B-TREE" not in plan.split("CO-ROUTINE")[-1].split("SCAN")[1]


def _versions():
    from protoledger.dashboard.reading.ledger import VERSIONS

    return VERSIONS


def test_an_explanation_of_nothing_is_none(site):
    files = GatewayFiles("attic", site.store_file)
    for n in (0, -1, 10**6, 2**63, 10**40):
        assert explained("attic", n, [files]) is None
