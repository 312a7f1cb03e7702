"""A gateway's files as it leaves them, made by its own code without a broker: what a page reads."""

import contextlib
import json
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.training.history.recorder import Recorder
from protoledger.gateway.training.store import Store
from protoledger.gateway.training.trainer import Trainer
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Sample, Schema

OTHER = "0x" + "ab" * 20
TX = "0x" + "cd" * 32


@dataclass
class Recorded:
    """A gateway's model and its history, fed by hand."""

    folder: Path
    labels: tuple[str, ...] = ("empty", "occupied")
    name: str = "attic"
    agents: int = 3
    enabled: bool = True

    def __post_init__(self):
        self.folder.mkdir(exist_ok=True)
        self.store_file = self.folder / "gateway.db"
        channels = (Channel("t", "°C", 0, 40, 0.1), Channel("light", "lx", 0, 1000, 1))
        # what the page shows of labels comes from `about`, so that a test may call them anything
        self.schema = Schema(channels, tuple(f"label-{i}" for i, _ in enumerate(self.labels)))
        here = {"site_file": "site.yaml", "roster_file": "r.json", "identity_file": "i"}
        self.config = GatewayConfig(
            id="attic.gateway",
            store_file=self.store_file,
            history={"enabled": self.enabled},
            **here,
        )
        self.store = Store(self.store_file, self.schema.digest)
        self.trainer = Trainer(self.config, self.schema, self.store)
        self.recorder = Recorder(self.config, self.about(), self.trainer)
        self.rng = np.random.default_rng(5)
        self.now = 1000.0
        self.completed = 0

    def about(self):
        ids = [f"{self.name}.agent-{i}" for i in range(1, self.agents + 1)]
        return {
            "site": self.name,
            "gateway": f"{self.name}.gateway",
            "labels": list(self.labels),
            "channels": [{"name": "t", "unit": "°C", "carriers": 3},
                         {"name": "light", "unit": "lx", "carriers": 2}],
            "every_s": 10.0,
            "agents": [{"id": one, "channels": ["light", "t"], "votes": True} for one in ids],
            "certificate": (time.time() - 1e6, time.time() + 86_400 * 400),
            "ledger": {"chain_id": 1, "contract": "0x" + "11" * 20, "account": "0x" + "22" * 20,
                       "nodes": ["node.example"]},
        }  # fmt: skip

    def learn(self, count, labelled=True):
        for _ in range(count):
            label = int(self.rng.integers(2))
            values = np.array([10 + 15 * label, 200 + 500 * label]) + self.rng.normal(size=2) * 3
            sample = Sample(values, np.array([3, 2]), label if labelled else NO_LABEL)
            self.recorder.decoded([sample])
            self.recorder._due["explain"] = 0.0  # however little time has passed
            self.trainer.take([sample])
            self.completed += 1
        self.write()

    def join(self, owner=OTHER, version=1):
        """Let another owner's codebook come from the chain."""
        rows = [[0.3, 0.2], [0.65, 0.7], [0.6, 0.72]]
        book = Codebook.from_prototypes([3, 7, 9], [0, 1, 1], [5, 9, 2], rows, labels=2)
        LedgerStore(self.store_file).close()
        with contextlib.closing(sqlite3.connect(self.store_file)) as database, database:
            row = (owner, version, 40 + version, TX, book.encode(), "0x0", "")
            database.execute("INSERT OR REPLACE INTO ledger_versions VALUES (?,?,?,?,?,?,?)", row)
            database.execute("INSERT OR REPLACE INTO ledger_scanned VALUES (?, '')", [40 + version])
        self.trainer.model.union.set(owner, book)
        self.recorder.event("merged", {"owner": owner, "version": version, "records": 3})

    def status(self, **fields):
        """Write the status file of a running gateway: this process."""
        content = {
            "pid": os.getpid(), "started_at": time.time() - 60, "written_at": time.time(),
            "connected": True, "agents_here": self.agents, "agents": self.agents,
            "completed": self.completed, "failed": 0, "last_round": self.completed,
            "last_completed_at": time.time(), "last_failure": "", "chain": "answers",
        } | fields  # fmt: skip
        path = self.store_file.with_name("gateway.db.status.json")
        path.write_text(json.dumps(content))

    def state(self):
        ids = [agent["id"] for agent in self.about()["agents"]]
        return {"members": dict.fromkeys(ids, "here"), "chain": "answers", "completed": 0}

    def write(self):
        self.now += 1000.0
        self.recorder.turn(self.now, self.state)

    def close(self):
        self.trainer.save()
        self.recorder.close(self.state)
        self.store.close()


@contextlib.contextmanager
def recorded_site(folder, evil):
    """Record a site of which a label and an owner are called what could end a tag."""
    recorded = Recorded(folder, labels=("empty", evil))
    recorded.learn(60)
    recorded.join(owner=evil)
    recorded.learn(30)
    recorded.status()
    yield recorded
    recorded.close()
