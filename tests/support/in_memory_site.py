"""A site in memory for tests: a roster, its identities and sessions that know each other."""

from dataclasses import dataclass

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.protocol.code.seats import Plan
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.wire.identity import Identity, Member, Roster
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import Channel, Schema, Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.identity_files import load_roster, write_roster

SCHEMA = Schema((Channel("a", "", 0, 1000, 1), Channel("b", "", 0, 1000, 1)), ("no", "yes"))
GATEWAY = "attic.gateway"


@dataclass
class Site:
    roster: Roster
    gateway: GatewayRounds
    gateway_session: Session
    agents: dict[str, AgentRounds]
    sessions: dict[str, Session]
    inputs: dict[str, np.ndarray]
    identities: dict[str, Identity]


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


def make_site(
    folder, count=6, collusion=1, dropouts=1, minimum=3, seed=0, partitions=None, windows=1
):
    roster, identities = make_roster(folder, count)
    plan = Plan(count, collusion, dropouts, partitions)
    terms = Terms(SCHEMA, plan, minimum, windows, share_ms=1000, sum_ms=1000)
    rng = np.random.default_rng(seed)
    sessions = {name: Session(name, identity, roster) for name, identity in identities.items()}
    inputs = {name: rng.integers(0, 1000, (1, 2)).astype(float) for name in names(count)}
    gateway = GatewayRounds(sessions[GATEWAY], terms)
    agents = {
        name: AgentRounds(
            sessions[name],
            terms,
            lambda _announce, name=name: Window(
                np.repeat(inputs[name], windows, axis=0), np.ones(windows, dtype=np.int64)
            ),
        )
        for name in names(count)
    }
    for session in sessions.values():
        for other in sessions.values():
            session.meet(other.me, other.hello())
    for name in agents:
        gateway.presence(name, online=True, now=0.0)
    return Site(roster, gateway, sessions[GATEWAY], agents, sessions, inputs, identities)


def hello(site, name):
    return Kind.KEY, name, site.sessions[name].hello()
