"""What a gateway keeps for its page: true, bounded, and never in the way of the gateway."""

import json
import sqlite3

import numpy as np
import pytest

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.trust import explanation, explanations, trust
from protoledger.gateway.training.history import tables
from protoledger.gateway.training.history.explanation import explain
from protoledger.gateway.training.history.gains import gains
from protoledger.gateway.training.history.projection import Projection
from protoledger.gateway.training.history.provenance import Provenance
from protoledger.gateway.training.history.tables import History, history_path
from tests.support.recorded import OTHER, TX, Recorded


@pytest.fixture
def site(tmp_path):
    recorded = Recorded(tmp_path / "attic")
    yield recorded
    recorded.close()


def rows(site, query):
    with sqlite3.connect(history_path(site.store_file)) as database:
        return database.execute(query).fetchall()


def test_each_sample_is_kept_with_all_that_was_said(site):
    site.learn(30)
    kept = rows(site, "SELECT n, label, answer, alone, repeated FROM samples ORDER BY n")
    assert [row[0] for row in kept] == list(range(1, 31))
    assert kept[0][2] is None, "nothing is known at the first sample"
    assert kept[0][4] is None, "there is no label before the first"
    assert [row[4] for row in kept[1:]] == [row[1] for row in kept[:-1]]
    assert sum(row[1] == row[2] for row in kept) == site.trainer.counters.right
    assert sum(row[1] == row[3] for row in kept) == site.trainer.counters.own_right
    assert sum(row[1] == row[4] for row in kept) == site.trainer.counters.same_label


def test_samples_without_a_label_are_kept_as_such(site):
    site.learn(20)
    site.learn(3, labelled=False)
    kept = rows(site, "SELECT label FROM samples ORDER BY n DESC LIMIT 3")
    assert kept == [(None,)] * 3


def test_numbers_go_on_after_a_restart(site, tmp_path):
    site.learn(10)
    site.close()
    again = Recorded(tmp_path / "attic")
    again.learn(5)
    again.close()
    assert rows(site, "SELECT max(n), count(*) FROM samples") == [(15, 15)]


def test_a_history_can_be_turned_off(tmp_path):
    silent = Recorded(tmp_path / "attic", enabled=False)
    silent.learn(10)
    silent.join()
    silent.close()
    assert not history_path(silent.store_file).exists()


def test_watching_changes_nothing(tmp_path):
    watched, alone = Recorded(tmp_path / "a"), Recorded(tmp_path / "b", enabled=False)
    for one in (watched, alone):
        one.learn(40)
        one.join()
        one.learn(40)
    assert watched.trainer.model.state() == alone.trainer.model.state()
    watched.close()
    alone.close()


def test_other_users_cannot_read_it(site):
    site.learn(1)
    assert history_path(site.store_file).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_a_damaged_history_is_begun_again(tmp_path, content):
    path = tmp_path / "gateway.db.history"
    path.write_bytes(content)
    history = History(path)
    history.write(documents={"now": {"at": 1}})
    history.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT content FROM documents").fetchone() == ('{"at":1}',)


def test_a_history_of_a_later_version_is_begun_again(tmp_path):
    path = tmp_path / "h"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    History(path).close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (tables.VERSION,)


def test_a_history_that_cannot_be_written_stops_nothing(tmp_path, caplog):
    history = History(tmp_path / "missing" / "h")
    for _ in range(3):
        history.write(documents={"now": {}})
    history.close()
    assert caplog.text.count("cannot be written") == 1


def test_it_stays_small_and_reaches_back_to_the_start(tmp_path, monkeypatch):
    for name, most in (("SAMPLES_KEPT", 50), ("EVENTS_KEPT", 20), ("SERIES_KEPT", 40)):
        monkeypatch.setattr(tables, name, most)
    monkeypatch.setattr(tables, "PRUNE_EVERY", 2)
    history = History(tmp_path / "h")
    for n in range(1, 400):
        history.write(
            documents={},
            samples=[(n, float(n), 0, 0, 0, 0, 0, 0.5, 0)],
            events=[(float(n), "drift", {})],
            series={"points": (float(n), {"n": n})},
        )
    history.close()
    with sqlite3.connect(tmp_path / "h") as database:
        samples = database.execute("SELECT min(n), max(n) FROM samples").fetchone()
        (events,) = database.execute("SELECT count(*) FROM events").fetchone()
        first, last, points = database.execute(
            "SELECT min(at), max(at), count(*) FROM points"
        ).fetchone()
    assert samples[1] == 399
    assert samples[0] > 345
    assert events <= 22
    assert first == 1.0
    assert last == 399.0
    assert points <= 42


def test_an_explanation_is_the_whole_vote(site):
    site.learn(60)
    site.join()
    site.trainer.model.settle()
    x = np.array([0.63, 0.71])
    provenance = Provenance(site.store_file, site.trainer.model.form)
    found = explain(site.trainer.model, x, provenance)
    assert found["answer"] == site.trainer.model.predict_one(x) == 1
    shares = [voter["share"] for voter in found["nearest"]]
    assert sum(shares) == pytest.approx(1, abs=1e-3)
    of_other = [voter for voter in found["nearest"] if voter["owner"] == OTHER]
    assert of_other, "the other owner's prototypes are the nearest here"
    assert {(v["version"], v["block"], v["tx"]) for v in of_other} == {(1, 41, TX)}
    assert {one["owner"] for one in found["without"]} == {OTHER, "*"}
    json.dumps(found)


def test_a_record_that_stayed_came_in_the_earlier_version(site):
    site.learn(20)
    site.join(version=1)
    site.join(version=2)  # the same bytes
    origin = Provenance(site.store_file, site.trainer.model.form).of(OTHER, 7)
    assert (origin.version, origin.block, origin.exact) == (1, 41, True)


def test_without_a_ledger_nothing_is_known_of_origins(site):
    assert Provenance(site.store_file, site.trainer.model.form).of(OTHER, 7) is None


def test_explanations_can_be_chosen(site):
    site.learn(20)
    files = GatewayFiles("attic", site.store_file)
    (newest, *_) = explanations(files)
    found = explanation(files, newest["n"])
    assert found["answer"] == newest["answer"]
    assert explanation(files, 10_000) is None
    files.close()


def test_gains_say_what_each_owner_brings(site):
    site.learn(80)
    assert gains(site.trainer.model)["owners"] == {}
    site.join()
    site.learn(80)
    found = gains(site.trainer.model)
    assert set(found["owners"]) == {OTHER}
    assert found["owners"][OTHER] == pytest.approx(found["together"] - found["alone"], abs=1e-3)
    files = GatewayFiles("attic", site.store_file)
    (owner,) = trust(files)["owners"]
    assert owner["owner"] == OTHER
    assert owner["evidence"].startswith("votes")
    files.close()


def test_a_map_moves_and_does_not_jump():
    rng = np.random.default_rng(3)
    classes = rng.integers(3, size=60)
    places = rng.normal(size=(3, 5))[classes] + 0.2 * rng.normal(size=(60, 5))
    drawing = Projection(5)
    before = drawing.place(places, classes, np.ones(60))
    for _ in range(20):
        places = places + 0.01 * rng.normal(size=places.shape)
        after = drawing.place(places, classes, np.ones(60))
        size = np.ptp(before, axis=0).max()
        assert np.abs(after - before).max() < 0.2 * size
        before = after


def test_a_map_bears_missing_features_single_classes_and_single_channels():
    lacking = np.array([[0.1, np.nan], [0.9, np.nan], [0.5, np.nan]])
    assert np.isfinite(Projection(2).place(lacking, np.zeros(3, int), np.ones(3))).all()
    one = Projection(1).place(np.array([[0.2], [0.8]]), np.array([0, 1]), np.ones(2))
    assert np.isfinite(one).all()
    assert Projection(2).place(np.zeros((0, 2)), np.zeros(0, int), np.zeros(0)).shape == (0, 2)
