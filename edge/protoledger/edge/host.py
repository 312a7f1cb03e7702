"""The main loop of an agent process: one thread serves any number of agents."""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import FrameType

from protoledger.edge.agent import Agent
from protoledger.edge.shutdown import ShutdownGuard
from protoledger.protocol.wire import topics
from protoledger.runtime.exits import on_reload, on_stop
from protoledger.runtime.mqtt.loop import LinkLoop
from protoledger.runtime.systemd import Notifier

FAREWELL_S = 0.6
"""How long the last messages may take to reach the broker at the end."""


class _Order(Enum):
    """What other threads and signal handlers ask the loop to do."""

    STOP = 1
    RELOAD = 2


class AgentHost:
    """Runs agents until `stop`.

    Args:
        agents: the agents, with their sensors open; the host closes them.
        notifier: reports to systemd.
        reload: reads the agents' files again, at SIGHUP.
    """

    def __init__(
        self,
        agents: Iterable[Agent],
        notifier: Notifier | None = None,
        reload: Callable[[Mapping[str, Agent]], None] | None = None,
    ) -> None:
        self.agents = {agent.id: agent for agent in agents}
        self._links: LinkLoop[_Order] = LinkLoop([agent.link for agent in self.agents.values()])
        self._reload = reload
        self._notifier = notifier or Notifier()

    def stop(self, *_signal: int | FrameType | None) -> None:
        """Make `run` return; callable from a signal handler or another thread."""
        self._links.post(_Order.STOP)

    def read_again(self, *_signal: int | FrameType | None) -> None:
        """Make the loop read the agents' files again; callable like `stop`."""
        self._links.post(_Order.RELOAD)

    def run(self) -> None:
        """Connect all agents and serve them until `stop`."""
        if threading.current_thread() is threading.main_thread():
            with ShutdownGuard(self._release):
                on_stop(self.stop)
                if self._reload is not None:
                    on_reload(self.read_again, self.stop)
                self._run()
        else:
            self._run()

    def _run(self) -> None:
        with self._links:
            try:
                self._notifier.ready(self._status())
                self._serve()
                self._notifier.stopping()
                self._links.farewell(topics.OFFLINE, FAREWELL_S)
            finally:
                self._release()

    def _release(self) -> None:
        for agent in self.agents.values():
            agent.close()

    def _serve(self) -> None:
        due = {name: agent.due for name, agent in self.agents.items()}
        while True:
            changed: set[str] = set()
            for event in self._links.wait(self._patience(min(due.values(), default=math.inf))):
                if event is _Order.STOP:
                    return
                if event is _Order.RELOAD:
                    if self._reload is not None:
                        self._reload(self.agents)
                    changed.update(self.agents)
                    continue
                self.agents[event.client].handle(event, time.monotonic())
                self._links.flush()  # the gateway works on this while the next agent does
                changed.add(event.client)
            now = time.monotonic()
            for name in [name for name, at in due.items() if at <= now]:
                self.agents[name].tend(now)
                changed.add(name)
            # only of those that something happened to: a process may have a thousand agents
            due.update({name: self.agents[name].due for name in changed})
            self._notify(now)

    def _notify(self, now: float) -> None:
        """Report the status to systemd; pet the watchdog only if all sensors are being read."""
        due = self._notifier.due
        if due is None or due > now:
            return
        self._notifier.status(self._status())
        if all(agent.healthy(now) for agent in self.agents.values()):
            self._notifier.pet()

    def _status(self) -> str:
        if len(self.agents) == 1:
            return next(iter(self.agents.values())).status
        return f"{len(self.agents)} agents"

    def _patience(self, due: float) -> float | None:
        if self._notifier.due is not None:
            due = min(due, self._notifier.due)
        return None if due == math.inf else max(0.0, due - time.monotonic())
