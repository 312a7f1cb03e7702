"""A site in memory for tests: roster, identities, sessions that know each other, a network."""

import random
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.protocol.code.field import P
from protoledger.protocol.errors import ProtocolError
from protoledger.protocol.plans import Plan, choose_committee
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.wire.identity import Identity, Member, Roster
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema, Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.identity_files import load_roster, write_roster

SCHEMA = Schema((Channel("a", "", 0, 1000, 1), Channel("b", "", 0, 1000, 1)), ("no", "yes"))
GATEWAY = "attic.gateway"


@dataclass
class Site:
    roster: Roster
    terms: Terms
    gateway: GatewayRounds
    gateway_session: Session
    agents: dict[str, AgentRounds]
    sessions: dict[str, Session]
    inputs: dict[str, Window]
    identities: dict[str, Identity]
    taken: dict[str, list[int]] = field(default_factory=dict)
    charged: dict[str, list[int]] = field(default_factory=dict)
    bankrupt: set[str] = field(default_factory=set)


def names(count):
    return [f"attic.agent-{i:02d}" for i in range(count)]


def make_roster(folder, count, site="attic"):
    fleet = Identity(Ed25519PrivateKey.generate())
    identities = {name: Identity(Ed25519PrivateKey.generate()) for name in [GATEWAY, *names(count)]}
    members = {n: Member(n, i.public_key.hex(), ("a", "b")) for n, i in identities.items()}
    path = folder / "roster.json"
    agents = tuple(members[n] for n in names(count))
    write_roster(path, site, members[GATEWAY], agents, fleet)
    return load_roster(path, fleet.public_key), identities


def make_plan(count, collusion=1, dropouts=1, validity="proven", committee=None, partitions=None):
    committee = committee or choose_committee(count, collusion, dropouts, validity)
    return Plan(count, collusion, dropouts, validity, committee, partitions)


def make_site(
    folder,
    count=6,
    collusion=1,
    dropouts=1,
    minimum=3,
    seed=0,
    windows=1,
    validity="proven",
    committee=None,
    partitions=None,
    schema=SCHEMA,
    privacy=None,
):
    roster, identities = make_roster(folder, count)
    plan = make_plan(count, collusion, dropouts, validity, committee, partitions)
    if privacy is not None:
        minimum = count - dropouts
    window_ms = 1000 if privacy is None else 3_600_000
    terms = Terms(schema, plan, minimum, windows, window_ms, 1000, 1000, privacy)
    rng = np.random.default_rng(seed)
    sessions = {name: Session(name, identity, roster) for name, identity in identities.items()}
    inputs = {}
    for name in names(count):
        values = [
            [rng.integers(0, c.steps + 1) * c.step + c.low for c in schema.channels]
        ] * windows
        votes = (
            rng.integers(0, len(schema.labels), windows) if schema.labels else [NO_LABEL] * windows
        )
        inputs[name] = Window(np.array(values, dtype=float), np.array(votes))
    gateway = GatewayRounds(sessions[GATEWAY], terms)
    site = Site(roster, terms, gateway, sessions[GATEWAY], {}, sessions, inputs, identities)
    for name in names(count):
        start_agent(site, name)
    acquaint(site)
    for name in site.agents:
        gateway.presence(name, online=True, now=0.0)
    return site


def start_agent(site, name):
    def contribute(announce):
        site.taken.setdefault(name, []).append(announce.round_id)
        return site.inputs[name]

    def charge(units):
        if name in site.bankrupt:
            return False
        site.charged.setdefault(name, []).append(units)
        return True

    session = site.sessions[name]
    site.agents[name] = AgentRounds(session, site.terms, contribute, charge=charge)


def acquaint(site, now=0.0):
    for session in site.sessions.values():
        for other in site.sessions.values():
            session.heard(other.me, other.hello, now)


def true_sum(site, included, minimum=None, positions=None):
    """What a gateway should have decoded: values and counts of what enough declared.

    The packed code opens whole symbols, whose coordinates depend on how many held positions; by
    default as many as can.
    """
    schema, layout = site.terms.schema, site.terms.layout
    given = [schema.contribution(site.inputs[names(len(site.agents))[n]]) for n in sorted(included)]
    declared = np.array([one.declared for one in given])
    minimum = minimum or site.terms.minimum
    code = site.terms.code(positions or min(len(site.agents), site.terms.plan.committee))
    opened = (code if hasattr(code, "openable") else layout).openable(declared, minimum)
    total = np.sum([layout.coordinates(one).astype(np.int64) for one in given], axis=0) % P
    return schema.symbols(total[opened].astype(np.uint32), opened, layout.counts(declared))


class Network:
    """Delivers messages in any order; `lose` says whose messages of which kind are lost."""

    def __init__(self, site, rng=None, lose=lambda _sender, _send: False):
        self.site = site
        self.rng = rng or random.Random(0)
        self.lose = lose
        self.flying = []
        self.outcomes = []
        self.refused = []
        self.now = 0.0
        self.seen = []

    def post(self, sender, sends):
        for send in sends:
            self.seen.append((sender, send))
            if self.lose(sender, send):
                continue
            if send.receiver is not None:
                targets = [send.receiver]
            elif send.kind is Kind.KEY:
                targets = [name for name in self.site.sessions if name != sender]
            elif sender == GATEWAY:
                targets = list(self.site.agents)
            else:
                targets = [GATEWAY]
            self.flying += [(target, sender, send) for target in targets]

    def step(self, step):
        self.post(GATEWAY, step.send)
        if step.outcome:
            self.outcomes.append(step.outcome)

    def deliver(self, target, sender, send):
        try:
            if target == GATEWAY:
                self.step(self.site.gateway.handle(send.kind, sender, send.payload, self.now))
            else:
                agent = self.site.agents[target]
                self.post(target, agent.handle(send.kind, sender, send.payload, self.now))
        except ProtocolError as error:
            self.refused.append((target, sender, send.kind, error))

    def settle(self):
        while self.flying:
            self.deliver(*self.flying.pop(self.rng.randrange(len(self.flying))))

    def tick(self, seconds):
        self.now += seconds
        for name, agent in self.site.agents.items():
            self.post(name, agent.expire(self.now))
        self.step(self.site.gateway.expire(self.now))
        self.settle()

    def round(self, round_id, kept=None):
        """Play a round until it has an outcome."""
        before = len(self.outcomes)
        self.step(self.site.gateway.start(round_id, self.now, kept))
        self.settle()
        for _ in range(6):
            if len(self.outcomes) > before:
                break
            self.tick(0.6)
        self.settle()
        return self.outcomes[-1] if len(self.outcomes) > before else None
