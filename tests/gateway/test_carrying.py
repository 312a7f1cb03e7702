"""A model for a site file with more channels and labels: nothing learnt is lost."""

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from protoledger.contracts.keys import create_key, load_key
from protoledger.gateway.commands.contracts import app as contracts
from protoledger.gateway.commands.gateway import app
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.events import CodebookChanged, SuccessorNamed
from protoledger.gateway.training.history.tables import history_path
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Trainer
from protoledger.protocol.wire.schema import Sample, Schema
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load
from tests.support import chain
from tests.support.ledgers import OWNER, Site, deploy

OLD = {
    "site": "attic",
    "fleet_key": "0" * 64,
    "channels": [{"name": n, "low": 0, "high": 10, "step": 0.1} for n in ("a", "b")],
    "labels": ["no", "yes"],
    "broker": {"host": "localhost", "port": 1883, "plaintext": True},
}
NEW = OLD | {
    "channels": [{"name": n, "low": 0, "high": 10, "step": 0.1} for n in ("c", "b", "a")],
    "labels": ["maybe", "yes", "no"],
}


class Attic:
    """A stopped gateway with a learnt model, its old site file, and its new one."""

    def __init__(self, folder: Path, mode: str = "improved") -> None:
        self.folder, self.store = folder, folder / "gateway.db"
        self.gateway = folder / "gateway.yaml"
        self.old_file = folder / "old.yaml"
        self.old_file.write_text(yaml.dump(OLD))
        self.renew(OLD)
        files = {"site_file": "site.yaml", "roster_file": "r", "identity_file": "i"}
        rest = {"store_file": "gateway.db", "learner": {"mode": mode}}
        self.gateway.write_text(yaml.dump({"id": "gw", **files, **rest}))
        random = np.random.default_rng(1)
        with self.opened() as trainer:
            for _ in range(300):
                label = int(random.integers(2))
                values = random.normal(3 + 4 * label, 0.7, 2)
                trainer.take([Sample(values, np.full(2, 3), label)])
            self.committed = trainer.model.codebook()
            trainer.model.commits.accepted(self.committed, 7)
            trainer.unsaved = True

    def renew(self, site: dict[str, object]) -> None:
        (self.folder / "site.yaml").write_text(yaml.dump(site))

    @property
    def schema(self) -> Schema:
        return load(self.folder / "site.yaml", SiteConfig).as_schema()

    @contextlib.contextmanager
    def opened(self):
        with Store(self.store, self.schema.digest) as store:
            trainer = Trainer(load(self.gateway, GatewayConfig), self.schema, store)
            yield trainer
            trainer.save()

    def carry(self, code: int = 0) -> str:
        words = ["carry-over", str(self.old_file), "--config", str(self.gateway)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def attic(tmp_path: Path) -> Attic:
    return Attic(tmp_path)


def grid() -> np.ndarray:
    line = np.linspace(0, 10, 21)
    return np.array([(x, y) for x in line for y in line])


def test_a_carried_model_answers_as_before_where_it_has_no_more(attic: Attic) -> None:
    with attic.opened() as trainer:
        before = [OLD["labels"][trainer.predict(row)] for row in grid()]
        counted = trainer.counters.as_dict()
    attic.renew(NEW)
    assert "2 → 3 channels, 2 → 3 labels" in attic.carry()
    with attic.opened() as trainer:
        nothing = np.full((len(grid()), 1), np.nan)
        rows = np.hstack([nothing, grid()[:, ::-1]])
        after = [NEW["labels"][trainer.predict(row)] for row in rows]
        assert trainer.counters.samples == counted["samples"]
        assert (trainer.model.commits.version, len(trainer.model.commits.base)) == (0, 0)
    assert after == before


def test_a_carried_model_learns_the_new_channel_and_label(attic: Attic) -> None:
    attic.renew(NEW)
    attic.carry()
    random = np.random.default_rng(2)
    with attic.opened() as trainer:
        for _ in range(600):
            label = int(random.integers(3))  # `maybe` differs from `no` by the new channel alone
            other = 7.0 if label == 1 else 3.0
            new = 8.0 if label == 0 else 2.0
            values = random.normal([new, other, other], 0.7)
            trainer.take([Sample(values, np.full(3, 3), label)])
        right = [
            trainer.predict(np.array([new, other, other])) == label
            for label, (new, other) in enumerate([(8, 3), (2, 7), (2, 3)])
        ]
    assert all(right)


def test_the_old_store_is_kept_and_works_with_the_old_site_file(attic: Attic) -> None:
    attic.renew(NEW)
    history_path(attic.store).write_bytes(b"labels by their old numbers")
    mode = attic.store.stat().st_mode
    kept = Path(attic.carry().rsplit(" is ", 1)[1].strip())
    assert attic.store.stat().st_mode == kept.stat().st_mode == mode
    assert history_path(kept).exists()
    assert not history_path(attic.store).exists()
    attic.renew(OLD)
    with Store(kept, attic.schema.digest) as store:
        assert store.model() is not None
    assert "other channels or labels" in attic.carry(Exit.CONFIGURATION)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"channels": OLD["channels"][:1]}, "channel 'b' was removed"),
        ({"labels": ["no", "maybe"]}, "label 'yes' was removed"),
        ({"channels": [{**c, "high": 20} for c in OLD["channels"]]}, "was 0 to 10, and is 0 to 20"),
    ],
)
def test_what_would_lose_something_is_refused(
    attic: Attic, change: dict[str, object], told: str
) -> None:
    attic.renew(NEW | change)
    before = attic.store.read_bytes()
    assert told in attic.carry(Exit.CONFIGURATION)
    assert attic.store.read_bytes() == before


def test_a_running_gateways_store_is_left_alone(attic: Attic) -> None:
    with contextlib.closing(sqlite3.connect(attic.store)) as running:
        running.execute("PRAGMA journal_mode = WAL")
        running.execute("SELECT count(*) FROM state").fetchone()
        attic.renew(NEW)
        assert "stop the gateway first" in attic.carry(Exit.CONFIGURATION)
    attic.carry()


def test_the_learner_as_published_is_not_carried_over(tmp_path: Path) -> None:
    attic = Attic(tmp_path, "reference")
    attic.renew(NEW)
    assert "only the improved one" in attic.carry(Exit.CONFIGURATION)
    assert not list(tmp_path.glob(".*.new"))


def test_a_gateway_goes_on_at_the_successor_with_what_it_had_committed(attic: Attic) -> None:
    """From the owner's `migrate` to the first commit; the gateway's file names the old contract."""
    key_file = attic.folder / "gateway.key"
    create_key(key_file)
    owner_file = attic.folder / "owner.key"
    owner_file.touch(mode=0o600)
    owner_file.write_text(OWNER.hex())
    with chain.Anvil() as anvil:
        key = load_key(key_file)
        site = Site(anvil, None, attic.folder, key)  # type: ignore[arg-type]  # deployed below
        anvil.rpc("anvil_setBalance", site.address, hex(10**20))
        old = attic.schema
        site.deployment = deploy(anvil.url, OWNER, old.digest, 2, 2, [site.address])
        with Ledger(site.config(), attic.store, old.digest, 2, 2, site.events.append) as ledger:
            ledger.submit(attic.committed)
            assert ledger.flush(60)
        attic.renew(NEW)
        attic.carry()
        new, where = attic.schema, ["--contract", site.deployment.buffer, "--rpc", anvil.url]
        terms = ["--schema-hash", new.digest.hex(), "--features", "3", "--labels", "3"]
        said = CliRunner().invoke(contracts, ["migrate", "--key", str(owner_file), *where, *terms])
        assert said.exit_code == 0, said.output
        site.events.clear()
        with Ledger(site.config(), attic.store, new.digest, 3, 3, site.events.append) as ledger:
            assert site.wait(SuccessorNamed).followed
            landed = site.wait(CodebookChanged, lambda e: len(e.codebook) > 0).codebook
            assert ledger.flush(60)
    assert np.isnan(landed.features()[:, 0]).all()
    back = landed.features()[:, [2, 1]]
    assert np.allclose(back, attic.committed.features(), atol=1e-9)
    names = [NEW["labels"][label] for label in landed.classes]
    assert names == [OLD["labels"][label] for label in attic.committed.classes]
