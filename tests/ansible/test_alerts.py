"""Prometheus' alerts: each fires when its cause is there, none on a good day, and all can."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "ansible/roles/monitoring"
ALERTS = ROLE / "files/protoledger-alerts.yml"


def rules():
    return yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_each_alert_fires_for_its_cause_and_none_on_a_good_day():
    command = ["promtool", "test", "rules", ROOT / "tests/ansible/alerts.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried():
    tried = yaml.safe_load((ROOT / "tests/ansible/alerts.yml").read_text())["tests"][1]
    fired = {sample["labels"] for sample in tried["promql_expr_test"][0]["exp_samples"]}
    assert fired == {f'{{alertname="{rule["alert"]}"}}' for rule in rules()}


def test_they_ask_for_metrics_that_a_gateway_has():
    known = set(re.findall(r"protoledger_\w+", (ROOT / "docs/edge.md").read_text()))
    asked = {name for rule in rules() for name in re.findall(r"protoledger_\w+", rule["expr"])}
    assert asked
    assert asked <= known


def test_prometheus_gets_them_and_knows_where_alerts_go():
    text = (ROLE / "templates/prometheus.yml.j2").read_text()
    environment = Environment(autoescape=False, trim_blocks=True)
    environment.filters["to_json"] = lambda value: str(value).replace("'", '"')
    hosts = {"pi-1": {"ansible_host": "192.0.2.1"}}
    shown = environment.from_string(text).render(
        groups={"all": ["pi-1"]},
        hostvars=hosts,
        monitoring_node_port=9100,
        monitoring_alertmanagers=["192.0.2.9:9093"],
    )
    written = yaml.safe_load(shown)
    assert written["rule_files"] == [ALERTS.name]
    targets = written["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert targets == ["192.0.2.9:9093"]
