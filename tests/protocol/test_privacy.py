"""What T colluders and the gateway see together tells nothing but the sum.

First exactly: all that they see is a linear map of the honest agents' parts W and masks Z, namely
A·W + B·Z. As Z is uniform, the view depends on W only through y·A for those y with y·B = 0. Those
rows must lie in the span of the sum's own rows. Points and seats are the implementation's. Then
statistically, on what really went through rounds.
"""

import itertools
import random

import numpy as np
import pytest

from protoledger.protocol.code import field
from protoledger.protocol.code.seats import Plan, Seating
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.rounds.gateway import Completed, choose_set
from tests.protocol.test_rounds import Network
from tests.support.in_memory_site import make_site, names

P = field.P


def eliminate(rows, columns):
    """Bring the first `columns` columns of a matrix into echelon form; returns their rank."""
    rank = 0
    for column in range(columns):
        candidates = np.flatnonzero(rows[rank:, column])
        if not candidates.size:
            continue
        pivot = rank + int(candidates[0])
        rows[[rank, pivot]] = rows[[pivot, rank]]
        rows[rank] = rows[rank] * pow(int(rows[rank, column]), -1, P) % P
        below = rows[rank + 1 :]
        below -= below[:, column : column + 1] * rows[rank] % P
        below %= P
        rank += 1
        if rank == len(rows):
            break
    return rank


def rank(rows):
    rows = np.array(rows, dtype=np.int64) % P
    return eliminate(rows, rows.shape[1]) if rows.size else 0


class View:
    """Rows over the unknowns (W, Z) of all agents of a site, one column of the vectors."""

    def __init__(self, seats):
        self.seats = seats
        self.code = seats.code
        self.agents = seats.plan.agents
        code = self.code
        self.generator = np.zeros((code.positions, code.quorum), dtype=np.int64)
        real = field.uniform
        try:  # the implementation's own map, part by part and mask by mask
            for unit in range(code.quorum):
                parts = np.zeros(code.quorum, dtype=np.uint32)
                parts[unit] = 1
                field.uniform = lambda _count, parts=parts: parts[code.parts :]
                self.generator[:, unit] = code.encode(parts[: code.parts])[:, 0]
        finally:
            field.uniform = real

    def of(self, agents, position):
        """The sum of these agents' polynomials at a position."""
        row = np.zeros((self.agents, self.code.quorum), dtype=np.int64)
        row[sorted(agents)] = self.generator[position]
        return row.reshape(-1)

    def below(self, group):
        """The groups of a subtree."""
        return [group, *itertools.chain(*(self.below(c) for c in self.seats.plan.children(group)))]

    def seen(self, colluders, included, positions):
        """All that colluders receive, and all that the gateway gets."""
        plan, rows = self.seats.plan, []
        for colluder in colluders:
            position = self.seats.position(colluder)
            if position is None:
                continue
            group = plan.group_of(colluder)
            rows += [self.of([agent], position) for agent in plan.members(group)]
            for child in plan.children(group):
                subtree = {a for g in self.below(child) for a in plan.members(g)} & included
                rows.append(self.of(subtree, position))
        return rows + [self.of(included, j) for j in positions]

    def leak(self, colluders, included, rows):
        """Dimensions of what is learnt of the honest agents' parts beyond their sum."""
        parts, quorum = self.code.parts, self.code.quorum
        table = np.array(rows).reshape(len(rows), self.agents, quorum)
        honest = [a for a in range(self.agents) if a not in colluders]
        values = table[:, honest, :parts].reshape(len(rows), -1)
        masks = table[:, honest, parts:].reshape(len(rows), -1)
        both = np.concatenate([masks, values], axis=1) % P
        learnt = both[eliminate(both, masks.shape[1]) :, masks.shape[1] :]
        total = np.zeros((parts, len(honest), parts), dtype=np.int64)
        for part in range(parts):
            total[part, [honest.index(a) for a in included if a in honest], part] = 1
        total = total.reshape(parts, -1)
        return rank(np.concatenate([learnt, total])) - rank(total)


SITES = [
    Plan(5, 1, 1),
    Plan(6, 2, 1),
    Plan(8, 3, 2),
    Plan(9, 1, 1, 2),  # groups of 5 and 4 with a tree of two
    Plan(12, 2, 0, 2),  # three groups of four: a parent with two children
    Plan(12, 1, 1, 2),
    Plan(15, 1, 0, 1),  # seven groups: three levels
]


@pytest.mark.parametrize("plan", SITES)
def test_no_t_agents_and_the_gateway_learn_more_than_the_sum(plan):
    rng = random.Random(1)
    for away in (0, 1):
        present = frozenset(range(plan.agents)) - set(rng.sample(range(plan.agents), away))
        try:
            seats = Seating(plan, present)
        except ConfigurationError:
            continue  # this plan needs everyone
        view = View(seats)
        left_out = frozenset(rng.sample(sorted(present), min(plan.dropouts, 1)))
        for included in (present, present - left_out):
            for colluders in itertools.combinations(sorted(present), plan.collusion):
                rows = view.seen(colluders, included, seats.whole_positions)
                assert view.leak(colluders, included, rows) == 0, (colluders, included)


def test_one_colluder_more_is_enough_to_learn_more():
    """The check above can fail: beyond T it finds a leak."""
    for plan in (Plan(5, 1, 1), Plan(8, 3, 2), Plan(12, 2, 0, 2)):
        seats = Seating(plan, frozenset(range(plan.agents)))
        view = View(seats)
        group = list(plan.members(0))[: plan.collusion + 1]
        rows = view.seen(group, seats.present, seats.whole_positions)
        assert view.leak(group, seats.present, rows) > 0


def test_any_choice_of_the_set_keeps_all_who_are_outside_hidden():
    rng = random.Random(2)
    seats = Seating(Plan(9, 1, 1, 2), frozenset(range(9)))
    view = View(seats)
    for _ in range(20):
        reports = {
            holder: frozenset(a for a in range(9) if a == holder or rng.random() < 0.9)
            for holder in seats.holders
        }
        included, positions = choose_set(reports, seats)
        for colluder in range(9):
            rows = view.seen([colluder], included, positions)
            assert view.leak([colluder], included, rows) == 0


@pytest.mark.parametrize("plan", [Plan(6, 1, 1), Plan(8, 2, 2), Plan(9, 3, 2)])
def test_two_sets_are_never_both_decoded_but_parts_of_the_second_may_show(plan):
    """A gateway that tells different agents different sets: what K > D stops, and what not.

    It gets K honest answers and so the sum for the first set; the other D, with T colluders who
    answer both, give it D combinations of the second sum's K parts. That is the document's limit.
    """
    seats = Seating(plan, frozenset(range(plan.agents)))
    view, code = View(seats), seats.code
    colluders = list(range(plan.collusion))
    honest = [j for j in range(code.positions) if j >= plan.collusion]
    first = seats.present
    second = first - {plan.agents - 1}
    rows = view.seen(colluders, first, [*colluders, *honest[: code.parts]])
    assert view.leak(colluders, first, rows) == 0
    rows += [view.of(second, j) for j in [*colluders, *honest[code.parts :]]]
    assert view.leak(colluders, first, rows) == code.dropouts < code.parts


# -- real rounds ------------------------------------------------------------------------------


ROUNDS, WINDOWS, BINS = 25, 24, 8


def transcript(folder, inputs, *, partitions=None, count=6, collusion=2):
    """Rounds with given readings; returns what agents 0 and 1 received, and the gateway's sums.

    Each is an array of (columns,) symbols; index i of all of them is the same column of a round.
    """
    folder.mkdir()
    site = make_site(
        folder, count, collusion, 0, collusion + 2, partitions=partitions, windows=WINDOWS
    )
    for name, value in zip(names(count), inputs, strict=True):
        site.inputs[name] = np.array([[value, 1000.0 - value]])
    seen = {}

    def record(key, symbols):
        seen.setdefault(key, []).append(symbols.copy())

    net = Network(site)
    spies = names(count)[:2]
    for spy in spies:
        session = site.sessions[spy]
        opened = session.open

        def listen(sealed, spy=spy, opened=opened, **bound):
            plain = opened(sealed, **bound)
            record((spy, sealed.kind, sealed.sender), np.frombuffer(plain, dtype="<u4"))
            return plain

        session.open = listen
    gateway = site.gateway_session
    opened_by_gateway = gateway.open

    def overhear(sealed, **bound):
        plain = opened_by_gateway(sealed, **bound)
        if sealed.kind.name == "SUM":
            record((sealed.kind, sealed.sender), np.frombuffer(plain, dtype="<u4"))
        return plain

    gateway.open = overhear
    for round_id in range(1, ROUNDS + 1):
        assert isinstance(net.round(round_id), Completed)
    return {key: np.concatenate(rows) for key, rows in seen.items() if len(rows) == ROUNDS}


def too_far_apart(first, second, cells):
    """Two samples' chi-squared beyond what chance does once in some ten million."""
    a, b = (np.bincount(x, minlength=cells) for x in (first, second))
    both = a + b
    used = both > 0
    scale = np.sqrt(b.sum() / a.sum())
    statistic = ((a * scale - b / scale) ** 2)[used] / both[used]
    free = max(1, int(used.sum()) - 1)
    limit = free * (1 - 2 / (9 * free) + 5.2 * np.sqrt(2 / (9 * free))) ** 3  # Wilson-Hilferty
    return float(statistic.sum()) > limit


def cells(*columns):
    """One number for the tuple of octants in which symbols lie."""
    found = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        found = found * BINS + column.astype(np.int64) * BINS // P
    return found


SAME_SUM = [10, 20, 900, 100, 700, 300], [10, 20, 100, 900, 300, 700]


def compare(first, second):
    """Names of what differs: single views, and pairs of views of the same column."""
    shared = sorted(first.keys() & second.keys(), key=str)
    assert len(shared) > 5
    found: list[object] = [
        key for key in shared if too_far_apart(cells(first[key]), cells(second[key]), BINS)
    ]
    for one, two in itertools.combinations(shared, 2):
        a, b = (cells(run[one], run[two]) for run in (first, second))
        if len(first[one]) == len(first[two]) and too_far_apart(a, b, BINS * BINS):
            found.append((one, two))
    return found


def test_colluders_transcripts_do_not_tell_two_inputs_with_one_sum_apart(tmp_path):
    runs = [transcript(tmp_path / str(i), inputs) for i, inputs in enumerate(SAME_SUM)]
    assert compare(*runs) == []


def test_partial_sums_do_not_tell_two_inputs_apart(tmp_path):
    inputs = [[*side, *side] for side in SAME_SUM]
    plan = {"partitions": 1, "count": 12, "collusion": 2}
    runs = [transcript(tmp_path / str(i), x, **plan) for i, x in enumerate(inputs)]
    assert any(key[1].name == "PARTIAL" for key in runs[0] if len(key) == 3)
    assert compare(*runs) == []


def test_without_masks_the_transcripts_differ(tmp_path, monkeypatch):
    """The comparison can fail."""
    monkeypatch.setattr(field, "uniform", lambda count: np.zeros(count, dtype=np.uint32))
    small = [transcript(tmp_path / str(i), inputs) for i, inputs in enumerate(SAME_SUM)]
    spread = [
        {key: value.astype(np.int64) * 2_000_003 % P for key, value in run.items()} for run in small
    ]
    assert compare(*spread)


def test_shares_are_uniform(tmp_path):
    run = transcript(tmp_path / "run", SAME_SUM[0])
    shares = np.concatenate([v for key, v in run.items() if len(key) == 3])
    assert len(shares) > 5000
    ideal = np.arange(len(shares)) * 64 // len(shares)
    assert not too_far_apart(shares.astype(np.int64) * 64 // P, ideal, 64)
    low = shares % 64
    assert not too_far_apart(low.astype(np.int64), ideal, 64)
