"""What devices say about themselves, to Home Assistant and to Prometheus, and what they do not."""

import json
import time
import urllib.request

import pytest
import yaml

from protoledger.emulator.processes.broker import BrokerAddress, find_mosquitto
from protoledger.runtime.mqtt.home_assistant import (
    Entity,
    HomeAssistantConfig,
    discovery,
    health_topic,
)
from tests.support.broker_client import Client
from tests.support.site_of import Running, change, live, running_site

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto not installed")
READ = 20.0


def with_assistant(text):
    """The lines of docs/edge.md, and a reader."""
    allowed = []
    for line in text.splitlines():
        allowed.append(line)
        if line.startswith("user "):
            user = line.removeprefix("user ")
            node = f"protoledger_site-1_{user}".replace(".", "_")
            allowed += [
                f"topic write protoledger/v1/site-1/health/{user}",
                f"topic write homeassistant/sensor/{node}/+/config",
            ]
    return "\n".join([*allowed, "", "user home", "topic read #", ""])


def until(check, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not (found := check()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)
    return found


def test_health_goes_out_and_readings_do_not(tmp_path):
    with running_site(tmp_path, access=with_assistant) as (files, children):
        words = ["edge", "run"]
        for agent in files.agents:
            live(files.agent_file(agent))
            change(files.agent_file(agent), home_assistant={"every_s": 1.0})
            words += ["-c", files.agent_file(agent)]
        spoilt = yaml.safe_load(files.agent_file(files.agents[1]).read_text())
        spoilt["sensors"][0]["options"] = {"missing_rate": 1.0}
        files.agent_file(files.agents[1]).write_text(yaml.safe_dump(spoilt))
        change(files.gateway_file, home_assistant={}, metrics={"port": 0})
        shared = yaml.safe_load((files.folder / "site.yaml").read_text())
        shared["round"]["every_s"] = 0.3
        (files.folder / "site.yaml").write_text(yaml.safe_dump(shared))
        where = BrokerAddress("127.0.0.1", shared["broker"]["port"], None, client_certificates=True)
        with Running(["gateway", "run", "-c", files.gateway_file]), Running(words):
            home = Client(where, children.authority, "home", topics=["#"]).ready()

            def said(device):
                topic = health_topic("site-1", device)
                found = [json.loads(body) for name, body in home.received if name == topic]
                return found[-1] if found else None

            until(lambda: (said(files.agents[0]) or {}).get("rounds"))
            assert said(files.agents[0])["sensors_failed"] == 0
            until(lambda: (said(files.agents[1]) or {}).get("sensors_failed") == 1)
            told = until(lambda: said(files.gateway))
            assert told["prediction"] in {*shared["labels"], "unknown"}
            assert told["agents"] == 4
            received = list(home.received)
            home.close()
    configs = [name for name, _ in received if name.startswith("homeassistant/")]
    assert len({*configs}) == 4 * 4 + 6
    health = [body for name, body in received if "/health/" in name]
    assert all(str(READ).encode() not in body for body in health)
    keys = {key for body in health for key in json.loads(body)}
    assert keys == {
        "round_age", "rounds", "sensors_ok", "sensors_failed", "prediction", "failed", "agents",
        "label_wanted", "confidence",
    }  # fmt: skip


def test_a_configuration_is_what_home_assistant_expects():
    entity = Entity("rounds", "Rounds", "s")
    ((topic, body),) = discovery(HomeAssistantConfig(), "attic", "pi.1", "agent", [entity])
    assert topic == "homeassistant/sensor/protoledger_attic_pi_1/rounds/config"
    content = json.loads(body)
    assert content["availability_topic"] == "protoledger/v1/attic/presence/pi.1"
    assert content["value_template"] == "{{ value_json.rounds }}"
    assert content["device"]["identifiers"] == ["protoledger_attic_pi_1"]
    with pytest.raises(ValueError, match="prefix"):
        HomeAssistantConfig(prefix="a/#")


def test_metrics_are_counted():
    from protoledger.gateway.config import MetricsConfig
    from protoledger.gateway.operations.health import Snapshot
    from protoledger.gateway.operations.metrics import Metrics
    from protoledger.protocol.errors import ConfigurationError
    from protoledger.protocol.rounds.states import Completed, Failed

    metrics = Metrics(MetricsConfig(port=0))
    try:
        metrics.count(Completed(1, None, frozenset({0}), 40.0))
        metrics.count(Failed(2, "4 of 5 needed holders answered", 900.0))
        metrics.count(Failed(3, "the contributions of agents 3 could not be proven", 900.0))
        metrics.count(Failed(4, "2 agents shared, 3 are needed", 900.0))
        named = {"agent_excluded": {"pi-1": False, "pi-2": True}}
        metrics.snapshot = Snapshot({"gas": 7}, {"accuracy": 0.5}, {"DecodeError": 2}, named)
        url = f"http://127.0.0.1:{metrics.port}/metrics"
        text = urllib.request.urlopen(url, timeout=60).read().decode()
        with pytest.raises(ConfigurationError, match="cannot listen on"):
            Metrics(MetricsConfig(port=metrics.port))
    finally:
        metrics.close()
    for line in (
        'protoledger_rounds_total{result="completed"} 1.0',
        'protoledger_rounds_total{result="too_few_answers"} 1.0',
        'protoledger_rounds_total{result="unproven"} 1.0',
        'protoledger_refused_messages_total{kind="DecodeError"} 2.0',
        'protoledger_refused_messages_total{kind="FloodError"} 0.0',
        'protoledger_agent_excluded{agent="pi-1"} 0.0',
        'protoledger_agent_excluded{agent="pi-2"} 1.0',
        'protoledger_rounds_total{result="too_few_agents"} 1.0',
        "protoledger_round_seconds_count 4.0",
        "protoledger_gas_total 7.0",
        "protoledger_accuracy 0.5",
        'protoledger_refused_messages_total{kind="DecodeError"} 2.0',
    ):
        assert line in text, text
