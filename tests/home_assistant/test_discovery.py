"""Discovery payloads, judged by Home Assistant's own schema in an environment of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from protoledger.edge.agent import ENTITIES as OF_AGENTS
from protoledger.gateway.rounds import ENTITIES as OF_GATEWAYS
from protoledger.runtime.mqtt.home_assistant import HomeAssistantConfig, discovery

pytestmark = [pytest.mark.page, pytest.mark.timeout(600)]

PYTHON = Path(__file__).parents[2] / ".venv/home-assistant/bin/python"
JUDGE = """
import json
import sys

import voluptuous
from homeassistant.components.mqtt.sensor import DISCOVERY_SCHEMA

payloads = json.load(sys.stdin)
for payload in payloads:
    try:
        taken = DISCOVERY_SCHEMA(dict(payload))
    except voluptuous.Invalid as error:
        sys.exit(f"{payload['unique_id']}: {error}")
    # the schema drops keys that it does not know, without a word
    unknown = set(payload) - set(taken)
    if unknown:
        sys.exit(f"{payload['unique_id']}: unknown to Home Assistant: {sorted(unknown)}")
sys.stdout.write(f"{len(payloads)} payloads are as Home Assistant wants them\\n")
"""


def payloads():
    config = HomeAssistantConfig()
    messages = discovery(config, "attic", "attic.gateway", "gateway", OF_GATEWAYS)
    messages += discovery(config, "attic", "pi.1", "agent", OF_AGENTS, "attic.gateway")
    return [json.loads(content) for _, content in messages]


def judge(content):
    assert PYTHON.exists(), (
        "run `make test-home-assistant`, which installs Home Assistant beside .venv"
    )
    command = [PYTHON, "-c", JUDGE]
    return subprocess.run(
        command, input=json.dumps(content), capture_output=True, text=True, timeout=300, check=False
    )


def test_home_assistant_takes_all_payloads():
    ended = judge(payloads())
    assert ended.returncode == 0, ended.stderr
    assert "payloads are as" in ended.stdout


@pytest.mark.parametrize(
    ("key", "value"),
    [("state_class", "rising"), ("entity_category", "secret"), ("expire_after", -1),
     ("state_topic", "a/#/b"), ("no_such_key", 1), ("origin", {})],
)  # fmt: skip
def test_the_judge_refuses_what_is_wrong(key, value):
    ended = judge([payloads()[0] | {key: value}])
    assert ended.returncode == 1
