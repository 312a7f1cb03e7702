"""One agent: it joins the sensors' windows, the protocol's rounds and the connection to the broker.

An agent has no thread. `protoledger.edge.host.AgentHost` calls it with events and passed deadlines.
`protoledger.protocol.rounds.agent` decides which messages are accepted and what is answered; this
module hands it the messages and publishes its answers.
"""

import collections
import json
import logging
import math
import os
import time
from collections.abc import Callable

from protoledger.edge.config import AgentConfig
from protoledger.edge.metrics import MetricsFile
from protoledger.edge.readings.budget import PrivacyBudget
from protoledger.edge.readings.windows import WindowsOpener, open_windows
from protoledger.edge.reload import refusals, tunings
from protoledger.edge.status import AgentStatus, StatusFile
from protoledger.protocol.errors import EquivocationError, LateError, ProtocolError
from protoledger.protocol.rounds.agent import AgentRounds
from protoledger.protocol.rounds.states import Idle, Send
from protoledger.protocol.wire import topics
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.identity_files import load_identity, load_roster
from protoledger.runtime.mqtt.client import Arrived, Link, LinkDown, LinkEvent, LinkUp, Refused
from protoledger.runtime.mqtt.flood import FloodGuard, FloodLimits
from protoledger.runtime.mqtt.home_assistant import (
    Entity,
    HomeAssistantConfig,
    discovery,
    health_topic,
    state,
)
from protoledger.runtime.site import SiteConfig, load

log = logging.getLogger(__name__)

_NOW = "measurement"
ENTITIES = (
    Entity("round_age", "Age of the last round", "s", "mdi:timer-outline", state_class=_NOW),
    Entity("rounds", "Rounds taken part in"),
    Entity("sensors_ok", "Sensors that answer", icon="mdi:check-circle-outline", state_class=_NOW),
    Entity(
        "sensors_failed",
        "Sensors that do not answer",
        icon="mdi:alert-circle-outline",
        state_class=_NOW,
    ),
)

HELLO_FLOOD = FloodLimits(messages=50, size=2**16)
"""An agent says hello when it connects and after a lost round."""

Outgoing = Callable[[list[Send]], list[Send]]


class Agent:
    """An agent, from its configuration to its messages.

    Args:
        config: the agent's file.
        outgoing: receives the messages that are about to be sent and returns those to send; the
            emulator drops messages here.
        opener: opens the sensors; benchmarks and `--mock` pass one that opens simulated sensors.

    Raises:
        ConfigurationError: if the agent's file, the site file and the roster do not fit together.
        SensorError: if a sensor is misconfigured.
    """

    def __init__(
        self,
        config: AgentConfig,
        outgoing: Outgoing = lambda messages: messages,
        opener: WindowsOpener = open_windows,
    ) -> None:
        site = load(config.site_file, SiteConfig)
        roster = load_roster(config.roster_file, bytes.fromhex(site.fleet_key))
        config.check_against(site, roster)
        terms = site.terms(roster)
        self.id = config.id
        self.answered = 0
        self.refused: collections.Counter[str] = collections.Counter()
        self._site, self._roster, self._config = site, roster, config
        self._outgoing = outgoing
        identity = roster.check_owner(config.id, load_identity(config.identity_file))
        self._session = Session(config.id, identity, roster)
        self._expiry_s = terms.round_s
        self._presence = topics.topic(site.site, None, config.id)
        subscriptions, hellos = _subscriptions(site.site, config.id, roster, terms)
        self.link = Link(
            client_id=config.id,
            broker=site.broker,
            credentials=config.credentials,
            subscriptions=subscriptions,
            will=(self._presence, topics.OFFLINE),
        )
        # the announces carry the hellos of those that are not read
        self._flood = FloodGuard(self.link, lambda _sender: hellos, HELLO_FLOOD)
        self._windows = opener(config, terms.schema, site.round)
        self._budget = _budget(config, terms)
        charges = () if self._budget is None else (self._budget.charge,)
        self._rounds = AgentRounds(
            self._session, terms, self._windows.take, self._windows.kept, *charges
        )
        self._evidence_file = config.identity_file.with_name(f"{config.id}.evidence.json")
        self._connected = self._told_excluded = False
        self._told_down: set[str] = set()
        certificate = config.credentials.certificate_file
        self.files = (
            StatusFile(config.status_file),
            MetricsFile(config.metrics_file, site.site, certificate),
        )
        self._assistant = config.home_assistant
        self._answered_at: float | None = None
        self._health_due = math.inf

    @property
    def status(self) -> str:
        """The agent's state in one line, for `systemctl status`."""
        broker = "connected" if self._connected else "waiting for the broker"
        failing = [state.name for state in self._windows.states() if state.problem]
        sensors = f"; no reading from {', '.join(failing)}" if failing else ""
        last = self._rounds.last_round
        rounds = f"round {last}, {self.answered} answered" if last else "no round yet"
        spent = self._budget is not None and not self._budget.state.rounds_left
        budget = "; its privacy budget is spent" if spent else ""
        return f"{broker}; {rounds}{sensors}{budget}"

    def healthy(self, now: float) -> bool:
        """Whether the sensors are still being read; systemd's watchdog is fed only then."""
        return self._windows.healthy(now)

    @property
    def due(self) -> float:
        """The monotonic time in seconds at which `tend` is due; infinity for never.

        It changes by events, `tend` and `reload` only.
        """
        files = min((at for file in self.files if (at := file.due) is not None), default=math.inf)
        return min(self._rounds.deadline or math.inf, self._health_due, self._flood.due, files)

    def handle(self, event: LinkEvent, now: float) -> None:
        """Handle one event of the connection to the broker."""
        match event:
            case LinkUp():
                self._connected = True
                self._told_down.clear()
                log.info("%s: connected", self.id)
                key_topic = topics.topic(self._site.site, Kind.KEY, self.id)
                self.link.publish(key_topic, self._session.hello, expiry_s=None)
                self.link.publish(self._presence, topics.ONLINE, expiry_s=None)
                if self._assistant is not None:
                    self._introduce(self._assistant)
                    self._health_due = now
            case LinkDown(reason=reason):
                if reason not in self._told_down:  # a change of state, not each attempt
                    log.info("%s: not connected: %s", self.id, reason)
                self._told_down.add(reason)
                self._connected = False
                self._health_due = math.inf
            case Refused(what=what, reason=reason):
                log.error("%s: the broker refuses the %s: %s", self.id, what, reason)
            case Arrived(topic=topic, payload=payload):
                self._take(topic, payload, now)

    def tend(self, now: float) -> None:
        """Act on the deadlines that have passed at `now`, and write the files that are due."""
        self._publish(self._rounds.expire(now))
        self._flood.forgive(now)
        if self._assistant is not None and self._health_due <= now:
            self._health_due = now + self._assistant.every_s
            self.link.publish(
                health_topic(self._site.site, self.id), state(self._health(now)), expiry_s=None
            )
        for file in self.files:
            if (due := file.due) is not None and due <= now:
                file.write(self.report(now))

    def report(self, now: float) -> AgentStatus:
        """Describe the agent's state for its status file; no reading is among it."""
        return AgentStatus(
            id=self.id,
            pid=os.getpid(),
            written_at=now,
            connected=self._connected,
            last_round=self._rounds.last_round,
            answered=self.answered,
            answered_at=self._answered_at or 0.0,
            sensors={state.name: state.problem for state in self._windows.states()},
            privacy=None if self._budget is None else self._budget.state,
        )

    def reload(self, config: AgentConfig, site: SiteConfig, roster: Roster) -> list[str]:
        """Take up the agent's file as it is now, all of it or nothing.

        Returns:
            Why nothing was taken up, one line for each change; empty if all was.
        """
        reasons = refusals(self._config, config, (self._site, site), (self._roster, roster))
        if reasons:
            return reasons
        self._windows.retune(tunings(config))
        if config.home_assistant != self._assistant:
            self._change_assistant(config.home_assistant)
        self._config = config
        return []

    def _change_assistant(self, assistant: HomeAssistantConfig | None) -> None:
        if self._assistant is not None and self._connected:
            for topic, _ in discovery(self._assistant, self._site.site, self.id, "agent", ENTITIES):
                self.link.publish(topic, b"", expiry_s=None)  # removes the entity
        self._assistant, self._health_due = assistant, math.inf
        if assistant is not None and self._connected:
            self._introduce(assistant)
            self._health_due = time.monotonic()

    def change_terms(self, change: Callable[[Terms], Terms]) -> None:
        """Make the agent follow other terms; for agents that lie, in emulations."""
        self._rounds.change_terms(change)

    def close(self) -> None:
        """Release the sensors; idempotent."""
        self._windows.close()

    def _introduce(self, assistant: HomeAssistantConfig) -> None:
        for topic, content in discovery(
            assistant, self._site.site, self.id, "agent", ENTITIES, self._roster.gateway.id
        ):
            self.link.publish(topic, content, expiry_s=None)

    def _health(self, now: float) -> dict[str, object]:
        """Count sensors and rounds for Home Assistant; no reading is among them."""
        failed = sum(bool(slot.problem) for slot in self._windows.states())
        age = None if self._answered_at is None else round(now - self._answered_at, 1)
        return {
            "round_age": age,
            "rounds": self.answered,
            "sensors_ok": len(self._windows.states()) - failed,
            "sensors_failed": failed,
        }

    def _take(self, topic: str, payload: bytes, now: float) -> None:
        try:
            address = topics.parse(topic)
            is_hello = address.kind is Kind.KEY and address.sender != self._roster.gateway.id
            if is_hello and self._flood.count(address.sender, len(payload), now):
                return
            if address.kind is not None and payload:  # an empty retained message is a cleared one
                self._publish(self._rounds.handle(address.kind, address.sender, payload, now))
        except EquivocationError as error:
            self._count_refused(error)
            self._keep_evidence(error)
        except ProtocolError as error:
            self._count_refused(error)
        if self._rounds.excluded and not self._told_excluded:
            log.error(
                "%s: the gateway excludes this agent: what it shares contradicts what more holders "
                "than may lie report, or it adds wrongly; look at its software, then restart the "
                "gateway",
                self.id,
            )
        self._told_excluded = self._rounds.excluded

    def _keep_evidence(self, error: EquivocationError) -> None:
        """Write down, once, what proves that the gateway contradicts itself."""
        if self._evidence_file.exists():
            return
        first, second = (signed.hex() for signed in error.evidence)
        content = json.dumps({"site": self._site.site, "signed": [first, second]})
        try:
            self._evidence_file.write_text(content + "\n", encoding="ascii")
        except OSError as problem:
            log.warning("%s: %s", self._evidence_file, problem)
            return
        log.error(
            "%s: %s; the proof is in %s (`protoledger gateway evidence` checks it)",
            self.id,
            error,
            self._evidence_file,
        )

    def _count_refused(self, error: ProtocolError) -> None:
        name = type(error).__name__
        self.refused[name] += 1
        if isinstance(error, LateError):
            return  # normal: a quorum does not wait for the slowest
        if self.refused[name] in {1, 10, 100} or self.refused[name] % 1000 == 0:
            log.warning("%s: %s (%d so far)", self.id, error, self.refused[name])

    def _publish(self, messages: list[Send]) -> None:
        for message in self._outgoing(messages):
            takes_part = not isinstance(self._rounds.state, Idle)  # else it says what it lacks
            if takes_part and message.kind in {Kind.BOXES, Kind.ANSWER}:
                self._answered_at = time.monotonic()
            self.answered += takes_part and message.kind is Kind.BOXES
            target = topics.topic(self._site.site, message.kind, self.id, message.receiver)
            # the broker retains session keys for devices that connect later
            expiry_s = None if message.kind is Kind.KEY else self._expiry_s
            self.link.publish(target, message.payload, expiry_s=expiry_s)


def _budget(config: AgentConfig, terms: Terms) -> PrivacyBudget | None:
    """Open what the agent keeps of its privacy, where the site has any."""
    if terms.privacy is None or config.privacy is None:
        return None  # without the second the agent's file was refused
    limit = config.privacy.limit(terms.privacy)
    return PrivacyBudget(config.privacy.spent_file, terms.privacy, limit)


def _subscriptions(site: str, me: str, roster: Roster, terms: Terms) -> tuple[list[str], list[str]]:
    """Name what an agent reads, and what of this are other agents' hellos.

    These are everybody's if it may hold a position, else holders'. The gateway's hello has a
    subscription of its own, which stays when the others are left out.
    """
    candidates = [member.id for member in roster.agents[: terms.plan.candidates]]
    holders = None if me in candidates else candidates
    names = topics.agent_subscriptions(site, me, roster.gateway.id, holders)
    gateway = topics.topic(site, Kind.KEY, roster.gateway.id)
    hellos = [one for one in names if topics.is_hello(one) and one != gateway]
    return names, hellos
