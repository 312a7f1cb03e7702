"""One site in virtual time: its gateway, its agents, and the broker between them.

The broker keeps each device's last hello, tells the gateway who is there, and notices `GONE_S`
later who is cut off, as a real one does by keep-alive. Every window is given to one round: those of
a round that fails are lost.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from protoledger.emulator.sources.recordings import agent_ids
from protoledger.gateway.training.features import Scaler
from protoledger.protocol.errors import ProtocolError
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed, Failed, Outcome, Send, Step, Waiting
from protoledger.protocol.wire.identity import Identity, Member, Roster, sign_roster
from protoledger.protocol.wire.messages import Announce, Kind, Payload
from protoledger.protocol.wire.schema import NO_LABEL, Window
from protoledger.protocol.wire.sealing import Session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from protoledger.emulator.sources.dealing import SiteRows
    from protoledger.emulator.virtual.clock import Clock
    from protoledger.emulator.virtual.ledger import VirtualLedger
    from protoledger.emulator.virtual.links import Links
    from protoledger.gateway.codebook.codebook import Codebook
    from protoledger.gateway.training.model import SiteModel
    from protoledger.protocol.wire.terms import Terms

GONE_S: Final = 15.0
ASK_AGAIN_S: Final = 1.0
PATIENCE: Final = 4
"""A site that needs so many times its rounds' time, cuts aside, is given up."""


@dataclass
class Costs:
    """CPU time of the whole run by what it was spent on, in seconds."""

    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Count what the block takes."""
        began = time.process_time()
        try:
            yield
        finally:
            self.seconds[part] += time.process_time() - began


@dataclass
class Found:
    """What became of a site's rounds.

    Attributes:
        completed: rounds.
        reasons: failed rounds by reason.
        seconds: of each completed round, virtual.
        samples: labelled ones.
        right: of them, predicted right before they were learnt.
        own_right: the same, by the site alone.
        wrong_sums: opened coordinates whose sum was not the true one.
        commits: that were submitted.
        given_up: whether the site could not finish its rounds.
    """

    completed: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    samples: int = 0
    right: int = 0
    own_right: int = 0
    wrong_sums: int = 0
    commits: int = 0
    given_up: bool = False


@dataclass(frozen=True)
class World:
    """What all sites of a run share."""

    clock: Clock
    links: Links
    ledger: VirtualLedger
    terms: Terms
    every_s: float
    costs: Costs


class VirtualSite:
    """A site; `begin` it, then let the clock advance.

    Args:
        name: of the site.
        rows: what its agents read.
        world: what it shares with the others.
        model: its gateway's, new.

    Attributes:
        found: what became of its rounds.
        finished: whether it has run all its rounds, or was given up.
    """

    def __init__(self, name: str, rows: SiteRows, world: World, model: SiteModel) -> None:
        self.name, self.gateway, self.model, self.found = name, f"{name}.gateway", model, Found()
        self.finished = False
        model.union.site = self.gateway
        self._world, self._rows = world, rows
        agents = [f"{name}.{agent}" for agent in agent_ids(world.terms.plan.agents)]
        identities = {device: Identity.generate() for device in (self.gateway, *agents)}
        self._roster = _roster(name, self.gateway, agents, identities, world.terms)
        self._names = [member.id for member in self._roster.agents]
        self._place = {device: at for at, device in enumerate(agents)}
        self._sessions = {d: Session(d, one, self._roster) for d, one in identities.items()}
        self._machine = GatewayRounds(self._sessions[self.gateway], world.terms)
        self._agents = {
            agent: AgentRounds(self._sessions[agent], world.terms, partial(self._window, agent))
            for agent in agents
        }
        self._scaler = Scaler(world.terms.schema, keeps=model.mode == "reference")
        self._hellos: dict[str, bytes] = {}
        self._target = len(rows.labels) // world.terms.windows
        self._round, self._due, self._planned = 0, 0.0, -1.0
        world.ledger.join(self.gateway, self._told)

    @property
    def devices(self) -> list[str]:
        """Ids of the gateway and all agents."""
        return [self.gateway, *self._agents]

    def begin(self) -> None:
        """Switch everything on."""
        clock = self._world.clock
        last_cut = 0.0
        for device in self.devices:
            clock.at(0.0, partial(self._connect, device))
            for cut, those in self._world.links.cuts:
                if device in those:
                    last_cut = max(last_cut, cut.to_s)
                    clock.at(cut.from_s, partial(self._cut_off, device))
                    clock.at(cut.from_s + GONE_S, partial(self._notice, device))
                    clock.at(cut.to_s, partial(self._connect, device))
        each = self._world.every_s + self._world.terms.round_s
        self._give_up_at = last_cut + PATIENCE * each * (self._target + 1)
        clock.at(0.0, self._turn)

    # -- the broker ------------------------------------------------------------------------------

    def _connect(self, device: str) -> None:
        """Subscribe a device: it says hello, and gets all hellos that the broker keeps."""
        if not self._world.links.reaches(device):
            return  # another cut has begun; its end connects
        for other, hello in self._hellos.items():
            if other != device:
                self._carry(other, device, Kind.KEY, hello)
        self._post(device, [Send(Kind.KEY, self._sessions[device].hello)])
        if device == self.gateway:
            for agent in self._agents:
                if self._world.links.reaches(agent):
                    self._presence(agent, online=True)
        else:
            self._presence(device, online=True)

    def _cut_off(self, device: str) -> None:
        if device == self.gateway:  # it sees at once that its connection is lost
            self._machine.online.clear()

    def _notice(self, device: str) -> None:
        if device != self.gateway and not self._world.links.reaches(device):
            self._presence(device, online=False)

    def _presence(self, agent: str, *, online: bool) -> None:
        """Tell the gateway; the broker keeps presences, so that none is lost while it is linked."""
        if self._world.links.reaches(self.gateway):
            now = self._world.clock.now
            self._act(self._machine.presence(agent, online=online, now=now))

    def _post(self, sender: str, sends: list[Send]) -> None:
        for send in sends:
            if send.kind is Kind.KEY:
                if not self._world.links.reaches(sender):
                    continue
                self._hellos[sender] = bytes(send.payload)
                targets = [device for device in self.devices if device != sender]
            elif send.receiver is not None:
                targets = [send.receiver]
            else:
                targets = list(self._agents) if sender == self.gateway else [self.gateway]
            for target in targets:
                self._carry(sender, target, send.kind, send.payload)

    def _carry(self, sender: str, target: str, kind: Kind, payload: Payload) -> None:
        arrive = partial(self._deliver, sender, target, kind, payload)
        self._world.links.send(sender, target, len(payload), arrive)

    def _deliver(self, sender: str, target: str, kind: Kind, payload: Payload) -> None:
        now, costs = self._world.clock.now, self._world.costs
        try:
            if target == self.gateway:
                with costs.of("gateways' rounds"):
                    step = self._machine.handle(kind, sender, payload, now)
                self._act(step)
            else:
                agent = self._agents[target]
                with costs.of("agents"):
                    sends = agent.handle(kind, sender, payload, now)
                self._post(target, sends)
                if agent.deadline is not None:
                    self._world.clock.at(agent.deadline, partial(self._expire, target))
        except ProtocolError:
            return  # late, repeated, or of a former session: refused, as it would be over MQTT

    def _expire(self, agent: str) -> None:
        self._post(agent, self._agents[agent].expire(self._world.clock.now))

    # -- rounds ----------------------------------------------------------------------------------

    def _window(self, agent: str, announce: Announce) -> Window:
        """Give the rows that an agent read for a round."""
        size, at = self._world.terms.windows, self._place[agent]
        rows = slice((announce.round_id - 1) * size, announce.round_id * size)
        return Window(self._rows.observed[at, rows], self._rows.votes[at, rows])

    def _turn(self) -> None:
        """Open a round that is due, or end one whose time is over."""
        now, machine = self._world.clock.now, self._machine
        if self.finished:
            return
        if not isinstance(machine.state, Waiting):
            self._act(machine.expire(now))
        elif self._round >= self._target or now > self._give_up_at:
            self.finished = True
            self.found.given_up = self._round < self._target
            self._commit()
        elif now >= self._due and self._world.links.reaches(self.gateway) and machine.ready:
            self._round, self._due = self._round + 1, now + self._world.every_s
            try:
                with self._world.costs.of("gateways' rounds"):
                    step = machine.start(self._round, now)
            except ProtocolError as error:  # somebody has just been suspended
                self.found.reasons[str(error)] += 1
                self._world.clock.after(ASK_AGAIN_S, self._turn)
            else:
                self._act(step)
        else:
            self._world.clock.at(max(self._due, now + ASK_AGAIN_S), self._turn)

    def _act(self, step: Step) -> None:
        self._post(self.gateway, step.send)
        if step.outcome is not None:
            self._end(step.outcome)
            self._world.clock.at(self._due, self._turn)
        deadline = self._machine.deadline
        if deadline is not None and deadline != self._planned:
            self._planned = deadline
            self._world.clock.at(deadline, self._turn)

    def _end(self, outcome: Outcome) -> None:
        match outcome:
            case Failed(reason=reason):
                self.found.reasons[reason] += 1
            case Completed(sums=sums, included=included, milliseconds=passed):
                self.found.completed += 1
                self.found.seconds.append(passed / 1000)
                self._check(outcome)
                with self._world.costs.of("learning"):
                    self._learn(sums, len(included))
                self._commit()

    def _check(self, outcome: Completed) -> None:
        """Compare each opened sum with that of the recordings."""
        schema, size = self._world.terms.schema, self._world.terms.windows
        rows = slice((outcome.round_id - 1) * size, outcome.round_id * size)
        at = [self._place[self._names[number]] for number in sorted(outcome.included)]
        given = [
            schema.contribution(Window(self._rows.observed[n, rows], self._rows.votes[n, rows]))
            for n in at
        ]
        values = np.array([one.values for one in given])
        true, count = np.where(values >= 0, values, 0).sum(axis=0), (values >= 0).sum(axis=0)
        found = outcome.sums.reshape(size, schema.length).astype(np.int64)
        width = 2 * len(schema.channels)
        opened = found[:, 1:width:2] > 0
        wrong = (found[:, 0:width:2] != true) | (found[:, 1:width:2] != count)
        self.found.wrong_sums += int((wrong & opened).sum())

    # -- learning --------------------------------------------------------------------------------

    def _learn(self, sums: NDArray[np.uint32], agents: int) -> None:
        terms = self._world.terms
        for sample in terms.schema.samples(sums, agents, terms.minimum):
            x = self._scaler.sample(sample)
            if np.isnan(x).all():
                continue
            outcome = self.model.step(x, None if sample.label == NO_LABEL else sample.label)
            if outcome.label is not None:
                self.found.samples += 1
                self.found.right += bool(outcome.right)
                self.found.own_right += bool(outcome.own_right)

    def _commit(self) -> None:
        """Commit what the test says, or all that the chain lacks once there are no more rounds."""
        candidate = self.model.leftover() if self.finished else self.model.candidate()
        if candidate is None:
            return
        if self._world.ledger.submit(self.gateway, candidate):
            self.found.commits += 1
        else:
            self.model.commits.rejected()

    def _told(self, owner: str, codebook: Codebook, version: int) -> None:
        with self._world.costs.of("others' codebooks"):
            if owner == self.gateway:
                self.model.commits.accepted(codebook, version)
                if self.finished:
                    self._commit()
            else:
                self.model.union.set(owner, codebook)

    def right_share(self, values: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
        """Answer rows that this site has not seen; returns the share of right answers."""
        scaled = self._scaler.scale(values)
        answers = [self.model.answer(row).label for row in scaled]
        return float(np.mean([a == b for a, b in zip(answers, labels.tolist(), strict=True)]))


def _roster(
    site: str, gateway: str, agents: list[str], identities: dict[str, Identity], terms: Terms
) -> Roster:
    channels = tuple(channel.name for channel in terms.schema.channels)
    fleet = Identity.generate()
    keys = {name: one.public_key.hex() for name, one in identities.items()}
    members = tuple(Member(name, keys[name], channels, True) for name in agents)
    signed = sign_roster(site, Member(gateway, keys[gateway]), members, fleet)
    return Roster.parse(signed, fleet.public_key)
