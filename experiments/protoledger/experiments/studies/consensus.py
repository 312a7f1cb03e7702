"""Chains of one and of several owners at equal work: how fast, what survives, and what it costs.

Four gateways, each with its own ledger client on its own validator where the chain has several:
Anvil and `geth --dev` (one node), Geth with Clique (four signers, 2 s blocks), Avalanche's local
network (five validators). Everything is real and takes its real time: the same commits for the
times, and the same stream (phishing, Dirichlet shares, ten rows a second each) for the accuracy.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from statistics import median
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from protoledger.contracts.errors import ToolMissingError
from protoledger.emulator.processes.networks import CHAINS, program_of
from protoledger.experiments.collaboration import ROWS_A_ROUND, Collaboration, Gateway
from protoledger.experiments.experiment import Experiment, Row, Table
from protoledger.experiments.owners import Owners, random_book
from protoledger.experiments.streams import deal, split
from protoledger.gateway.codebook.codebook import Codebook
from protoledger.gateway.ledger.events import CodebookChanged
from protoledger.gateway.training.model import SiteModel

OWNERS: Final = 4
DATA: Final = "phishing"
DIRICHLET: Final = 0.3
ROUND_S: Final = ROWS_A_ROUND / 10
HALT_S: Final = 30.0
"""A commit that does not land for so long: the chain stands still."""
IN_A_ROW: Final = 4
"""Commits that must land after a kill: signers of the last blocks may still have one to make."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run; so many commits for each time, and seconds for the costs."""

    chain: str
    seed: int
    commits: int
    watch_s: float


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed: of the chains whose programs are installed."""
    found = [chain for chain in CHAINS if _installed(chain)]
    if quick:
        return [Job(chain, seed, 3, 5.0) for chain in found if chain == "anvil"]
    return [Job(chain, seed, 20, 60.0) for chain in found]


def _installed(chain: str) -> bool:
    try:
        program_of(chain)
    except ToolMissingError:
        return False
    return True


class _Live(Collaboration):
    """A run in real time, whose commits go through real ledger clients."""

    def attach(self, owners: Owners) -> None:
        """Give each gateway its client; before the first round."""
        self._clients = dict(zip(self.gateways, owners.owners, strict=True))

    def begin(self) -> None:
        """Take over what has arrived."""
        for gateway, owner in self._clients.items():
            while (event := owner.next_event(0)) is not None:
                if not isinstance(event, CodebookChanged):
                    continue
                if event.own:
                    gateway.model.commits.accepted(event.codebook, event.version)
                    gateway.book = event.codebook
                    gateway.commits = event.version
                else:
                    gateway.model.union.set(event.owner, event.codebook)

    def share(self, gateway: Gateway, wanted: Codebook) -> None:
        """Hand a commit to the gateway's client."""
        self._clients[gateway].ledger.submit(wanted)


def run(job: Job) -> list[Row]:
    """Measure one chain: learning on one deployment, everything else on another."""
    data = split(DATA, job.seed)
    with Owners(job.chain, OWNERS, data.x.shape[1], data.classes) as owners:
        learnt = _learn(owners, job.seed)
    random = np.random.default_rng(job.seed)
    with Owners(job.chain, OWNERS, 9, 7, exact=True) as owners:
        books = (random_book(random, 9, 7) for _ in count())
        waits = [owners.copy_s(next(books)) for _ in range(job.commits)]
        rate = _rate(owners, [[next(books) for _ in range(job.commits)] for _ in range(OWNERS)])
        cost = owners.cost(job.watch_s)
        survived = _survival(owners, books)
    return [
        {
            "chain": job.chain,
            "copy_s": median(waits),
            "copy_95_s": float(np.quantile(waits, 0.95)),
            "commits_s": rate,
            **learnt,
            **survived,
            "memory_mb": cost.memory_mb,
            "cpu_percent": 100 * cost.cpu,
            "disk_mb_day": cost.disk_mb_day,
        }
    ]


def _learn(owners: Owners, seed: int) -> Row:
    """Learn the stream in real time; the accuracy of all unions is measured after every round."""
    data = split(DATA, seed)
    played = _Live(
        data,
        deal(data.y, OWNERS, seed, DIRICHLET),
        lambda: SiteModel(data.x.shape[1], data.classes),
    )
    played.attach(owners)
    began, total = time.monotonic(), 0.0
    for number in range(played.rounds):
        played.begin()
        played.round(number)
        total += played.accuracy()
        time.sleep(max(0.0, began + (number + 1) * ROUND_S - time.monotonic()))
    return {"on_the_way": total / played.rounds, "commits": played.commits}


def _rate(owners: Owners, books: list[list[Codebook]]) -> float:
    """Let all owners commit at once, each again as soon as its last commit stands."""
    began = time.monotonic()
    waiting = [iter(each) for each in books]
    wanted = [next(each) for each in waiting]
    for owner, book in zip(owners.owners, wanted, strict=True):
        owner.ledger.submit(book)
    busy = set(range(len(wanted)))
    while busy:
        for number in list(busy):
            owner = owners.owners[number]
            while owner.holds(owner.address, wanted[number], 0.005):
                following = next(waiting[number], None)
                if following is None:
                    busy.discard(number)
                    break
                wanted[number] = following
                owner.ledger.submit(following)
    return sum(map(len, books)) / (time.monotonic() - began)


def _survival(owners: Owners, books: Iterator[Codebook]) -> Row:
    """Kill validators one by one until the chain stands still, then bring all back."""
    found: Row = {"kills_survived": 0, "one_killed_s": math.nan, "back_s": math.nan}
    for killed in range(1, owners.validators):
        owners.kill()
        waits = []
        for book in islice(books, IN_A_ROW):
            waits.append(owners.copy_s(book, timeout_s=HALT_S))
            if math.isinf(waits[-1]):
                found["back_s"] = _recovery_s(owners, book)
                return found
        found["kills_survived"] = killed
        if killed == 1:
            found["one_killed_s"] = median(waits)
    return found


def _recovery_s(owners: Owners, waiting: Codebook) -> float:
    """Bring all validators back; seconds until what waits has landed, NaN if it does not."""
    began = time.monotonic()
    owners.revive()
    if owners.owners[1].holds(owners.owners[0].address, waiting, 300.0):
        return time.monotonic() - began
    return math.nan


def draw(table: Table) -> Figure:
    """Draw each chain's time to another's copy and accuracy on the way."""
    names = [str(name) for name in table.values("chain")]
    points = [table.where(chain=name)[0][1] for name in names]
    figure = Figure(figsize=(7.0, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, measure, words in (
        (left, "copy_s", "seconds to another's copy, median"),
        (right, "on_the_way", "held-out accuracy, mean over the run"),
    ):
        values = [point[measure] for point in points]
        halves = [0.0 if math.isnan(value.half) else value.half for value in values]
        axis.barh(names, [value.mean for value in values], xerr=halves, color="#4477aa")
        axis.invert_yaxis()
        axis.set_xlabel(words)
    right.set_xlim(0.5, 1.0)
    return figure


EXPERIMENT = Experiment(
    name="consensus",
    summary="Anvil, Geth, Clique and Avalanche at equal work: times, survival, costs. Real time.",
    keys=("chain",),
    measures={
        "copy_s": "to another's copy, s, median",
        "copy_95_s": "95 %",
        "commits_s": "commits a second, four owners",
        "on_the_way": "accuracy on the way",
        "commits": "commits",
        "kills_survived": "kills survived",
        "one_killed_s": "copy with one killed, s",
        "back_s": "going on after all are back, s",
        "memory_mb": "memory of a validator, MB",
        "cpu_percent": "% of a core",
        "disk_mb_day": "disk a day, MB",
    },
    jobs=jobs,
    run=run,
    draw=draw,
    seeds=3,
    alone=True,
)
