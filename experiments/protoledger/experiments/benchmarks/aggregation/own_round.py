"""One round of ours, measured: the real state machines, seals and signatures, no network.

Messages are handed over in waves, and each party works off its mail in one go, as it would with a
quick network. Inputs are windows as sensors give them: turning them into symbols is counted, as
quantising is on the other side of the comparison. An agent that drops out does so after its boxes
are sent: it is in the sum, and its answer is missing.
"""

import contextlib
import functools
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protoledger.experiments.benchmarks.stopwatch import Stopwatch, medians
from protoledger.protocol.code import field
from protoledger.protocol.code.packed import PackedCode
from protoledger.protocol.errors import LateError
from protoledger.protocol.proofs.proven import ProvenCode
from protoledger.protocol.rounds import closing
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed, Outcome, Send, Step
from protoledger.protocol.wire import sealing
from protoledger.protocol.wire.identity import Identity, Member, Roster
from protoledger.protocol.wire.messages import Announce, Kind
from protoledger.protocol.wire.schema import Channel, Schema, Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.site import AggregationConfig

Validity = Literal["auto", "proven", "packed"]
GATEWAY = "bench.gateway"
WINDOW = 20
"""Symbols of one window: nine channels and two labels; longer vectors are more windows."""

_SCHEMA = Schema(tuple(Channel(f"c{n}", "", 0, 1000, 1) for n in range(9)), ("no", "yes"))
_SIGNATURES: tuple[tuple[object, str, str], ...] = (
    (sealing, "verify", "signatures"),
    (Identity, "sign", "signatures"),
)
_PARTS: tuple[tuple[object, str, str], ...] = (
    *_SIGNATURES,
    (Schema, "contribution", "quantise"),
    (ProvenCode, "secret", "encode"),
    (ProvenCode, "shares", "encode"),
    (PackedCode, "shares", "encode"),
    (Session, "_keys", "keys"),
    (Session, "_exchange", "keys"),
    (Session, "seal", "seal"),
    (Session, "seal_boxes", "seal"),
    (Session, "open", "open"),
    (Session, "open_box", "open"),
    (field, "words", "read"),
    (ProvenCode, "reports", "report"),
    (ProvenCode, "answer", "sum"),
    (PackedCode, "answer", "sum"),
    (closing, "judge", "decode"),
    (closing, "open_sum", "decode"),
    (PackedCode, "open", "decode"),
)


@dataclass(frozen=True)
class Size:
    """What is measured.

    Attributes:
        agents: N.
        length: L, a multiple of 20.
        dropouts: agents that vanish.
        collusion: T.
        tolerance: D.
        validity: as in a site file.
    """

    agents: int
    length: int
    dropouts: int
    collusion: int
    tolerance: int
    validity: Validity = "auto"


@contextlib.contextmanager
def _parted(parts: tuple[tuple[object, str, str], ...], *watches: Stopwatch) -> Iterator[None]:
    """Give what some functions take to names of their own, apart for clients and gateway."""

    def timed(inner: Callable[..., object], part: str) -> Callable[..., object]:
        @functools.wraps(inner)
        def outer(*args: object, **kwargs: object) -> object:
            watch = next((one for one in watches if one.innermost), None)
            if watch is None:
                return inner(*args, **kwargs)
            with watch.on(f"{watch.innermost.partition('.')[0]}.{part}"):
                return inner(*args, **kwargs)

        return outer

    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in parts]
    for owner, name, part in parts:
        setattr(owner, name, timed(getattr(owner, name), part))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


class Site:
    """A site in memory.

    Args:
        size: of everything.
    """

    def __init__(self, size: Size) -> None:
        self.names = [f"bench.agent-{number:04d}" for number in range(size.agents)]
        self.identities = {
            name: Identity(Ed25519PrivateKey.generate()) for name in [GATEWAY, *self.names]
        }
        members = {n: Member(n, i.public_key.hex()) for n, i in self.identities.items()}
        agents = tuple(members[name] for name in self.names)
        digest = hashlib.sha256(b"bench").digest()
        self.roster = Roster("bench", members[GATEWAY], agents, digest)
        wanted = AggregationConfig(
            validity=size.validity, collusion=size.collusion, dropouts=size.tolerance
        )
        plan = wanted.plan(size.agents)
        windows = size.length // WINDOW
        self.terms = Terms(_SCHEMA, plan, wanted.minimum(plan), windows, 1000, 1000, 1000)
        generator = np.random.default_rng(size.agents)
        shape = size.agents, self.terms.windows, len(_SCHEMA.channels)
        self.readings = generator.integers(0, 1000, shape).astype(float)
        self.labels = np.ones(self.terms.windows, dtype=np.int64)

    def window(self, number: int, _announce: Announce) -> Window:
        """Return what an agent saw."""
        return Window(self.readings[number], self.labels)

    def expected(self, included: frozenset[int]) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
        """Return the sum over these agents, the plain way."""
        rows = np.zeros((self.terms.windows, WINDOW), dtype=np.uint32)
        rows[:, 0:18:2] = self.readings[sorted(included)].sum(axis=0)
        rows[:, 1:18:2] = len(included)
        rows[:, 19] = len(included)
        return rows.reshape(-1)


class Parties:
    """A site's sessions and machines, from their keys on.

    Args:
        site: whose.
        watch: takes the time, under `client` and `gateway`.
    """

    def __init__(self, site: Site, watch: Stopwatch) -> None:
        self._site = site
        self._watch = watch
        self._now = 0.0
        self._round_id = 0
        sessions, hellos = {}, {}
        for name, identity in site.identities.items():
            with watch.on(_side(name)):
                sessions[name] = Session(name, identity, site.roster)
                hellos[name] = sessions[name].hello
        for name, session in sessions.items():
            with watch.on(_side(name)):
                for peer, hello in hellos.items():
                    session.heard(peer, hello, 0.0)
        self._gateway = GatewayRounds(sessions[GATEWAY], site.terms)
        self._agents = {
            name: AgentRounds(sessions[name], site.terms, functools.partial(site.window, number))
            for number, name in enumerate(site.names)
        }
        for name in site.names:
            self._gateway.presence(name, online=True, now=0.0)

    def round(self, watch: Stopwatch, droppers: set[str]) -> Completed:
        """Run one round; its time and bytes go to `watch`.

        Raises:
            RuntimeError: if it does not complete with the right sum.
        """
        self._watch = watch
        self._round_id += 1
        mail: defaultdict[str, list[tuple[str, Send]]] = defaultdict(list)
        with watch.on("gateway"):
            opening: Step = self._gateway.start(self._round_id, self._now)
        self._post(mail, GATEWAY, opening.send, droppers)
        outcome: Outcome | None = None
        for _wave in range(100):
            if not mail:
                if outcome is not None:
                    break
                self._now += 2.0
                outcome = self._expire(mail, droppers)
            letters, mail = mail, defaultdict(list)
            for name, inbox in letters.items():
                outcome = self._work_off(mail, name, inbox, droppers) or outcome
        if isinstance(outcome, Completed):
            if np.array_equal(outcome.sums, self._site.expected(outcome.included)):
                return outcome
            raise RuntimeError("the round's sum is wrong")
        raise RuntimeError(f"the round did not complete: {outcome}")

    def _work_off(
        self,
        mail: defaultdict[str, list[tuple[str, Send]]],
        name: str,
        inbox: list[tuple[str, Send]],
        droppers: set[str],
    ) -> Outcome | None:
        out: list[Send] = []
        outcome: Outcome | None = None
        with self._watch.on(_side(name, droppers)):
            for sender, send in inbox:
                if name == GATEWAY:
                    # what comes after a quorum is late, and refusing it takes time as well
                    with contextlib.suppress(LateError):
                        step = self._gateway.handle(send.kind, sender, send.payload, self._now)
                        out += step.send
                        outcome = step.outcome or outcome
                else:
                    # a round may be over before a holder has answered
                    with contextlib.suppress(LateError):
                        agent = self._agents[name]
                        out += agent.handle(send.kind, sender, send.payload, self._now)
        self._post(mail, name, out, droppers)
        return outcome

    def _expire(
        self, mail: defaultdict[str, list[tuple[str, Send]]], droppers: set[str]
    ) -> Outcome | None:
        with self._watch.on("gateway"):
            step = self._gateway.expire(self._now)
        self._post(mail, GATEWAY, step.send, droppers)
        return step.outcome

    def _post(
        self,
        mail: defaultdict[str, list[tuple[str, Send]]],
        sender: str,
        sends: list[Send],
        droppers: set[str],
    ) -> None:
        for send in sends:
            if sender in droppers and send.kind is not Kind.BOXES:
                continue
            if sender != GATEWAY and sender not in droppers:
                self._watch.bytes["client"] += len(send.payload)
            if sender != GATEWAY and send.receiver is None:
                self._watch.bytes["gateway"] += len(send.payload)
            everyone = self._site.names if sender == GATEWAY else [GATEWAY]
            for target in everyone if send.receiver is None else [send.receiver]:
                mail[target].append((sender, send))


def _side(name: str, droppers: set[str] | None = None) -> str:
    if name == GATEWAY:
        return "gateway"
    return "dropper" if name in (droppers or ()) else "client"


def measure(size: Size, repeats: int, *, rekey: bool, parts: bool = False) -> dict[str, float]:
    """Run rounds of one size, other agents dropping out in each.

    Args:
        size: of it.
        repeats: how many rounds count; one more comes before them.
        rekey: whether every round has sessions of its own.
        parts: whether to name what the time goes to; that itself takes some.

    Returns:
        Medians: CPU milliseconds and bytes per client (one that stays) and at the gateway;
        `…_unsigned_ms` without making and checking signatures; with `parts`, `client.NAME` and
        `gateway.NAME` in milliseconds.
    """
    site = Site(size)
    parties = Parties(site, Stopwatch())
    rounds = []
    for number in range(repeats + 1):
        meeting, watch = Stopwatch(), Stopwatch()
        droppers = {site.names[(number + j) % size.agents] for j in range(size.dropouts)}
        with _parted(_PARTS if parts else _SIGNATURES, meeting, watch):
            if rekey:
                parties = Parties(site, meeting)
            parties.round(watch, droppers)
        figures = _figures(meeting, size.agents)
        for name, value in _figures(watch, size.agents - size.dropouts).items():
            figures[name] = figures.get(name, 0.0) + value
        if number or repeats == 0:
            rounds.append(figures)
    return medians(rounds)


def _figures(watch: Stopwatch, clients: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for side, share in (("client", clients), ("gateway", 1)):
        milliseconds = {
            name: 1000 * seconds / share
            for name, seconds in watch.seconds.items()
            if name.partition(".")[0] == side
        }
        found[f"{side}_ms"] = sum(milliseconds.values())
        signatures = milliseconds.get(f"{side}.signatures", 0.0)
        found[f"{side}_unsigned_ms"] = found[f"{side}_ms"] - signatures
        found[f"{side}_bytes"] = watch.bytes[side] / share
        found |= milliseconds
    return found
