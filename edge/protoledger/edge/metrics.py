"""How an agent is, for Prometheus: a text file that the host's node exporter hands on.

Off unless the agent's file names one. It has the agent's state, the state of each sensor and the
days that its certificate is valid: never a reading, and nothing that follows from one. A file needs
no port and no server in the agent, and no further rule in the firewall. Its age tells whether the
agent runs (`node_textfile_mtime_seconds`).

Source: https://prometheus.io/docs/instrumenting/exposition_formats/, "Text-based format".
"""

import contextlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from protoledger.edge.status import AgentStatus, StateFile

WRITE_EVERY_S = 15.0
HANGS = "hangs for"
"""How the reason of a sensor begins whose driver does not return."""


def text_of(site: str, status: AgentStatus, certificate_days: float | None) -> str:
    r"""Return the file's content: every series, whatever the state.

    Args:
        site: name of the site.
        status: the agent's.
        certificate_days: that its certificate is valid; None without one.

    >>> sensors = {"co2": "", "light": "hangs for 9 s in its driver"}
    >>> status = AgentStatus("pi-1", 7, 90.0, True, 12, 3, 80.0, sensors)
    >>> print(text_of("attic", status, None).splitlines()[-1])
    protoledger_sensor_hangs{site="attic",agent="pi-1",sensor="light"} 1
    """
    labels = {"site": site, "agent": status.id}
    age = status.written_at - status.answered_at if status.answered_at else math.nan
    values = {
        "agent_connected": float(status.connected),
        "agent_rounds_total": float(status.answered),
        "agent_round_age_seconds": age,
    }
    if certificate_days is not None:
        values["agent_certificate_days_left"] = certificate_days
    if status.privacy is not None:
        values["agent_privacy_epsilon_spent"] = status.privacy.epsilon_spent
        values["agent_privacy_epsilon_budget"] = status.privacy.epsilon_budget
        values["agent_privacy_rounds_left"] = float(status.privacy.rounds_left)
    lines = []
    for name, value in values.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE protoledger_{name} {kind}", _line(name, labels, value)]
    for name, of in (("sensor_up", _answers), ("sensor_hangs", _hangs)):
        lines.append(f"# TYPE protoledger_{name} gauge")
        sensors = status.sensors.items()
        lines += [_line(name, {**labels, "sensor": sensor}, of(why)) for sensor, why in sensors]
    return "\n".join(lines) + "\n"


class MetricsFile(StateFile):
    """Writes the file, every quarter of a minute; everybody may read it.

    Args:
        path: where to; None writes nothing.
        site: name of the site.
        certificate: the agent's, if it has one.
    """

    name = "metrics"
    every_s = WRITE_EVERY_S

    def __init__(self, path: Path | None, site: str, certificate: Path | None) -> None:
        super().__init__(path)
        self._site, self._certificate = site, certificate

    def _put(self, path: Path, status: AgentStatus) -> None:
        from protoledger.runtime.pki.certificates import write_file  # noqa: PLC0415 - see _days_left

        write_file(path, text_of(self._site, status, self._days_left()).encode(), 0o644)

    def _days_left(self) -> float | None:
        if self._certificate is None:
            return None
        from cryptography import x509  # noqa: PLC0415 - megabytes that only metrics need

        from protoledger.runtime.pki.certificates import days_left  # noqa: PLC0415

        with contextlib.suppress(OSError, ValueError):
            return days_left(x509.load_pem_x509_certificate(self._certificate.read_bytes()))
        return math.nan


def _answers(problem: str) -> float:
    return float(not problem)


def _hangs(problem: str) -> float:
    return float(problem.startswith(HANGS))


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    shown = ",".join(_pairs(labels))
    number = "NaN" if math.isnan(value) else f"{value:.12g}"
    return f"protoledger_{name}{{{shown}}} {number}"


def _pairs(labels: Mapping[str, str]) -> Iterator[str]:
    for name, value in labels.items():
        escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        yield f'{name}="{escaped}"'
