"""Rounds of the real state machines with agents that lie, for many rounds: how a site heals.

No honest agent's readings are ever shut out; nothing false is decoded; lost rounds are few.
"""

import random

import numpy as np
import pytest

from protoledger.protocol.code.field import P
from protoledger.protocol.errors import RefusedError
from protoledger.protocol.rounds.blame import Blame
from protoledger.protocol.rounds.states import Completed, Failed
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.sealing import Session
from tests.support.in_memory_site import (
    GATEWAY,
    Network,
    acquaint,
    make_site,
    names,
    start_agent,
    true_sum,
)
from tests.support.lying import contributor_cheats, make_liar, shifted

CHEATS = list(contributor_cheats().values())
HONEST_ROUNDS = 100
"""Played after all liars are excluded: unless the broker goes on, every round is as the next."""


def strategies(rng, liars, last):
    """By name: hooks of the liars, and which messages the broker loses for them."""

    def cheat(code, shares):
        return rng.choice(CHEATS)(code, shares)

    def accuse(_code, reports):
        return shifted(reports, (rng.randrange(len(reports)), rng.randrange(8)))

    def bend(_code, sums):
        return shifted(sums, (0,)) if sums.size else sums

    def sometimes(hook, chance):
        return lambda code, true: hook(code, true) if rng.random() < chance else true

    def silent(sender, send):
        return sender in liars and send.kind is Kind.ANSWER

    def answer_of_one(sender, send):
        return sender == last and send.kind is Kind.ANSWER

    mixed = {
        "on_shares": sometimes(cheat, 0.3),
        "on_reports": sometimes(accuse, 0.3),
        "on_answer": sometimes(bend, 0.3),
        "on_explanation": sometimes(lambda _c, e: shifted(e, 0), 0.5),
    }
    return {
        "accuses as a holder": ({"on_reports": accuse}, None),
        "cheats as a contributor": ({"on_shares": cheat}, None),
        "cheats and explains falsely": (
            {"on_shares": cheat, "on_explanation": lambda _c, e: shifted(e, 0)},
            None,
        ),
        "cheats and is silent": ({"on_shares": cheat}, silent),
        "bends sums": ({"on_answer": bend}, None),
        "all together, now and then": (mixed, None),
        "accuses while the broker silences an honest one": ({"on_reports": accuse}, answer_of_one),
    }


def run(folder, count, collusion, strategy, rounds, seed=1):
    """Play rounds; returns the site, and how many were lost."""
    rng = random.Random(seed)
    site = make_site(folder, count, collusion, 1, collusion + 2, seed=seed)
    liars = names(count)[:collusion]
    hooks, lose = strategies(rng, liars, names(count)[-1])[strategy]
    net = Network(site, rng, lose or (lambda _sender, _send: False))
    for liar in liars:
        make_liar(site, liar, **hooks)
    lost, honest = 0, 0
    for round_id in range(1, rounds + 1):
        honest += site.gateway.blame.excluded == set(range(collusion))
        if honest > HONEST_ROUNDS and "broker" not in strategy:
            break
        assert site.gateway.ready, round_id
        outcome = net.round(round_id)
        lost += isinstance(outcome, Failed)
        if isinstance(outcome, Completed):
            expected = true_sum(site, outcome.included)
            assert outcome.sums.tolist() == expected.tolist(), round_id
        barred = site.gateway.blame.barred(round_id + 1)
        assert barred <= set(range(collusion)), f"round {round_id} shuts out {barred}"
        net.seen.clear()
        net.refused.clear()
    return site, lost


NAMES = list(strategies(random.Random(0), (), ""))


@pytest.mark.parametrize("strategy", NAMES)
@pytest.mark.parametrize(("count", "collusion"), [(6, 1), (10, 2)])
def test_a_site_heals_and_shuts_out_nobody_honest(tmp_path, count, collusion, strategy):
    _, lost = run(tmp_path, count, collusion, strategy, 12)
    assert lost <= 8


@pytest.mark.long
@pytest.mark.parametrize("strategy", NAMES)
@pytest.mark.parametrize(("count", "collusion"), [(6, 1), (10, 1), (10, 2), (16, 3)])
def test_a_site_heals_over_two_thousand_rounds(tmp_path, count, collusion, strategy):
    _, lost = run(tmp_path, count, collusion, strategy, 2000)
    assert lost <= 60 * collusion


def test_a_lying_contributor_is_named_after_two_rounds(tmp_path):
    site, lost = run(tmp_path, 8, 1, "cheats as a contributor", 4)
    assert lost <= 2
    assert site.gateway.blame.excluded == {0}


@pytest.mark.parametrize(("count", "collusion"), [(6, 1), (8, 1), (16, 2)])
def test_a_holder_that_adds_wrongly_is_named(tmp_path, count, collusion):
    """Its reports hold, so its shares were right: nobody else can have misled it."""
    site, lost = run(tmp_path, count, collusion, "bends sums", 4)
    assert lost == 0
    assert site.gateway.blame.excluded == set(range(collusion))


def test_an_excluded_agent_is_told(tmp_path):
    site, _ = run(tmp_path, 8, 1, "cheats as a contributor", 4)
    result = [agent.excluded for agent in site.agents.values()]
    assert not any(result[1:])


def accused(folder):
    """A site where a holder lied about agent 3 and an answer was missing: nobody is named yet.

    With all six answers the lie would be corrected; with a clean four, it would not be noticed.
    """
    site = make_site(folder, 6)

    def lose(sender, send):
        return sender == names(6)[5] and send.kind is Kind.ANSWER

    net = Network(site, lose=lose)
    make_liar(site, names(6)[0], on_reports=lambda _c, r: shifted(r, (3, 0)))
    for round_id in range(1, 20):
        outcome = net.round(round_id)
        if isinstance(outcome, Failed):
            net.lose = lambda _sender, _send: False
            return site, net, outcome
    raise AssertionError("no round failed")


def test_an_honest_agent_explains_itself_and_stays(tmp_path):
    site, net, failed = accused(tmp_path)
    assert "agents 3 " in failed.reason
    assert site.gateway._debts.owners == {3}
    after = net.round(site.gateway._ended + 1)
    assert not site.gateway._debts
    assert 3 in after.included
    assert 0 in site.gateway.blame.unseated(site.gateway._ended + 1)
    assert not site.gateway.blame.barred(site.gateway._ended + 1)


def test_boxes_without_the_explanation_asked_for_do_not_count(tmp_path):
    site, net, _ = accused(tmp_path)
    site.agents[names(6)[3]]._memory = None  # it cannot explain
    outcome = net.round(site.gateway._ended + 1)
    assert isinstance(outcome, Failed) or 3 not in outcome.included
    refused = [e for to, who, _, e in net.refused if (to, who) == (GATEWAY, names(6)[3])]
    assert any(isinstance(e, RefusedError) and "explanation" in str(e) for e in refused)
    for _ in range(4):  # nor does it keep a position, whose answer every round would lack
        net.round(site.gateway._ended + 1)
    assert site.gateway._debts.owners == {3}
    assert site.gateway.blame.until(3) > site.gateway._ended


def test_a_session_that_ends_without_explaining_sits_out_for_a_while(tmp_path):
    site = make_site(tmp_path, 8)
    net = Network(site)
    make_liar(site, names(8)[0], on_shares=CHEATS[3])
    failed = net.round(1)
    assert isinstance(failed, Failed)
    site.sessions[names(8)[0]] = Session(names(8)[0], site.identities[names(8)[0]], site.roster)
    start_agent(site, names(8)[0])
    acquaint(site, now=100.0)
    outcome = net.round(2)
    assert isinstance(outcome, Completed)
    assert outcome.included == frozenset(range(1, 8))
    assert site.gateway.blame.barred(3) == {0}
    assert site.gateway.blame.barred(20) == set()


def test_the_same_pair_again_costs_both_their_positions_for_twice_as_long():
    blame = Blame(2)
    blame.edge(3, 0, 1)
    assert blame.unseated(9) == {0}
    assert not blame.unseated(10)
    blame.edge(3, 0, 10)
    assert blame.unseated(26) == {0, 3}
    assert not blame.unseated(27)
    assert not blame.excluded


def test_an_accomplice_gives_no_position_back_sooner():
    blame = Blame(2)
    for round_id in (100, 120, 150, 190):
        blame.edge(5, 0, round_id)
    until = blame.until(0)
    blame.edge(1, 0, 192)
    assert blame.until(0) == until


@pytest.mark.parametrize("count", [6, 7, 8])
def test_a_lying_contributor_keeps_no_position_that_its_victim_loses(tmp_path, count):
    """One liar misleads always the same holder, and bends its own sum: few rounds are lost."""
    site = make_site(tmp_path, count, 1, 1, 3)
    victim = 5

    def mislead(_code, shares):
        seats = site.gateway.state.opening.seats
        return shifted(shares, (seats[victim], 0)) if victim in seats else shares

    make_liar(site, names(count)[0], on_shares=mislead, on_answer=lambda _c, s: shifted(s, 0))
    net, lost = Network(site, random.Random(3)), 0
    for round_id in range(1, 121):
        if site.gateway.blame.excluded:
            break  # it is named: nobody lies any more
        outcome = net.round(round_id)
        lost += isinstance(outcome, Failed)
        if isinstance(outcome, Completed):
            assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
    assert lost <= 12
    assert site.gateway.blame.excluded <= {0}


def test_a_suspension_ends_though_too_few_are_left_for_a_round(tmp_path):
    """All who owe an explanation restart before they can give it: a power cut, an update."""
    site = make_site(tmp_path, 6)

    def lose(sender, send):
        return sender == names(6)[5] and send.kind is Kind.ANSWER

    net = Network(site, lose=lose)
    make_liar(site, names(6)[0], on_reports=lambda _c, r: (r + np.uint32(7)) % np.uint32(P))
    assert isinstance(net.round(1), Failed)
    net.lose = lambda _sender, _send: False
    make_liar(site, names(6)[0])
    for name in names(6)[1:]:
        site.sessions[name] = Session(name, site.identities[name], site.roster)
        start_agent(site, name)
    acquaint(site, now=100.0)
    net.now = 100.0
    for round_id in range(2, 20):
        assert site.gateway.ready, round_id
        outcome = net.round(round_id)
    assert isinstance(outcome, Completed)
    assert outcome.included == frozenset(range(6))


def test_a_liar_s_edges_go_with_it():
    blame = Blame(1)
    blame.edge(3, 0, 1)
    blame.edge(3, 1, 2)
    assert blame.excluded == {3}
    assert not blame.unseated(3)  # those it had accused are free again
