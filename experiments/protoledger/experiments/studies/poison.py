"""One bad gateway among four: what it costs the other three, with and without a defence.

Against a gateway that turns, defences of federated learning (`variants.baselines`) stand beside
ours, and `gossip` (`variants.successor`), which has none: the bad gateway sends its codebook
straight to each of the others, and they pass on what they learn.

The attack begins after a third of the rounds (`turns`, the gateway was honest before), or with the
gateway's first commit (`from the start`), and lasts 10 rounds; a codebook attack commits again in
every round. Costs are points of held-out accuracy, mean over the three honest gateways, against the
same run in which the bad gateway falls silent at that moment (codebook attacks), or stays honest
(bad data): what is lost is due to what it says, and not to what it does not say.

That is the union's accuracy, on all classes alike. What the three answer on their **own
distribution** is measured after the 10 rounds, beside the same gateways in a run without sharing;
a gateway that has learnt less than 30 rows by then, whose mix of classes nobody knows, is left out.
"""

from dataclasses import dataclass
from statistics import fmean
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from protoledger.experiments.collaboration import (
    KNOWN,
    SENT,
    Collaboration,
    OwnGain,
    Spoil,
    WithoutSharing,
    own_gain,
)
from protoledger.experiments.experiment import Experiment, Point, Row, Table
from protoledger.experiments.figures import COLOURS, legend, panels
from protoledger.experiments.streams import DATA, deal, split
from protoledger.experiments.variants import attacks
from protoledger.experiments.variants.sharing import BASELINES, SUCCESSOR, UNION
from protoledger.gateway.learner.base import Floats
from protoledger.gateway.training.model import SiteModel

GATEWAYS: Final = 4
ROUNDS: Final = 10
WITHIN: Final = 0.01
HONEST, SILENT = "honest", "silent"
BEGINS: Final = ("turns", "from the start")


@dataclass(frozen=True, slots=True)
class Job:
    """All attacks on one dealt stream; `way` is ours, which may be `defended`, or another's."""

    data: str
    dirichlet: float | None
    begins: str
    defended: bool
    seed: int
    kinds: tuple[str, ...]
    way: str = UNION

    @property
    def defence(self) -> str:
        """What the table calls it."""
        if self.way != UNION:
            return self.way
        return "on" if self.defended else "off"


def jobs(seed: int, quick: bool) -> list[Job]:  # noqa: FBT001 - see `Experiment`
    """List the runs of a seed."""
    by_codebook = attacks.codebook_attacks()
    kinds = {"turns": by_codebook, "from the start": (*by_codebook, *attacks.data_attacks())}
    dealt = [
        (data, dirichlet)
        for data in (("phishing",) if quick else DATA)
        for dirichlet in (None, 0.3)
    ]
    ours = [
        Job(*how, begins, defended, seed, kinds[begins])
        for how in dealt
        for begins in BEGINS
        for defended in ((True, False) if begins == "turns" or how[1] is None else (True,))
    ]
    theirs = [
        Job(*how, "turns", defended=False, seed=seed, kinds=kinds["turns"], way=way)
        for how in dealt
        for way in (*BASELINES, SUCCESSOR[0])
    ]
    return [*ours, *theirs]


class _Attacked:
    """A run whose last gateway attacks."""

    def __init__(self, run: Collaboration, kind: str, seed: int) -> None:
        self.run = run
        self.attack = None if kind in {HONEST, SILENT} else attacks.make_attack(kind)
        self.honest = kind == HONEST
        self._rng = np.random.default_rng([seed, 3])
        self._bad = run.gateways[-1]

    def strike(self) -> None:
        """Commit what the attack says, if it is one on codebooks."""
        if isinstance(self.attack, attacks.CodebookAttack):
            honest = [gateway.book for gateway in self.run.gateways[:-1]]
            own = self._bad.model.codebook()
            self._bad.book = self.attack.codebook(own, honest, self._rng)
            self.run.tell(self._bad)

    def round(self, number: int) -> None:
        """Play a round."""
        if isinstance(self.attack, attacks.DataAttack):
            self.run.spoil = {self._bad.name: self._spoiled(self.attack)}
        if self.honest or isinstance(self.attack, attacks.DataAttack):
            self.run.round(number)
            return
        self.run.round(number, silent=self._bad)
        self.strike()

    def _spoiled(self, attack: attacks.DataAttack) -> Spoil:
        def spoil(x: Floats, y: int) -> tuple[Floats, int]:
            return attack.sample(x, y, self.run.data.classes, self._rng)

        return spoil

    def accuracy(self) -> float:
        """Mean over the honest."""
        return self.run.accuracy(self.run.gateways[:-1])

    def gains(self, alone: Collaboration) -> list[OwnGain]:
        """Compare the honest with themselves alone, but for those whose mix is not known yet."""
        honest = self.run.gateways[:-1]
        least = min(KNOWN, max(int(gateway.model.seen.sum()) for gateway in honest))
        return [
            own_gain(gateway.model, same.model, self.run.data, sharing=gateway.sharing)
            for gateway, same in zip(honest, alone.gateways, strict=False)
            if gateway.model.seen.sum() >= least
        ]


@dataclass(frozen=True, slots=True)
class _Course:
    """What becomes of the honest: accuracies as the attack begins and after each round.

    Attributes:
        accuracies: Of the honest, together.
        gains: What sharing gives each of them on its own distribution.
        sent: What all gateways have sent since the run began, but what the attack says.
    """

    accuracies: Floats
    gains: list[OwnGain]
    sent: dict[str, float]


def run(job: Job) -> list[Row]:
    """Play the run once to the attack, and from there once for each attack."""
    data = split(job.data, job.seed)
    trunk, alone = (
        kind(
            data,
            deal(data.y, GATEWAYS, job.seed, job.dirichlet),
            lambda: SiteModel(data.x.shape[1], data.classes, defended=job.defended),
            sharing=job.way,
            seed=job.seed,
        )
        for kind in (Collaboration, WithoutSharing)
    )
    first = min(trunk.rounds // 3, trunk.rounds - ROUNDS) if job.begins == "turns" else 0
    for number in range(first):
        trunk.round(number)
    for number in range(first + ROUNDS):
        alone.round(number)
    courses = {
        kind: _course(_Attacked(trunk.branch(), kind, job.seed), first, alone)
        for kind in (HONEST, SILENT, *job.kinds)
    }
    return [_row(job, kind, courses) for kind in (HONEST, *job.kinds)]


def _row(job: Job, kind: str, courses: dict[str, _Course]) -> Row:
    """Return what an attack costs; of `honest`, what the defence itself costs."""
    reference = courses[SILENT if kind in attacks.codebook_attacks() else HONEST].accuracies
    cost = reference - courses[kind].accuracies
    beyond = np.flatnonzero(cost > WITHIN)
    gains = [100 * (own.here - own.alone) for own in courses[kind].gains]
    return {
        "data": job.data,
        "dealt": "iid" if job.dirichlet is None else f"Dirichlet {job.dirichlet}",
        "begins": job.begins,
        "attack": kind,
        "defence": job.defence,
        "reference": 100 * float(reference[-1]),
        "at_once": 100 * float(cost[0]),
        "after_10": 100 * float(cost[-1]),
        "worst": 100 * float(cost.max()),
        "rounds": int(beyond[-1]) + 1 if len(beyond) else 0,
        "own_alone": 100 * fmean(own.alone for own in courses[kind].gains),
        "own": fmean(gains),
        "own_worst": min(gains),
        "own_error": 100 * fmean(own.error for own in courses[kind].gains),
        **courses[kind].sent,
    }


def _course(attacked: _Attacked, first: int, alone: Collaboration) -> _Course:
    """Play an attack, and look right after it began and after each of 10 rounds."""
    attacked.strike()
    accuracies = [attacked.accuracy()]
    for number in range(first, first + ROUNDS):
        attacked.round(number)
        accuracies.append(attacked.accuracy())
    return _Course(np.array(accuracies), attacked.gains(alone), attacked.run.sent())


def draw(table: Table) -> Figure:
    """Draw the costs of gateways that turn, after 10 rounds, as bars on a broken-log axis."""
    names = [
        (str(data), str(dealt)) for dealt in table.values("dealt") for data in table.values("data")
    ]
    figure, axes = panels(
        [f"{data}, {dealt}" for data, dealt in names], rows=len(table.values("dealt")), height=3.6
    )
    turning = attacks.codebook_attacks()
    kinds = [kind for kind in map(str, table.values("attack")) if kind in turning]
    for axis, (data, dealt) in zip(axes, names, strict=True):
        defences = table.values("defence")
        height = 0.76 / len(defences)
        for number, defence in enumerate(defences):
            found = table.where(data=data, dealt=dealt, begins="turns", defence=defence)
            costs: list[Point] = [point["after_10"] for _, point in found]
            axis.barh(
                np.arange(len(costs)) - 0.38 + height * (number + 0.5),
                [cost.mean for cost in costs],
                height,
                xerr=[cost.half for cost in costs],
                color=COLOURS[number],
                label=f"defence {defence}",
                error_kw={"elinewidth": 0.8, "capsize": 2},
            )
        axis.set(yticks=range(len(kinds)), xscale="symlog", xlim=(-3, 100))
        axis.set_yticklabels(kinds)
        axis.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
        axis.invert_yaxis()
        axis.set_xlabel("points lost after 10 rounds")
    legend(figure, axes[-1])
    return figure


EXPERIMENT = Experiment(
    name="poison",
    summary="One bad gateway among four: flipped labels, a lying agent, adversarial codebooks.",
    keys=("data", "dealt", "begins", "attack", "defence"),
    measures={
        "reference": "accuracy without the attack, %",
        "at_once": "points lost at once",
        "after_10": "after 10 rounds",
        "worst": "at worst",
        "rounds": "rounds until within one point",
        "own_alone": "alone, own distribution, %",
        "own": "here less alone, mean of the honest",
        "own_worst": "here less alone, worst of the honest",
        "own_error": "standard error of a site's difference",
        **SENT,
    },
    jobs=jobs,
    run=run,
    draw=draw,
)
