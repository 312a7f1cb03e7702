"""What a gateway keeps and counts, without a network."""

import contextlib
import sqlite3

import numpy as np
import pytest

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.operations.events import EventStream
from protoledger.gateway.predictor import Predictor
from protoledger.gateway.training.features import Scaler
from protoledger.gateway.training.store import MIGRATIONS, VERSION, Store
from protoledger.gateway.training.trainer import Trainer, forget_chain
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.schema import NO_LABEL, Sample
from protoledger.runtime.site import SiteConfig

SITE = SiteConfig.model_validate(
    {
        "site": "attic",
        "fleet_key": "0" * 64,
        "channels": [{"name": n, "low": 0, "high": 10, "step": 0.1} for n in ("a", "b")],
        "labels": ["no", "yes"],
        "broker": {"host": "localhost", "port": 1883, "plaintext": True},
    }
)
SCHEMA = SITE.as_schema()


def config(tmp_path, **changes):
    files = {"site_file": "s", "roster_file": "r", "identity_file": "i"}
    store = tmp_path / "gateway.db"
    return GatewayConfig.model_validate({"id": "gw", **files, "store_file": store, **changes})


def sample(a, b, label):
    counts = np.array([3 * (not np.isnan(v)) for v in (a, b)])
    return Sample(np.array([a, b]), counts, label)


def stream(count, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        label = int(rng.integers(2))
        yield sample(*(rng.normal(3 + 4 * label, 0.7, 2)), label)


def test_a_model_and_its_counters_survive_together(tmp_path):
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        assert trainer.take(list(stream(200))) == 200
        store.begin_round(17)
        trainer.save()
        counted = trainer.counters.as_dict()
        answers = [trainer.predict(np.array([x, x])) for x in np.linspace(0, 10, 50)]
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        again = Trainer(config(tmp_path), SCHEMA, store)
        assert store.last_round == 17
        assert again.counters.as_dict() == counted
        assert [again.predict(np.array([x, x])) for x in np.linspace(0, 10, 50)] == answers
    rows = np.array([[3.0, 3.0], [7.0, 7.0], [np.nan, np.nan]])
    here, anywhere = Predictor(config(tmp_path), SITE).classes(rows)
    assert here.tolist() == anywhere.tolist() == [0, 1, -1]
    rows = [{"a": "3", "b": "3"}, {"a": "7", "b": "7"}]
    assert list(Predictor(config(tmp_path), SITE).label_rows(rows)) == ["no", "yes"]
    gaps = [{"a": "", "b": "3"}, {"a": "7", "b": " "}, {"a": "", "b": ""}]
    assert list(Predictor(config(tmp_path), SITE).label_rows(gaps)) == ["no", "yes", ""]
    with pytest.raises(ValueError, match="line 3"):
        list(Predictor(config(tmp_path), SITE).label_rows([rows[0], {"a": "x", "b": "1"}]))


def test_missing_channels_and_labels_stop_nothing(tmp_path):
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        samples = [sample(float("nan"), 3.0, 0), sample(float("nan"), 7.0, 1)] * 50
        assert trainer.take(samples) == 100
        assert trainer.take([sample(1.0, 1.0, NO_LABEL)]) == 0
        assert trainer.counters.samples == 100
        assert trainer.counters.unlabelled == 1
        assert trainer.counters.right > 80


def test_a_store_of_other_channels_or_of_another_learner_is_refused(tmp_path):
    path = tmp_path / "gateway.db"
    with Store(path, SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        trainer.take(list(stream(10)))
        trainer.save()
    with pytest.raises(ConfigurationError, match="move it away"):
        Store(path, b"x" * 32)
    other = config(tmp_path, learner={"mode": "reference"})
    with Store(path, SCHEMA.digest) as store, pytest.raises(ConfigurationError, match="reference"):
        Trainer(other, SCHEMA, store)


def test_a_store_of_version_1_goes_on_in_this_one(tmp_path):
    path = tmp_path / "gateway.db"
    with contextlib.closing(sqlite3.connect(path)) as old, old:  # as version 1 wrote it
        old.execute("CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB)")
        rows = [("version", 1), ("schema", SCHEMA.digest), ("round", 17)]
        rows += [("model", b"model"), ("counters", b"{}")]
        old.executemany("INSERT INTO state VALUES (?, ?)", rows)
    for _ in range(2):
        with Store(path, SCHEMA.digest) as store:
            assert (store.last_round, store.model()) == (17, (b"model", b"{}"))
    with contextlib.closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert not found.execute("SELECT * FROM state WHERE name = 'version'").fetchall()


def test_every_version_of_a_store_has_its_migration():
    assert sorted(MIGRATIONS) == list(range(1, VERSION))


def test_a_store_of_a_later_program_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "gateway.db"
    Store(path, SCHEMA.digest).close()
    with contextlib.closing(sqlite3.connect(path)) as later:
        later.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(ConfigurationError, match="newer program"):
        Store(path, SCHEMA.digest)
    with contextlib.closing(sqlite3.connect(path)) as found:
        assert found.execute("PRAGMA user_version").fetchone() == (VERSION + 1,)


def test_a_damaged_store_is_told(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_bytes(b"no database at all, but long enough to be taken for one" * 40)
    with pytest.raises(ConfigurationError, match="no store"):
        Store(path, SCHEMA.digest)
    path.unlink()
    with Store(path, SCHEMA.digest) as store:
        store.save(b"no model", b"{}")
    with Store(path, SCHEMA.digest) as store, pytest.raises(ConfigurationError, match="cannot be"):
        Trainer(config(tmp_path), SCHEMA, store)


def test_a_transaction_is_whole_or_not_at_all(tmp_path):
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        store.save(b"one", b"1")
        with pytest.raises(sqlite3.Error):
            store.save(b"two", object())
        assert store.model() == (b"one", b"1")


def test_a_commit_that_is_told_twice_is_counted_once(tmp_path):
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        for version in (1, 1, 2, 2):
            trainer.count_commit(version, 40_000)
        assert (trainer.counters.commits, trainer.counters.gas) == (2, 80_000)


def test_commits_of_a_chain_that_was_reset_are_counted_from_its_first(tmp_path):
    path = tmp_path / "gateway.db"
    forget_chain(path)
    with Store(path, SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        trainer.count_commit(7, 40_000)
        trainer.counters.oracle_round = 5
        trainer.save()
    forget_chain(path)
    with Store(path, SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        assert trainer.round_to_cite == 0
        trainer.count_commit(1, 40_000)
        assert (trainer.counters.commits, trainer.counters.gas) == (2, 80_000)


def test_a_channel_that_was_never_read_stands_in_the_middle_for_the_reference():
    scaler = Scaler(SCHEMA, keeps=True)
    assert scaler.sample(sample(float("nan"), 10.0, 0)).tolist() == [0.5, 1.0]
    assert scaler.sample(sample(2.0, float("nan"), 0)).tolist() == [0.2, 1.0]


def test_a_reader_that_is_gone_does_not_stop_the_gateway():
    class Broken:
        def write(self, _data):
            raise BrokenPipeError

    stream = EventStream(Broken())
    stream.write("round", round=1)
    stream.write("round", round=2)


def test_counters_say_what_sharing_is_worth(tmp_path):
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        trainer = Trainer(config(tmp_path), SCHEMA, store)
        trainer.take([sample(3.0, 3.0, 0), sample(3.1, 3.0, 0), sample(7.0, 7.0, 1)])
        trainer.take([sample(float("nan"), 3.0, 0)] * 5)
        trainer.save()
        found = trainer.counters
    assert (found.samples, found.same_label) == (8, 5)
    assert (found.helped, found.hurt, found.helped_by) == (0, 0, {})
    assert found.right == found.own_right == found.anywhere_right
    notices = trainer.take_notices()
    assert [(n.event, n.fields) for n in notices] == [("channels", {"missing": ["a"]})]
    assert trainer.take_notices() == []
    with Store(tmp_path / "gateway.db", SCHEMA.digest) as store:
        assert Trainer(config(tmp_path), SCHEMA, store).counters == found
