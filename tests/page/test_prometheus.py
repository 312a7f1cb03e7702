"""A real Prometheus with the configuration and rules that Ansible installs; `make test-page`."""

import json
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import jinja2
import pytest
import yaml

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.children import Children
from tests.support.live_site import LiveSite
from tests.support.ports import free_port

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]

ROLE = Path(__file__).parents[2] / "ansible/roles/monitoring"
RULES = ROLE / "files/protoledger-alerts.yml"
GRAFANA = ROLE / "files/protoledger-dashboard.json"
PATIENCE_S = 240


def configuration(port):
    """Render Ansible's template for one gateway on this machine."""
    host = {"ansible_host": "127.0.0.1", "fleet_site": "attic"}
    environment = jinja2.Environment(autoescape=False)  # YAML
    environment.filters["to_json"] = json.dumps  # Ansible's
    template = environment.from_string((ROLE / "templates/prometheus.yml.j2").read_text())
    text = template.render(
        ansible_managed="a test", groups={"all": ["here"], "gateways": ["here"]},
        hostvars={"here": host}, monitoring_node_port=9100, fleet_metrics_port=port,
        monitoring_alertmanagers=[],
    )  # fmt: skip
    return yaml.safe_load(text)


def expressions():
    panels = json.loads(GRAFANA.read_text())["panels"]
    every = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [one for one in every if "node_" not in one]  # those are the node exporter's


def test_prometheus_takes_the_configuration_and_the_rules(tmp_path):
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration(9300)))
    (tmp_path / RULES.name).write_text(RULES.read_text())
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    assert f"{len(rules)} rules found" in ended.stdout


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory):
    """A site of real processes, and a Prometheus that has scraped its gateway."""
    if find_mosquitto() is None:
        pytest.skip("Mosquitto is not installed")
    folder = tmp_path_factory.mktemp("monitored")
    port, listen = free_port(), free_port()
    config = configuration(port)
    config["global"]["scrape_interval"] = "1s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / RULES.name).write_text(RULES.read_text())
    with Children(folder / "logs") as children:
        site = LiveSite(folder / "site", children, agents=4, metrics_port=port)
        site.start_gateway()
        site.start_agents("agents", site.files.agents)
        site.rounds(3)
        command = ["prometheus", f"--config.file={folder}/prometheus.yml"]
        command += [
            f"--storage.tsdb.path={folder}/tsdb",
            f"--web.listen-address=127.0.0.1:{listen}",
        ]
        children.start("prometheus", command)
        yield f"http://127.0.0.1:{listen}"


def ask(url, path, **values):
    address = f"{url}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return json.loads(answer.read())["data"]


def until(true, what):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            if true():
                return
        except OSError:
            pass  # it starts
        assert time.monotonic() < end, what
        time.sleep(1)


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_of_the_grafana_dashboard_has_data(prometheus, expression):
    until(lambda: ask(prometheus, "query", query=expression)["result"], f"no data: {expression}")


def test_rules_ask_for_metrics_that_exist(prometheus):
    """A rule that fires only where a metric is missing would never fire."""
    until(lambda: ask(prometheus, "rules")["groups"], "no rules")
    (group,) = ask(prometheus, "rules")["groups"]
    assert {rule["name"] for rule in group["rules"]} == {
        rule["alert"] for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    }
    for metric in ("broker_connected", "agents", "agents_here", "drifts_total",
                   "channels_missing", "commits_rejected_total", "rounds_total",
                   "certificate_days_left", "disk_free_share"):  # fmt: skip
        until(
            lambda metric=metric: ask(prometheus, "query", query=f"protoledger_{metric}")["result"],
            metric,
        )
