"""Random rounds of the real state machines: sites, codes, kits, losses and lies drawn by a seed.

Whatever happens, a completed round is exact, no honest agent is shut out, no reading is handed in
twice; and where nobody lies, a round without losses completes.
"""

import random

import numpy as np
import pytest

from protoledger.protocol.rounds.states import Completed
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Announce, Kind, Signed
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema
from tests.support.in_memory_site import Network, make_site, names, true_sum
from tests.support.lying import contributor_cheats, make_liar, shifted

CHEATS = list(contributor_cheats().values())
ROUNDS = 20
"""Of an episode: one site, with the same liars."""


def honest(_code, true):
    return true


def lies(rng):
    """What a liar does in one round: as contributor, as holder, in its explanation, or nothing."""
    cheat = rng.choice(CHEATS)
    place = rng.random()

    def report(_code, reports):
        row = int(place * len(reports))
        return shifted(reports, (row, rng.randrange(reports.shape[1])))

    def add(_code, sums):
        return shifted(sums, (int(place * sums.size),)) if sums.size else sums

    hooks = {
        "on_shares": cheat,
        "on_reports": report,
        "on_answer": add,
        "on_explanation": lambda _code, e: shifted(e, int(place * e.size)),
    }
    chosen = rng.choice([[], ["on_shares"], ["on_reports"], ["on_answer"], list(hooks)])
    if rng.random() < 0.3:
        chosen = [name for name in hooks if rng.random() < 0.5]
    return {name: hook if name in chosen else honest for name, hook in hooks.items()}


class Episode:
    """A site of a random size and kind, in which at most T agents lie."""

    def __init__(self, folder, seed):
        self.rng = rng = random.Random(seed)
        self.collusion = rng.choice([1, 1, 1, 2])
        validity = "proven" if rng.random() < 0.8 else "packed"
        count = rng.randint(3 * self.collusion + 1, 9)
        steps = [rng.choice([1, 6, 100, 1022, 2**20]) for _ in range(rng.randint(1, 3))]
        channels = tuple(Channel(f"c{i}", "", 0, top, 1) for i, top in enumerate(steps))
        schema = Schema(channels, ("no", "yes", "perhaps")[: rng.choice([0, 2, 3])])
        self.site = make_site(
            folder, count, self.collusion, 1, self.collusion + 2, seed,
            windows=rng.choice([1, 1, 2]), validity=validity, schema=schema,
        )  # fmt: skip
        self.names = names(count)
        self.liars = []
        if validity == "proven" and rng.random() < 0.75:
            self.liars = rng.sample(self.names, rng.randint(1, self.collusion))
        self.lost = {}
        self.net = Network(self.site, rng, self._lose)
        self._forget_cells()

    def _forget_cells(self):
        """Kits differ: some channels and votes are missing."""
        for window in self.site.inputs.values():
            window.values[self._missing(window.values.shape)] = np.nan
            window.labels[self._missing(window.labels.shape)] = NO_LABEL

    def _missing(self, shape):
        cells = [self.rng.random() < 0.1 for _ in range(int(np.prod(shape)))]
        return np.array(cells).reshape(shape)

    def _lose(self, sender, send):
        return send.kind in self.lost.get(sender, ())

    def _draw_losses(self):
        """Nobody, a few at one phase, or so many that just q, or q + T, answers arrive."""
        self.lost = {}
        what = self.rng.choice(["nothing", "nothing", "boxes", "answers", "many answers"])
        few = self.rng.sample(self.names, self.rng.randint(1, 2))
        if what == "boxes":
            self.lost = dict.fromkeys(few, (Kind.BOXES,))
        elif what == "answers":
            self.lost = dict.fromkeys(few, (Kind.ANSWER,))
        elif what == "many answers":
            plan, holders = self.site.terms.plan, min(len(self.names), 16)
            positions = min(plan.committee, holders)
            left = self.rng.choice([plan.quorum(positions), plan.needed(positions)])
            silent = self.rng.sample(self.names, max(0, positions - left))
            self.lost = dict.fromkeys(silent, (Kind.ANSWER,))

    def play(self, rounds):
        for round_id in range(1, rounds + 1):
            self._draw_losses()
            for liar in self.liars:
                make_liar(self.site, liar, **lies(self.rng))
            if not self.site.gateway.ready:
                assert self.liars, round_id
                return
            self._check(round_id, self.net.round(round_id))

    def _positions(self):
        """How many hold a position in this round; those that were silent rest for a while."""
        (announce,) = [send.payload for _, send in self.net.seen if send.kind is Kind.ANNOUNCE]
        return len(messages.decode(messages.decode(announce, Signed).body, Announce).holders)

    def _check(self, round_id, outcome):
        if isinstance(outcome, Completed):
            expected = true_sum(self.site, outcome.included, positions=self._positions())
            assert outcome.sums.tolist() == expected.tolist(), round_id
        elif not self.liars:
            assert self.lost, f"round {round_id} fails: {outcome.reason}"
        barred = {self.names[n] for n in self.site.gateway.blame.barred(round_id + 1)}
        assert barred <= set(self.liars), f"round {round_id} shuts out {barred}"
        for name, taken in self.site.taken.items():
            assert len(taken) == len(set(taken)), f"{name} hands a window in twice"
        self.net.seen.clear()
        self.net.refused.clear()


@pytest.mark.parametrize("seed", range(15))
def test_random_rounds(tmp_path, seed):
    Episode(tmp_path, seed).play(ROUNDS)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_ten_thousand_random_rounds(tmp_path, block):
    for seed in range(1000 + 50 * block, 1050 + 50 * block):
        folder = tmp_path / str(seed)
        folder.mkdir()
        Episode(folder, seed).play(ROUNDS)
