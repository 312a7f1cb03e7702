"""Attacks that once worked, by liars that act together and by the broker, over whole sites.

No false sum is accepted, and nobody honest is shut out: what a broker can do alone is to lose
messages, and what liars can do within their number is to lose rounds.
"""

import random

import numpy as np
import pytest

from protoledger.protocol.code.field import P
from protoledger.protocol.code.points import points
from protoledger.protocol.errors import RefusedError
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.sealing import Session
from tests.protocol.rounds.test_liars import accused
from tests.support.in_memory_site import (
    GATEWAY,
    Network,
    acquaint,
    make_site,
    names,
    start_agent,
    true_sum,
)
from tests.support.lying import make_liar, parts, shifted

SHIFTS = {0: 600, 2: P - 2, 3: 2}
"""By coordinate, what the liars add to the sum: a channel's, and two votes from no to yes."""


class FalseSum:
    """T liars: shares that mislead some holders, and sums of their own that fit the lie.

    The first liar gives a few holders shares that are off by Δ(a), a polynomial of the sum's degree
    that is 0 at all but these; every liar adds Δ(a) to its own sum. Misled holders and liars then
    agree on a false polynomial.
    """

    def __init__(self, site, liars, victims):
        self.site, self.liars, self.victims = site, liars, victims
        self._round, self._delta = None, None

    def plan(self):
        opening = self.site.gateway.state.opening
        if self._round != opening.announce.round_id:
            self._round, self._delta = opening.announce.round_id, self._plan(opening)
        return self._delta

    def _plan(self, opening):
        seats, quorum = opening.seats, opening.code.quorum
        if any(liar not in seats for liar in self.liars):
            return None
        spare = len(seats) - quorum
        errors = min(spare // 2, spare - len(self.liars))
        misled = len(seats) - errors - (quorum - 1) - len(self.liars)
        honest = [n for n in seats if n not in self.liars]
        there = [n for n in (self.victims or honest) if n in seats][:misled]
        if misled < 1 or len(there) < misled:
            return None
        at = points(len(seats))
        zeros = [at[seats[n]] for n in honest if n not in there][: quorum - 1]

        def delta(x, shift):
            product = shift
            for zero in zeros:
                product = product * (x - zero) % P * pow(-zero, -1, P) % P
            return product

        return delta, at, seats, there

    def on_shares(self, code, shares):
        if (found := self.plan()) is None:
            return shares
        delta, at, seats, there = found
        changed, first = shares.astype(np.int64), parts(code)["g"]
        for position in (seats[n] for n in there):
            for k, shift in SHIFTS.items():
                wrong = changed[position, first + k] + delta(at[position], shift)
                changed[position, first + k] = wrong % P
        return changed.astype(np.uint32)

    def on_answer(self, liar):
        def bend(_code, sums):
            if (found := self.plan()) is None:
                return sums
            delta, at, seats, _ = found
            changed = sums.astype(np.int64)
            for k, shift in SHIFTS.items():
                changed[k] = (changed[k] + delta(at[seats[liar]], shift)) % P
            return changed.astype(np.uint32)

        return bend


@pytest.mark.parametrize(
    ("count", "collusion", "rounds", "victims"),
    [(6, 1, 30, [5]), (6, 1, 30, []), (7, 1, 30, [6]), (10, 1, 12, []), (20, 2, 12, [])],
)
def test_liars_that_act_together_bend_no_sum(tmp_path, count, collusion, rounds, victims):
    site = make_site(tmp_path, count, collusion, 1, collusion + 2, seed=3)
    liars = list(range(collusion))
    attack = FalseSum(site, liars, victims)
    for liar in liars:
        hooks = {"on_answer": attack.on_answer(liar)}
        if liar == 0:
            hooks["on_shares"] = attack.on_shares
        make_liar(site, names(count)[liar], **hooks)
    net, completed, tried = Network(site, random.Random(1)), 0, 0
    for round_id in range(1, rounds + 1):
        outcome = net.round(round_id)
        tried += attack._delta is not None
        if isinstance(outcome, Completed):
            completed += 1
            assert outcome.sums.tolist() == true_sum(site, outcome.included).tolist()
        assert site.gateway.blame.barred(round_id + 1) <= set(liars)
    assert tried
    assert completed > rounds // 2


@pytest.mark.parametrize(
    ("count", "validity"), [(6, "proven"), (10, "proven"), (20, "proven"), (5, "packed")]
)
def test_junk_in_an_agent_s_name_makes_nobody_a_liar(tmp_path, count, validity):
    """The broker displaces the hello that the announce names, before the delivery."""
    collusion = 2 if count == 20 else 1
    site = make_site(tmp_path, count, collusion, 1, collusion + 2, validity=validity)
    net, rng = Network(site), random.Random(2)
    for round_id in range(1, 5):
        net.now += 100.0
        acquaint(site, net.now)
        net.step(site.gateway.start(round_id, net.now))
        announces = [each for each in net.flying if each[2].kind is Kind.ANNOUNCE]
        net.flying = [each for each in net.flying if each not in announces]
        for each in announces:
            net.deliver(*each)
        victim = names(count)[(3 + round_id) % count]
        for holder in list(site.gateway.state.opening.seats)[: collusion + 2]:
            for _ in range(4):
                agent = site.agents[names(count)[holder]]
                agent.handle(Kind.KEY, victim, rng.randbytes(200), net.now)
        net.settle()
        assert isinstance(net.outcomes[-1], Completed)
        assert not site.gateway.blame.barred(round_id + 1)
        assert not site.gateway.blame.unseated(round_id + 1)


def test_a_hello_that_is_withheld_makes_nobody_a_liar(tmp_path):
    """Two holders have never heard from an agent without a position that others know."""
    site, newcomer = make_site(tmp_path, 12, 1, 1, 3), names(12)[11]
    fresh = site.sessions[newcomer] = Session(newcomer, site.identities[newcomer], site.roster)
    start_agent(site, newcomer)
    for other in site.sessions.values():
        fresh.heard(other.me, other.hello, 10.0)
        if other.me not in names(12)[:2]:
            other.heard(newcomer, fresh.hello, 10.0)
    net = Network(site)
    for round_id in range(1, 4):
        last = net.round(round_id)
        assert not site.gateway.blame.barred(round_id + 1)
        assert isinstance(last, Completed)
        assert last.included == frozenset(range(12))


def test_more_unproven_contributions_than_one_announce_can_ask_for(tmp_path):
    """Three liars spoil all reports while three answers are missing; then everybody is honest."""
    count, collusion = 70, 3
    site = make_site(tmp_path, count, collusion, 1, collusion + 2)
    lost = {names(count)[i] for i in (5, 6, 7)}

    def spoil(_code, reports):
        rng = np.random.default_rng(len(reports))
        return ((reports.astype(np.int64) + rng.integers(1, P, reports.shape)) % P).astype("u4")

    for liar in names(count)[:collusion]:
        make_liar(site, liar, on_reports=spoil)
    net = Network(site, random.Random(1), lambda who, s: s.kind is Kind.ANSWER and who in lost)
    net.round(1)
    assert len(site.gateway._debts.owners) == 64
    lost.clear()
    for liar in names(count)[:collusion]:
        make_liar(site, liar)
    acquaint(site, net.now)
    outcome = net.round(2)
    assert isinstance(outcome, Completed)
    assert site.gateway._debts.owners <= set(range(collusion))
    assert site.gateway.blame.excluded == set(range(collusion))


def test_a_gateway_s_new_key_is_no_reason_to_suspect_who_owes_an_explanation(tmp_path):
    site, net, _ = accused(tmp_path)
    site.gateway_session.renew()
    for _ in range(3):
        net.now += 100.0
        acquaint(site, net.now)
        outcome = net.round(site.gateway._ended + 1)
        assert not site.gateway.blame.barred(site.gateway._ended + 1)
    assert isinstance(outcome, Completed)
    assert 3 in outcome.included


def test_an_announce_of_a_former_session_is_repeated_in_vain(tmp_path):
    """A broker makes an agent take another key while it owes an explanation, again and again."""
    site, honest = make_site(tmp_path, 6, 1, 1, 3), names(6)[3]
    net = Network(site)
    net.round(1)
    (old,) = (send.payload for send in site.gateway.start(2, net.now).send)
    hello = site.gateway_session.hello
    site.gateway_session = Session(GATEWAY, site.identities[GATEWAY], site.roster)
    site.sessions[GATEWAY] = site.gateway_session
    site.gateway = GatewayRounds(site.gateway_session, site.terms)
    site.gateway._ended = 2
    for name in names(6):
        site.gateway.presence(name, online=True, now=100.0)
    armed = [False]
    net.lose = lambda who, s: armed[0] and s.kind is Kind.ANSWER and who == names(6)[5]
    make_liar(site, names(6)[0], on_reports=lambda _c, r: shifted(r, (3, 0)) if armed[0] else r)
    strikes = 0
    for round_id in range(3, 63):
        net.now += 100.0
        acquaint(site, net.now)
        armed[0] = round_id > 6 and 3 not in site.gateway._debts.owners
        net.round(round_id)
        if 3 in site.gateway._debts.owners:
            strikes += 1
            agent = site.agents[honest]
            agent.handle(Kind.KEY, GATEWAY, hello, net.now)
            if strikes == 1:
                net.post(honest, agent.handle(Kind.ANNOUNCE, GATEWAY, old, net.now))
            else:
                with pytest.raises(RefusedError, match="a round after"):
                    agent.handle(Kind.ANNOUNCE, GATEWAY, old, net.now)
            net.settle()
        assert 3 not in site.gateway.blame.barred(round_id + 1)
    assert strikes
    armed[0] = False
    for round_id in range(63, 66):
        outcome = net.round(round_id)
    assert isinstance(outcome, Completed)
    assert 3 in outcome.included
