"""A gateway's metrics for Prometheus; off unless an address is configured.

docs/edge.md lists their names. Rounds are counted as they end; all other values come from the last
snapshot when Prometheus scrapes.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from protoledger.gateway.config import MetricsConfig
from protoledger.gateway.operations.health import Snapshot
from protoledger.protocol.errors import ConfigurationError, ProtocolError
from protoledger.protocol.rounds.states import Completed, Outcome

BUCKETS_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_REASONS = {
    "agents shared": "too_few_agents",
    "proven": "unproven",
    "contradict": "contradiction",
    "holders": "too_few_answers",
}


def _kinds(base: type[ProtocolError]) -> list[str]:
    return [name for kind in base.__subclasses__() for name in (kind.__name__, *_kinds(kind))]


_KINDS = sorted({*_kinds(ProtocolError)} - {ConfigurationError.__name__})
"""Why a message may be refused: all are shown from the start, as a rate needs one."""


class Metrics(Collector):
    """Serves the metrics over HTTP in its own thread.

    Args:
        config: the address to listen on.

    Raises:
        ConfigurationError: if the address cannot be listened on.
    """

    def __init__(self, config: MetricsConfig) -> None:
        self.snapshot = Snapshot()
        registry = CollectorRegistry()
        self._rounds = Counter(
            "protoledger_rounds", "Rounds that ended.", ["result"], registry=registry
        )
        self._seconds = Histogram(
            "protoledger_round_seconds",
            "Time from announce to the end of a round.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        for result in ("completed", *_REASONS.values(), "other"):
            self._rounds.labels(result)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(
                config.port, config.host, registry=registry
            )
        except OSError as error:
            raise ConfigurationError(
                f"metrics: cannot listen on {config.host}:{config.port}: {error.strerror}; "
                f"choose another port, or stop the program that uses it"
            ) from error

    @property
    def port(self) -> int:
        """The TCP port on which the server listens."""
        return int(self._server.server_port)

    def count(self, outcome: Outcome) -> None:
        """Count a round that has ended."""
        self._seconds.observe(outcome.milliseconds / 1000)
        result = "completed"
        if not isinstance(outcome, Completed):
            found = (name for word, name in _REASONS.items() if word in outcome.reason)
            result = next(found, "other")
        self._rounds.labels(result).inc()

    def collect(self) -> Iterable[Metric]:
        """Yield the snapshot's metrics; the server's thread calls this."""
        now = self.snapshot
        for name, value in now.totals.items():
            yield CounterMetricFamily(f"protoledger_{name}", name.replace("_", " "), value)
        for name, value in now.values.items():
            yield GaugeMetricFamily(f"protoledger_{name}", name.replace("_", " "), value)
        refused = CounterMetricFamily(
            "protoledger_refused_messages", "Messages refused since the start.", labels=["kind"]
        )
        for kind, count in (dict.fromkeys(_KINDS, 0) | dict(now.refused)).items():
            refused.add_metric([kind], count)
        yield refused
        for name, agents in now.named.items():
            family = GaugeMetricFamily(
                f"protoledger_{name}", name.replace("_", " "), labels=["agent"]
            )
            for agent in sorted(agents):
                family.add_metric([agent], agents[agent])
            yield family

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(1.0)
