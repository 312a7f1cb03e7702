"""A gateway's rounds over MQTT: when to open one, and what comes out of it.

It owns the link, the session and the round machine of `protoledger.protocol.rounds.gateway`; the
service feeds it events and gets outcomes. Rounds follow each other every `every_s` seconds, or at
once; with fewer agents than a quorum none is opened, for it could only fail.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from functools import partial

from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.training.store import Store
from protoledger.protocol.errors import FloodError, LateError, ProtocolError
from protoledger.protocol.rounds.gateway import GatewayRounds
from protoledger.protocol.rounds.states import Completed, Outcome, Step, Waiting
from protoledger.protocol.wire import topics
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.messages import Kept, Kind
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
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
from protoledger.runtime.mqtt.flood import FloodGuard, FloodLimits
from protoledger.runtime.mqtt.home_assistant import (
    Entity,
    HomeAssistantConfig,
    discovery,
    health_topic,
    state,
)
from protoledger.runtime.site import RoundConfig, SiteConfig

log = logging.getLogger(__name__)

RENEW_EVERY_S = 86_400.0
FLOOD_MESSAGES = 500
FLOOD_ROUNDS = 64
LEAST_FLOOD_BYTES = 2**20
"""More messages, and more rounds' bytes, than an honest agent sends in a second."""

ENTITIES = (
    Entity("prediction", "Prediction", "", "mdi:head-lightbulb", diagnostic=False, state_class=""),
    Entity("confidence", "Confidence", "%", "mdi:percent", False, "measurement"),
    Entity("label_wanted", "Label wanted", "", "mdi:account-question", False, ""),
    Entity("rounds", "Rounds completed"),
    Entity("failed", "Rounds failed"),
    Entity("agents", "Agents here", icon="mdi:access-point", state_class="measurement"),
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
        self._tells_presence = config.metrics is not None and config.metrics.agents
        self._id = config.id
        self._site = site
        self._store = store
        identity = roster.check_owner(config.id, load_identity(config.identity_file))
        self._session = Session(config.id, identity, roster)
        self._machine = GatewayRounds(self._session, self.terms, store.centre)
        self._presence = topics.topic(site.site, None, config.id)
        self.link = Link(
            client_id=config.id,
            broker=site.broker,
            credentials=config.credentials,
            subscriptions=topics.gateway_subscriptions(
                site.site, [agent.id for agent in roster.agents]
            ),
            will=(self._presence, topics.OFFLINE),
        )
        self._connected = False
        self._discovery: list[tuple[str, bytes]] = []
        self.introduce(config.home_assistant)
        self._started = False
        self._told_down: set[str] = set()
        self._patience_over = 0.0
        self._told_waiting = False
        self._due = 0.0
        self._expected = frozenset(range(self.terms.plan.agents))
        self._names = [agent.id for agent in roster.agents]
        self._told_excluded: frozenset[int] = frozenset()
        size = max(LEAST_FLOOD_BYTES, FLOOD_ROUNDS * self.terms.message_bytes)
        self._flood = FloodGuard(
            self.link, partial(topics.agent_topics, site.site), FloodLimits(FLOOD_MESSAGES, size)
        )
        self._catch_up = CatchUp(self.terms, site.round)
        self._renewed_at: float | None = None
        self._late: frozenset[int] = frozenset()

    def introduce(self, assistant: HomeAssistantConfig | None) -> None:
        """Tell Home Assistant of this gateway, or, for None, that it was removed."""
        self._discovery = [(topic, b"") for topic, content in self._discovery if content]
        if assistant is not None:
            self._discovery += discovery(assistant, self._site.site, self._id, "gateway", ENTITIES)
        if self._connected:
            self._publish_discovery()

    def _publish_discovery(self) -> None:
        for topic, content in self._discovery:
            self.link.publish(topic, content, expiry_s=None)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the broker."""
        return self._connected

    @property
    def agents_here(self) -> int:
        """How many agents could take part now."""
        return len(self._machine.reachable)

    @property
    def excluded(self) -> frozenset[int]:
        """Numbers of the agents that are proven to lie."""
        return frozenset(self._machine.blame.excluded)

    @property
    def excluded_names(self) -> tuple[str, ...]:
        """Who is proven to lie."""
        return tuple(self._names[number] for number in sorted(self.excluded))

    @property
    def flooding(self) -> frozenset[str]:
        """Who is not read for now, as it floods the broker."""
        return self._flood.quiet

    @property
    def named(self) -> dict[str, dict[str, bool]]:
        """Whether something is the matter with each agent, by what it is, for metrics."""
        found = {"agent_excluded": set(self.excluded_names), "agent_flooding": self.flooding}
        if self._tells_presence:
            found["agent_here"] = {self._names[number] for number in self._machine.reachable}
        return {
            state: {name: name in those for name in self._names} for state, those in found.items()
        }

    @property
    def members(self) -> dict[str, str]:
        """How each agent of the roster is, in a word."""
        here, excluded = self._machine.reachable, self.excluded
        suspended = self._machine.blame.suspended(self._store.last_round + 1)
        words = {}
        for number, name in enumerate(self._names):
            if number in excluded:
                words[name] = "excluded"
            elif name in self._flood.quiet:
                words[name] = "flooding"
            elif number in suspended and number not in here:
                words[name] = "suspended"
            elif number not in here:
                words[name] = "missing"
            else:
                words[name] = "late" if number in self._late else "here"
        return words

    @property
    def unseated(self) -> frozenset[int]:
        """Numbers of the agents that hold no position for now."""
        return frozenset(self._machine.blame.unseated(self._store.last_round + 1))

    @property
    def idle(self) -> bool:
        """Whether no round is under way."""
        return isinstance(self._machine.state, Waiting)

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
            return 0.0 if self._catch_up.asks else self._due
        return self._patience_over

    def handle(self, event: LinkEvent, now: float) -> Outcome | None:
        """Take one event of the link."""
        match event:
            case LinkUp():
                self._connected = True
                self._told_down.clear()
                if not self._started:
                    self._patience_over = now + self._patience_s
                key_topic = topics.topic(self._site.site, Kind.KEY, self._id)
                self.link.publish(key_topic, self._session.hello, expiry_s=None)
                self.link.publish(self._presence, topics.ONLINE, expiry_s=None)
                self._publish_discovery()
                log.info("connected to the broker")
            case LinkDown(reason=reason):
                self._connected = False
                if self._started and self._site.round.every_s:
                    # agents that were present reconnect, and have kept what they read meanwhile
                    self._started, self._expected = False, self._machine.reachable
                    self._patience_s = max(self._patience_s, 1.5 * LONGEST_RETRY_S)
                # the next connection tells again who is there
                self._machine.online.clear()
                if reason not in self._told_down:  # a change of state, not each attempt
                    log.warning("not connected to the broker: %s", reason)
                self._told_down.add(reason)
            case Refused(what=what, reason=reason):
                log.error("the broker refuses the %s: %s; check its access list", what, reason)
            case Arrived(topic=topic, payload=payload):
                return self._take(topic, payload, now)
        return None

    def advance(self, now: float) -> Outcome | None:
        """End a round whose time is over, or open the next if it is due."""
        if not self.idle:
            return self._act(self._machine.expire(now))
        self._flood.forgive(now)
        if not self._connected or self.finished:
            return None
        if now < self._due and not self._catch_up.asks:
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
        self._renew(now)
        kept = self._catch_up.take()
        if kept is None:
            self._due = now + self._site.round.every_s
        try:
            self._act(self._machine.start(round_id, now, kept))
        except ProtocolError as error:  # somebody has just been suspended: too few are left
            self._count_refused(error)

    def _renew(self, now: float) -> None:
        """Make another key a day, so that what leaks of one opens no more than a day."""
        if self._renewed_at is None:
            self._renewed_at = now
        if now - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = now
            self._session.renew()
            key_topic = topics.topic(self._site.site, Kind.KEY, self._id)
            self.link.publish(key_topic, self._session.hello, expiry_s=None)

    def _take(self, topic: str, payload: bytes, now: float) -> Outcome | None:
        try:
            address = topics.parse(topic)
            if self._flood.count(address.sender, len(payload), now):
                return self._leave_out(address.sender, now)
            if address.kind is None:
                online = payload == topics.ONLINE
                return self._act(self._machine.presence(address.sender, online=online, now=now))
            if not payload or (address.kind is Kind.KEY and address.sender == self._id):
                return None  # a cleared retained message, or our own
            return self._act(self._machine.handle(address.kind, address.sender, payload, now))
        except LateError:
            self.refused["LateError"] += 1  # normal: a quorum does not wait for the slowest
        except FloodError as error:
            self._count_refused(error)
            if self._flood.count(error.sender, len(payload), now):
                return self._leave_out(error.sender, now)
        except ProtocolError as error:
            self._count_refused(error)
        return None

    def _leave_out(self, sender: str, now: float) -> Outcome | None:
        """Wait no more for an agent that is not read, until its presence is."""
        return self._act(self._machine.presence(sender, online=False, now=now))

    def _count_refused(self, error: ProtocolError) -> None:
        name = type(error).__name__
        self.refused[name] += 1
        if self.refused[name] in {1, 10, 100} or self.refused[name] % 1000 == 0:
            log.warning("%s (%d so far)", error, self.refused[name])

    def _act(self, step: Step) -> Outcome | None:
        for message in step.send:
            target = topics.topic(self._site.site, message.kind, self._id, message.receiver)
            # a session key is kept by the broker for who comes later
            expiry_s = None if message.kind is Kind.KEY else self.terms.round_s
            self.link.publish(target, message.payload, expiry_s=expiry_s)
        if step.outcome is not None:
            if isinstance(step.outcome, Completed):
                self._late = self._machine.reachable - step.outcome.included
                self._store.keep_centre(self._machine.centre)
            self._catch_up.ended(step.outcome, self._machine.kept)
            self._tell_excluded()
        return step.outcome

    def _tell_excluded(self) -> None:
        if self.excluded != self._told_excluded:
            log.error(
                "%s excluded: what they shared or reported contradicts more agents than may lie, "
                "or they added wrongly; look at their software, then restart this gateway",
                " and ".join(self.excluded_names),
            )
            self._told_excluded = self.excluded


PASSES = 2
"""How often the windows of one outage are asked for."""


class CatchUp:
    """Which rounds ask for windows that agents kept of an outage.

    Args:
        terms: of the site.
        config: how rounds follow each other.
    """

    def __init__(self, terms: Terms, config: RoundConfig) -> None:
        self._terms = terms
        self._most = config.catch_up if config.every_s else 0
        self._next: Kept | None = None
        self._last = 0
        self._anchor, self._passes = 0, 0

    @property
    def asks(self) -> bool:
        """Whether the next round is for windows of an outage."""
        return self._next is not None

    def take(self) -> Kept | None:
        """Return what the next round asks for; None: live windows."""
        now, self._next = self._next, None
        return now

    def ended(self, outcome: Outcome, kept: Mapping[int, Kept]) -> None:
        """Take what the agents of a round said that they keep, and decide on the next one.

        At least as many as a sum takes must have kept windows of the same outage; as many windows
        are asked for as so many of them have. What they still keep afterwards, as they missed the
        rounds that asked for it, is asked for once more, and then left with them.
        """
        minimum, windows = self._terms.minimum, self._terms.windows
        done = outcome.kept
        if done is None:
            anchors = Counter(one.anchor for one in kept.values())
            anchor, count = anchors.most_common(1)[0] if anchors else (0, 0)
            if count < minimum or not self._most:
                return
            self._passes = self._passes + 1 if anchor == self._anchor else 1
            self._anchor = anchor
            if self._passes > PASSES:
                return
            numbers = sorted((k.number for k in kept.values() if k.anchor == anchor), reverse=True)
            self._last = min(-(-numbers[minimum - 1] // windows), self._most)
            self._next = Kept(anchor, 1)
        elif done.number < self._last:
            self._next = Kept(done.anchor, done.number + 1)
