"""A gateway's rounds over MQTT: when to open one, and what comes out of it.

It owns the link, the session and the round machine of `protoledger.protocol.rounds.gateway`; the
service feeds it events and gets outcomes. Rounds follow each other every `every_s` seconds, or at
once; with fewer agents than a quorum none is opened, for it could only fail.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.training.store import Store
from protoledger.protocol.errors import ContradictionError, LateError, ProtocolError
from protoledger.protocol.rounds.gateway import Completed, GatewayRounds, Idle, Outcome, Step
from protoledger.protocol.wire import topics
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.sealing import Session
from protoledger.runtime.home_assistant import Entity, discovery, health_topic, state
from protoledger.runtime.identity_files import load_identity
from protoledger.runtime.mqtt.client import (
    LONGEST_RETRY_S,
    Arrived,
    Link,
    LinkDown,
    LinkEvent,
    LinkUp,
    Refused,
)
from protoledger.runtime.site import SiteConfig

log = logging.getLogger(__name__)

ENTITIES = (
    Entity("prediction", "Prediction", icon="mdi:head-lightbulb", diagnostic=False),
    Entity("label_wanted", "Label wanted", icon="mdi:account-question", diagnostic=False),
    Entity("rounds", "Rounds completed"),
    Entity("failed", "Rounds failed"),
    Entity("agents", "Agents here", icon="mdi:access-point"),
)


class Rounds:
    """Opens rounds and turns the link's events into their outcomes.

    Args:
        config: the gateway's file.
        site: the site's file.
        roster: who is here.
        store: keeps the last round's number.

    Raises:
        ConfigurationError: if the files do not fit together.
    """

    def __init__(
        self,
        config: GatewayConfig,
        site: SiteConfig,
        roster: Roster,
        store: Store,
    ) -> None:
        self.terms = site.terms(roster)
        self.refused: Counter[str] = Counter()
        self._most = config.rounds
        self._patience_s = config.wait_for_agents_s
        self._id = config.id
        self._site = site
        self._store = store
        identity = roster.check_owner(config.id, load_identity(config.identity_file))
        self._session = Session(config.id, identity, roster)
        self._machine = GatewayRounds(self._session, self.terms)
        self._presence = topics.topic(site.site, None, config.id)
        self.link = Link(
            client_id=config.id,
            broker=site.broker,
            credentials=config.credentials,
            subscriptions=topics.gateway_subscriptions(site.site),
            will=(self._presence, topics.OFFLINE),
        )
        self._discovery = []
        if (assistant := config.home_assistant) is not None:
            self._discovery = discovery(assistant, site.site, config.id, "gateway", ENTITIES)
        self._connected = False
        self._started = False
        self._patience_over = 0.0
        self._told_waiting = False
        self._due = 0.0
        self._expected = frozenset(range(self.terms.plan.agents))
        self._catching_up = 0
        self._was_away = True

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._connected

    @property
    def agents_here(self) -> int:
        """How many agents could take part now."""
        return len(self._machine.reachable)

    @property
    def idle(self) -> bool:
        """Whether no round is under way."""
        return isinstance(self._machine.state, Idle)

    @property
    def finished(self) -> bool:
        """Whether the last round that was asked for has ended."""
        return self._most is not None and self._store.last_round >= self._most and self.idle

    def tell(self, values: Mapping[str, object]) -> None:
        """Publish what Home Assistant shows."""
        self.link.publish(health_topic(self._site.site, self._id), state(values), expiry_s=None)

    def deadline(self) -> float | None:
        """When `advance` is due, monotonic; None if only an event can change anything."""
        if not self.idle:
            return self._machine.deadline
        if not self._connected or self.finished or not self._enough(all_of_them=False):
            return None
        if self._started or self._enough(all_of_them=True):
            return 0.0 if self._catching_up else self._due
        return self._patience_over

    def handle(self, event: LinkEvent, now: float) -> Outcome | None:
        """Take one event of the link."""
        match event:
            case LinkUp():
                self._connected = self._was_away = True
                if not self._started:
                    self._patience_over = now + self._patience_s
                key_topic = topics.topic(self._site.site, Kind.KEY, self._id)
                self.link.publish(key_topic, self._session.hello(), expiry_s=None)
                self.link.publish(self._presence, topics.ONLINE, expiry_s=None)
                for topic, content in self._discovery:
                    self.link.publish(topic, content, expiry_s=None)
                log.info("connected to the broker")
            case LinkDown(reason=reason):
                self._connected = False
                if self._started and self._site.round.every_s:
                    # who was here comes back, and has kept what it read meanwhile
                    self._started, self._expected = False, self._machine.reachable
                    self._patience_s = max(self._patience_s, 1.5 * LONGEST_RETRY_S)
                # the next connection tells anew who is there
                self._machine.online.clear()
                log.warning("not connected to the broker: %s", reason)
            case Refused(what=what, reason=reason):
                log.error("the broker refuses the %s: %s; check its access list", what, reason)
            case Arrived(topic=topic, payload=payload):
                return self._take(topic, payload, now)
        return None

    def advance(self, now: float) -> Outcome | None:
        """End a round whose time is over, or open the next if it is due."""
        if not self.idle:
            return self._act(self._machine.expire(now))
        if not self._connected or self.finished:
            return None
        if now < self._due and not self._catching_up:
            return None
        all_of_them = not self._started and now < self._patience_over
        if not self._enough(all_of_them=all_of_them):
            if not self._told_waiting:
                here, agents = len(self._machine.reachable), self.terms.plan.agents
                log.info("waiting: %d of %d agents are here", here, agents)
            self._told_waiting = True
            return None
        self._told_waiting = False
        self._open(now)
        return None

    def _enough(self, *, all_of_them: bool) -> bool:
        if all_of_them:
            return self._machine.ready and self._expected <= self._machine.reachable
        return self._machine.ready

    def _open(self, now: float) -> None:
        round_id = self._store.last_round + 1
        self._store.begin_round(round_id)
        self._started = True
        if self._catching_up:
            self._catching_up -= 1
        else:
            self._due = now + self._site.round.every_s
        self._act(Step(self._machine.start(round_id, now)))

    def _take(self, topic: str, payload: bytes, now: float) -> Outcome | None:
        try:
            address = topics.parse(topic)
            if address.kind is None:
                online = payload == topics.ONLINE
                return self._act(self._machine.presence(address.sender, online=online, now=now))
            if not payload or (address.kind is Kind.KEY and address.sender == self._id):
                return None  # a cleared retained message, or our own
            return self._act(self._machine.handle(address.kind, address.sender, payload, now))
        except LateError:
            self.refused["LateError"] += 1  # normal: a quorum does not wait for the slowest
            return None
        except ProtocolError as error:
            self._count_refused(error)
            return None

    def _count_refused(self, error: ProtocolError) -> None:
        name = type(error).__name__
        self.refused[name] += 1
        if isinstance(error, ContradictionError):
            log.error("%s", error)  # about a sum that has been handed on: each is worth a look
        elif self.refused[name] in {1, 10, 100} or self.refused[name] % 1000 == 0:
            log.warning("%s (%d so far)", error, self.refused[name])

    def _act(self, step: Step) -> Outcome | None:
        for message in step.send:
            target = topics.topic(self._site.site, message.kind, self._id)
            # a session key is kept by the broker for who comes later
            expiry_s = None if message.kind is Kind.KEY else self.terms.round_s
            self.link.publish(target, message.payload, expiry_s=expiry_s)
        if step.outcome is not None:
            self._catch_up(step.outcome)
        return step.outcome

    def _catch_up(self, outcome: Outcome) -> None:
        """After an outage, ask for what agents kept meanwhile, until nothing comes any more.

        Rounds that follow each other at once are what agents recognise it by
        (`protoledger.edge.readings.backlog`).
        """
        if not isinstance(outcome, Completed) or not self._site.round.every_s:
            self._catching_up = 0
        elif self._was_away:
            self._was_away = False
            self._catching_up = self._site.round.catch_up
        elif not outcome.sums.any():
            self._catching_up = 0
