"""Agents and the gateway restart at any moment while the network loses, repeats and keeps back."""

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protoledger.protocol.errors import ProtocolError
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed, Waiting
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import Window
from protoledger.protocol.wire.sealing import Session
from tests.support.in_memory_site import GATEWAY, make_site, names

AGENTS = 6
STEPS = 3000


class Storm:
    """A site whose messages all go into one pool, from which any is handed to anybody, any time.

    Every process of an agent contributes numbers of its own in every round, so that a sum tells
    whose vectors are in it.
    """

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.site = make_site(folder, AGENTS)
        self.terms = self.site.agents[names(AGENTS)[0]]._terms
        self.pool, self.vectors, self.opening = [], {}, None
        self.now, self.round_id, self.completed, self.restarts = 0.0, 0, 0, 0
        for name in names(AGENTS):
            self.start_agent(name, self.site.sessions[name])

    def start_agent(self, name, session):
        def contribute(announce):
            values = np.array([self.rng.sample(range(1000), 2)], dtype=float)
            window = Window(values, np.ones(1, dtype=np.int64))
            mark = session.mark
            assert (name, mark, announce.round_id) not in self.vectors
            vector = [values[0, 0], 1, values[0, 1], 1, 0, 1]
            self.vectors[name, mark, announce.round_id] = np.array(vector, dtype=np.int64)
            return window

        self.site.agents[name] = AgentRounds(session, self.terms, contribute)

    def restart(self, name):
        self.restarts += 1
        session = Session(name, self.site.identities[name], self.site.roster)
        self.site.sessions[name] = session
        if name == GATEWAY:
            self.site.gateway = GatewayRounds(session, self.terms)
            for agent in names(AGENTS):
                self.site.gateway.presence(agent, online=True, now=self.now)
        else:
            self.start_agent(name, session)
        for other in self.site.sessions.values():  # the retained hellos
            if other is not session and self.rng.random() < 0.8:
                self.hand(name, (Kind.KEY, other.me, other.hello))
        for other in self.site.sessions:
            if other != name and self.rng.random() < 0.8:
                self.hand(other, (Kind.KEY, name, session.hello))
        if name != GATEWAY and self.opening is not None and self.rng.random() < 0.8:
            self.hand(name, self.opening)  # the round that its former process shared in

    def hand(self, target, message):
        kind, sender, payload = message
        try:
            if target == GATEWAY:
                self.take(self.site.gateway.handle(kind, sender, payload, self.now))
            else:
                self.post(target, self.site.agents[target].handle(kind, sender, payload, self.now))
        except ProtocolError:
            pass

    def post(self, sender, sends):
        """Most messages come soon; all stay with the broker, who may hand them on again."""
        for send in sends:
            message = send.kind, sender, send.payload
            everyone = list(self.site.agents) if sender == GATEWAY else [GATEWAY]
            if send.kind is Kind.KEY:
                everyone = [name for name in self.site.sessions if name != sender]
            for target in everyone if send.receiver is None else [send.receiver]:
                self.pool.append((target, message))

    def take(self, step):
        self.post(GATEWAY, step.send)
        if isinstance(step.outcome, Completed):
            self.completed += 1
            self.check(step.outcome)

    def check(self, outcome):
        """The sum is that over one process's vector of each agent: the one the gateway knew."""
        marks = self.marks
        total = sum(
            self.vectors[names(AGENTS)[n], marks[n], outcome.round_id] for n in outcome.included
        )
        assert outcome.sums.tolist() == total.tolist()

    def step(self):
        rng, gateway = self.rng, self.site.gateway
        chance = rng.random()
        if chance < 0.006:
            self.restart(rng.choice([*names(AGENTS)] * 3 + [GATEWAY]))
        elif chance < 0.02:
            self.now += rng.choice([0.1, 0.6])
            for name, agent in self.site.agents.items():
                self.post(name, agent.expire(self.now))
            self.take(gateway.expire(self.now))
        elif isinstance(gateway.state, Waiting) and chance < 0.3:
            if gateway.ready:
                self.round_id += 1
                sends = gateway.start(self.round_id, self.now).send
                self.marks = gateway.state.opening.marks
                self.opening = Kind.ANNOUNCE, GATEWAY, sends[0].payload
                self.post(GATEWAY, sends)
        elif self.pool:
            recent = max(0, len(self.pool) - 40)
            at = rng.randrange(recent if rng.random() < 0.9 else 0, len(self.pool))
            target, message = self.pool[at]
            self.hand(target, message)
            if rng.random() < 0.9:
                del self.pool[at]


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_whatever_completes_is_exact_whoever_restarts(tmp_path, seed):
    storm = Storm(tmp_path, seed)
    for _ in range(STEPS):
        storm.step()
    assert storm.restarts
