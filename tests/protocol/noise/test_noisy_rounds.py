"""Rounds of the real state machines with noise: sums, who pays, who lies, what a gateway says."""

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from protoledger.protocol.code.layout import Contribution
from protoledger.protocol.errors import (
    ConfigurationError,
    DecodeError,
    EquivocationError,
    LateError,
)
from protoledger.protocol.noise import mechanism
from protoledger.protocol.noise.mechanism import Noise, Privacy
from protoledger.protocol.noise.sampler import discrete_gaussian
from protoledger.protocol.rounds import blinding
from protoledger.protocol.rounds.evidence import check_evidence
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed, Failed
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.messages import Announce, CentredAnnounce, Kept, Kind, Signed
from protoledger.protocol.wire.schema import NO_LABEL, Window
from tests.support.in_memory_site import GATEWAY, SCHEMA, Network, make_site, names, true_sum
from tests.support.lying import contributor_cheats, make_liar

MILD = Privacy(epsilon=10.0, delta=1e-5, budget=50.0)
CLIPPED = Privacy(epsilon=10.0, delta=1e-5, budget=50.0, clip=0.05)
HOUR_S = 3600.0
LOOSE = Privacy(epsilon=60.0, delta=1e-5, budget=300.0)
"""So little noise that no estimate of a middling value meets an end of its range."""


@pytest.fixture
def blinded(monkeypatch):
    """What honest agents gave, and what they shared of it, in order."""
    seen, real = [], Noise.blind

    def blind(self, given, centre):
        shared = real(self, given, centre)
        seen.append((given, shared, centre))
        return shared

    monkeypatch.setattr(Noise, "blind", blind)
    return seen


def middling(site, value=500.0):
    """Let all agents read about the middle of each range, where no estimate meets its end."""
    for at, (name, window) in enumerate(site.inputs.items()):
        values = np.full(window.values.shape, value + at)
        site.inputs[name] = Window(values, np.full(window.labels.shape, at % 3 == 0, np.int64))


def rows(site, sums):
    """Values and counts by channel, and votes, of the last window."""
    last = sums.reshape(-1, site.terms.schema.length)[-1].astype(int).tolist()
    return last[0:4:2], last[1:4:2], last[4:]


@pytest.mark.parametrize("privacy", [LOOSE, replace(LOOSE, clip=0.05)])
@pytest.mark.parametrize("windows", [1, 3])
def test_a_sum_is_the_true_one_and_the_noises(tmp_path, blinded, privacy, windows):
    site = make_site(tmp_path, 10, windows=windows, privacy=privacy)
    middling(site)
    outcome = Network(site).round(1)
    assert isinstance(outcome, Completed)
    assert len(outcome.included) == len(blinded) == 10
    noise, found = site.terms.noise, outcome.sums.reshape(windows, -1)
    offsets = np.array(noise.bounds)
    low = np.array([450, 450, 0, 0]) if privacy.clip else np.zeros(4)
    drawn = sum(shared.values - offsets + low - plain(given) for given, shared, _ in blinded)
    assert np.abs(drawn).max() > 0
    true = sum(plain(given) for given, _, _ in blinded)
    assert found[:, 0:4:2].tolist() == (true + drawn)[:, :2].tolist()
    assert (found[:, 1:4:2] == 10).all()
    votes = (true + drawn)[:, 2:]  # of a tie nobody wins
    assert found[:, 4:].tolist() == (10 * (votes > votes[:, ::-1])).tolist()


def plain(given):
    votes = (given.votes[:, None] == np.arange(2)).astype(int)
    return np.concatenate([given.values, votes], axis=1)


def test_without_privacy_rounds_are_exact_and_nobody_pays(tmp_path, blinded):
    site = make_site(tmp_path, 10)
    outcome = Network(site).round(1)
    assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    assert (site.charged, blinded, site.terms.noise) == ({}, [], None)
    assert site.terms.announce_shape is Announce


def test_noise_is_drawn_for_each_round_and_for_each_agent(tmp_path, blinded):
    site = make_site(tmp_path, 10, privacy=MILD)
    net = Network(site)
    for round_id in (1, 2):
        assert isinstance(net.round(round_id), Completed)
        net.now += HOUR_S
    shared = [tuple(one.values.reshape(-1).tolist()) for _, one, _ in blinded]
    assert len(set(shared)) == 20


def test_a_value_that_too_few_agents_blur_is_not_opened(tmp_path):
    """All but D must declare it: else fewer than minimum − T honest agents' noise is in the sum."""
    site = make_site(tmp_path, 10, privacy=MILD)
    middling(site)
    for name in names(10)[:2]:
        window = site.inputs[name]
        values = window.values.copy()
        values[:, 1] = np.nan
        site.inputs[name] = Window(values, np.full(1, NO_LABEL))
    outcome = Network(site).round(1)
    values, counts, votes = rows(site, outcome.sums)
    assert (counts, votes, values[1]) == ([10, 0], [0, 0], 0)
    site.inputs[names(10)[0]] = site.inputs[names(10)[5]]
    net = Network(site)
    net.now = HOUR_S
    assert rows(site, net.round(2).sums)[1] == [10, 9]


def test_a_set_that_too_few_agents_blur_is_not_opened(tmp_path):
    site = make_site(tmp_path, 10, privacy=MILD)
    lost = names(10)[:2]
    net = Network(site, lose=lambda who, send: who in lost and send.kind is Kind.BOXES)
    assert isinstance(net.round(1), Failed)
    # none the less all of them have paid: their boxes have left
    assert {name: len(units) for name, units in site.charged.items()} == dict.fromkeys(names(10), 1)


def test_every_round_is_paid_whatever_becomes_of_it_and_none_twice(tmp_path):
    site = make_site(tmp_path, 10, privacy=MILD)
    silent = Network(site, lose=lambda _who, send: send.kind is Kind.ANSWER)
    announce = None
    for round_id in (1, 2):
        assert isinstance(silent.round(round_id), Failed)
        silent.now += HOUR_S
    announce = next(send for _, send in silent.seen if send.kind is Kind.ANNOUNCE)
    silent.post(GATEWAY, [announce])  # a broker repeats it
    silent.settle()
    cost = site.terms.privacy.cost
    assert site.charged == {name: [cost, cost] for name in names(10)}
    assert site.taken == {name: [1, 2] for name in names(10)}


def test_an_agent_that_cannot_pay_contributes_nothing_and_still_answers(tmp_path):
    site = make_site(tmp_path, 10, privacy=MILD)
    site.bankrupt = {names(10)[0]}
    net = Network(site)
    outcome = net.round(1)
    assert rows(site, outcome.sums)[1] == [9, 9]
    assert len(outcome.included) == 10
    site.bankrupt = set(names(10))
    net.now += HOUR_S
    outcome = net.round(2)
    assert isinstance(outcome, Completed)
    assert not outcome.sums.any()
    assert all(isinstance(error, LateError) for *_, error in net.refused)


def test_rounds_faster_than_their_windows_get_nothing_and_cost_nothing(tmp_path):
    """A gateway that is restarted again and again, or in a hurry, spends nobody's budget."""
    site = make_site(tmp_path, 10, windows=2, privacy=MILD)
    net, paid = Network(site), []
    for round_id, hours in enumerate((0, 0.01, 0.9, 0.2, 2), start=1):
        net.now += 3600 * hours
        assert isinstance(net.round(round_id), Completed)
        paid.append(len(site.charged[names(10)[0]]))
    assert paid == [1, 1, 1, 2, 3]
    for number in (1, 2, 3):  # windows of an outage were read at leisure
        net.round(5 + number, kept=Kept(1, number))
    assert len(site.charged[names(10)[0]]) == 6


def test_a_contribution_that_declares_nothing_costs_nothing(tmp_path):
    site = make_site(tmp_path, 10, privacy=MILD)
    name = names(10)[3]
    site.inputs[name] = Window(np.full((1, 2), np.nan), np.full(1, NO_LABEL))
    assert rows(site, Network(site).round(1).sums)[1] == [9, 9]
    assert name not in site.charged


def test_what_gets_no_noise_costs_nothing(tmp_path):
    """A channel that is not private: who declares nothing else spends no budget on it."""
    public = replace(SCHEMA.channels[1], private=False)
    schema = replace(SCHEMA, channels=(SCHEMA.channels[0], public))
    site = make_site(tmp_path, 10, privacy=MILD, schema=schema)
    middling(site)
    name = names(10)[3]
    site.inputs[name] = Window(np.array([[np.nan, 600.0]]), np.full(1, NO_LABEL))
    values, counts, _ = rows(site, Network(site).round(1).sums)
    assert name not in site.charged
    assert set(site.charged) == set(names(10)) - {name}
    assert (counts, values[1]) == ([9, 10], sum(500 + at for at in range(10)) - 503 + 600)


# -- agents that lie -----------------------------------------------------------------------------


@pytest.mark.parametrize("cheat", list(contributor_cheats()))
def test_a_liar_cannot_use_the_noise_to_leave_the_range(tmp_path, cheat):
    """What is no value within the wider range is not proven, and its owner is excluded."""
    site = make_site(tmp_path, 10, privacy=MILD)
    liar = names(10)[0]
    make_liar(site, liar, on_shares=contributor_cheats()[cheat])
    net = Network(site)
    outcomes = []
    for round_id in range(1, 5):
        outcomes.append(net.round(round_id))
        net.now += HOUR_S
    assert site.gateway.blame.excluded == {0}
    assert isinstance(outcomes[-1], Completed)
    assert outcomes[-1].included == frozenset(range(1, 10))


@pytest.mark.parametrize("top", [True, False])
def test_a_liar_that_calls_a_lie_noise_moves_a_sum_by_the_range_at_most(tmp_path, monkeypatch, top):
    """The most that is proven: K beyond the range's end, as honest noise might have been."""
    site = make_site(tmp_path, 10, privacy=MILD)
    middling(site)
    noise, liar = site.terms.noise, site.agents[names(10)[0]]
    steps, bounds = np.array(noise.layout.steps), np.array(noise.bounds)
    monkeypatch.setattr(Noise, "_draw", lambda _self: np.zeros((1, len(bounds)), np.int64))
    said = np.array([steps]) if top else np.zeros((1, 4), np.int64)
    real = blinding.blinded

    def lies(terms, given, opening, purse, now):
        if purse is liar._purse:
            return Contribution(said, np.full(1, -1))
        return real(terms, given, opening, purse, now)

    monkeypatch.setattr("protoledger.protocol.rounds.agent.blinded", lies)
    outcome = Network(site).round(1)
    honest = sum(500 + at for at in range(1, 10))
    lie = 1000 + bounds[0] if top else -bounds[0]
    assert rows(site, outcome.sums)[0][0] == min(max(honest + lie, 0), 10_000)
    assert not site.gateway.blame.excluded


@pytest.mark.parametrize(("lie", "voted", "mean"), [(False, (0, 6), 600), (True, (12, 12), 950)])
def test_one_liar_of_ten_decides(tmp_path, monkeypatch, lie, voted, mean):
    """The price of noise, as the docs say: all others read 300 and vote no, round after round."""
    seeded = random.Random(3)
    monkeypatch.setattr(
        mechanism, "discrete_gaussian", lambda v: discrete_gaussian(v, seeded.randrange)
    )
    site = make_site(tmp_path, 10, privacy=Privacy(epsilon=1.0, delta=1e-5, budget=15.0))
    site.inputs = dict.fromkeys(names(10), Window(np.full((1, 2), 300.0), np.zeros(1, np.int64)))
    liar, real = site.agents[names(10)[0]], blinding.blinded
    said = np.array([site.terms.noise.layout.steps]) * [1, 1, 0, 1]

    def lies(terms, given, opening, purse, now):
        if lie and purse is liar._purse:
            return Contribution(said, np.full(1, -1))
        return real(terms, given, opening, purse, now)

    monkeypatch.setattr("protoledger.protocol.rounds.agent.blinded", lies)
    net, found = Network(site), []
    for round_id in range(1, 13):
        found.append(rows(site, net.round(round_id).sums))
        net.now += HOUR_S
    least, most = voted
    assert least <= sum(votes[1] > 0 for *_, votes in found) <= most
    assert (np.mean([values[0] / counts[0] for values, counts, _ in found]) > mean) == lie
    assert not site.gateway.blame.excluded


# -- a gateway that lies -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        None,
        replace(MILD, epsilon=12.0),
        replace(MILD, delta=1e-4),
        replace(MILD, budget=51.0),
        replace(MILD, clip=0.4),
    ],
)
def test_a_gateway_with_other_terms_gets_nothing(tmp_path, other):
    site = make_site(tmp_path, 10, privacy=MILD)
    site.gateway = GatewayRounds(site.gateway_session, replace(site.terms, privacy=other))
    for name in names(10):
        site.gateway.presence(name, online=True, now=0.0)
    net = Network(site)
    assert isinstance(net.round(1), Failed)
    assert (site.taken, site.charged) == ({}, {})
    assert {target for target, *_ in net.refused} == set(names(10))


def test_two_announces_with_other_centres_prove_what_the_gateway_did(tmp_path):
    site = make_site(tmp_path, 10, privacy=CLIPPED)
    first = site.gateway.start(1, 0.0).send[0].payload
    body = messages.decode(messages.decode(first, Signed).body, CentredAnnounce)
    other = msgspec.structs.replace(body, centres=body.centres[::-1])
    second = site.gateway_session.sign(Kind.ANNOUNCE, other)
    agent = site.agents[names(10)[0]]
    agent.handle(Kind.ANNOUNCE, GATEWAY, first, 0.0)
    with pytest.raises(EquivocationError):
        agent.handle(Kind.ANNOUNCE, GATEWAY, second, 0.0)
    assert "announced round 1 twice" in check_evidence(site.roster, first, second)


@pytest.mark.parametrize("bad", [(2000, 500), (500,), (500, 500, 500)])
def test_a_centre_that_is_none_is_refused_before_anything_is_spent(tmp_path, bad):
    site = make_site(tmp_path, 10, privacy=CLIPPED)
    site.gateway.centre = bad
    net = Network(site)
    assert isinstance(net.round(1), Failed)
    assert (site.taken, site.charged) == ({}, {})
    errors = [error for *_, kind, error in net.refused if kind is Kind.ANNOUNCE]
    assert [type(error) for error in errors] == [DecodeError] * 10


@pytest.mark.parametrize("centre", [(0, 0), (1000, 1000), (3, 990)])
def test_whatever_the_centre_a_contribution_stays_in_an_interval_of_the_same_width(centre):
    noise = noise_of(CLIPPED)
    for value in (0, 500, 1000):
        low = np.array([[value, value]])
        shared = noise.blind(Contribution(low, np.array([1])), centre).values
        assert (shared >= 0).all()
        assert (shared <= np.array(noise.layout.steps)).all()
    assert noise.widths == [100, 100]


def noise_of(privacy):
    return Noise(privacy, SCHEMA.layout(1), 10, 1, 9)


def test_the_centre_follows_the_mean_and_the_broker_cannot_read_it(tmp_path, blinded):
    site = make_site(tmp_path, 10, privacy=CLIPPED)
    middling(site, value=700.0)
    net = Network(site)
    for round_id in range(1, 6):
        before = site.gateway.centre
        assert isinstance(net.round(round_id), Completed)
        assert {centre for _, _, centre in blinded[-10:]} == {before}
        net.now += HOUR_S
    assert all(abs(at - 700) < 60 for at in site.gateway.centre)
    announces = [send.payload for _, send in net.seen if send.kind is Kind.ANNOUNCE]
    bodies = [
        messages.decode(messages.decode(one, Signed).body, CentredAnnounce) for one in announces
    ]
    assert len({centre for body in bodies for centre in body.centres}) == 50
    kept = GatewayRounds(site.gateway_session, site.terms, site.gateway.centre)
    assert kept.centre == site.gateway.centre


def test_a_centre_moved_to_another_agent_does_not_open(tmp_path):
    site = make_site(tmp_path, 10, privacy=CLIPPED)
    step = site.gateway.start(1, 0.0)
    body = messages.decode(messages.decode(step.send[0].payload, Signed).body, CentredAnnounce)
    swapped = msgspec.structs.replace(body, centres=body.centres[::-1])
    payload = site.gateway_session.sign(Kind.ANNOUNCE, swapped)
    agent = site.agents[names(10)[0]]
    with pytest.raises(Exception, match="does not open"):
        agent.handle(Kind.ANNOUNCE, GATEWAY, payload, 0.0)
    assert (site.taken, site.charged) == ({}, {})


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"count": 9}, "privacy with 9 agents: .* it takes 10: add agents"),
        ({"validity": "packed"}, "needs proofs: set `validity: proven`"),
        ({"privacy": replace(MILD, budget=5.0)}, "raise the budget to at least epsilon"),
        ({"privacy": replace(MILD, epsilon=1e-5)}, "epsilon to what noise can reach"),
    ],
)
def test_what_cannot_work_is_refused_with_what_to_change(tmp_path, change, says):
    with pytest.raises(ConfigurationError, match=says):
        make_site(tmp_path, **{"count": 10, "privacy": MILD, **change})


def test_windows_shorter_than_an_hour_are_refused(tmp_path):
    site = make_site(tmp_path, 10, privacy=MILD)
    with pytest.raises(ConfigurationError, match="make windows of at least 3600 s"):
        replace(site.terms, window_ms=600_000)


def test_values_too_wide_for_the_field_are_refused_before_they_wrap(tmp_path):
    """N · (range and noise) beyond (p − 1)/2 would be read as another sum."""
    site = make_site(tmp_path, 10, privacy=MILD)
    fine = replace(site.terms.schema.channels[0], step=1e-5)
    schema = replace(site.terms.schema, channels=(fine, fine))
    with pytest.raises(ConfigurationError, match="noise included, exceed"):
        replace(site.terms, schema=schema, privacy=replace(MILD, epsilon=1.0))
