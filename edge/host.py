"""The loop of an agent process: one queue, one thread that decides, any number of agents."""

import logging
import queue
import signal
import time
from collections.abc import Callable, Iterable
from types import FrameType

from edge.agent import Agent
from protocol.link import LinkEvent

log = logging.getLogger(__name__)


class AgentHost:
    """Runs agents until it is told to stop.

    Args:
        build: makes the agents; is given the function that takes their links' events.
    """

    def __init__(self, build: Callable[[Callable[[LinkEvent], None]], Iterable[Agent]]) -> None:
        self._events: queue.SimpleQueue[LinkEvent | None] = queue.SimpleQueue()
        self.agents = {agent.id: agent for agent in build(self._events.put)}

    def stop(self, *_signal: int | FrameType | None) -> None:
        """Make `run` return; callable from a signal handler or another thread."""
        self._events.put(None)

    def run(self) -> None:
        """Connect all agents and serve them until `stop`."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)
        try:
            for agent in self.agents.values():
                agent.link.start()
            self._serve()
        finally:
            for agent in self.agents.values():
                agent.close()

    def _serve(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=self._patience())
            except queue.Empty:
                pass
            else:
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
