"""The agent's file for the node exporter: valid, complete from the start, without readings."""

import math
import os

from prometheus_client.parser import text_string_to_metric_families

from protoledger.edge.metrics import MetricsFile, text_of
from protoledger.edge.status import AgentStatus
from protoledger.emulator.processes.certificates import CertificateAuthority

SENSORS = {"co2": "", 'a "b" \\ c\nd': "no pulses", "light": "hangs for 12 s in its driver"}
STATUS = AgentStatus("pi-1", 7, 90.0, connected=True, last_round=12, answered=3, answered_at=80.0,
                     sensors=SENSORS)  # fmt: skip


def samples(text):
    return {
        (sample.name, sample.labels.get("sensor")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_prometheus_reads_what_is_written():
    found = samples(text_of("attic", STATUS, 31.5))
    assert found[("protoledger_agent_connected", None)] == 1
    assert found[("protoledger_agent_rounds_total", None)] == 3
    assert found[("protoledger_agent_round_age_seconds", None)] == 10
    assert found[("protoledger_agent_certificate_days_left", None)] == 31.5
    assert [found[("protoledger_sensor_up", name)] for name in SENSORS] == [1, 0, 0]
    assert [found[("protoledger_sensor_hangs", name)] for name in SENSORS] == [0, 0, 1]


def test_all_series_are_there_before_anything_has_happened():
    waiting = dict.fromkeys(SENSORS, "not read yet")
    new = AgentStatus("pi-1", 7, 1.0, connected=False, last_round=0, answered=0, answered_at=0.0,
                      sensors=waiting)  # fmt: skip
    early = samples(text_of("attic", new, math.nan))
    assert early.keys() == samples(text_of("attic", STATUS, 31.5)).keys()


def test_it_is_open_for_the_exporter_and_says_when_the_certificate_ends(tmp_path):
    issued = CertificateAuthority(tmp_path / "tls").client("pi-1")
    path = tmp_path / "pi-1.prom"
    file = MetricsFile(path, "attic", issued.certificate)
    assert file.due == 0.0
    before = os.umask(0o077)
    try:
        file.write(STATUS)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert samples(path.read_text())[("protoledger_agent_certificate_days_left", None)] > 0
    issued.certificate.write_text("spoilt")
    file.write(STATUS)
    left = samples(path.read_text())[("protoledger_agent_certificate_days_left", None)]
    assert math.isnan(left)


def test_a_folder_that_is_gone_costs_a_line_once(tmp_path, caplog):
    file = MetricsFile(tmp_path / "gone" / "pi-1.prom", "attic", None)
    for _ in range(3):
        file.write(STATUS)
    assert len(caplog.records) == 1
    assert MetricsFile(None, "attic", None).due is None
