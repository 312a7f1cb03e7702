"""The loop of an agent process: one thread, any number of agents."""

import signal
import time
from collections.abc import Iterable
from types import FrameType

from edge.agent import Agent
from protocol import topics
from protocol.links import Links


class AgentHost:
    """Runs agents until it is told to stop.

    Args:
        agents: with their sensors open; the host closes them.
    """

    def __init__(self, agents: Iterable[Agent]) -> None:
        self.agents = {agent.id: agent for agent in agents}
        self._links: Links[None] = Links([agent.link for agent in self.agents.values()])

    def stop(self, *_signal: int | FrameType | None) -> None:
        """Make `run` return; callable from a signal handler or another thread."""
        self._links.post(None)

    def run(self) -> None:
        """Connect all agents and serve them until `stop`."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        with self._links:
            try:
                self._serve()
                self._links.farewell(topics.OFFLINE)
            finally:
                for agent in self.agents.values():
                    agent.close()

    def _serve(self) -> None:
        while True:
            for event in self._links.wait(self._patience()):
                if event is None:
                    return
                self.agents[event.client].handle(event, time.monotonic())
            now = time.monotonic()
            for agent in self.agents.values():
                if agent.deadline is not None and agent.deadline <= now:
                    agent.expire(now)

    def _patience(self) -> float | None:
        due = [agent.deadline for agent in self.agents.values() if agent.deadline is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None
