"""A site with noise as real processes over a real broker: who pays, and what a kill gives back."""

import time

import pytest

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.children import ChildEvent, Children
from protoledger.runtime.site import SiteConfig, load
from tests.support.live_site import PATIENCE_S, LiveSite
from tests.support.site_of import change

pytestmark = pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")

AGENTS = 10


def private_site(folder, children):
    site = LiveSite(folder, children, AGENTS)
    change(
        site.files.folder / "site.yaml",
        round={"window_s": 3600, "every_s": 3600, "share_s": 10, "answer_s": 10},
        privacy={"epsilon": 3.0, "budget": 5.0, "clip": 0.05},
    )
    for agent in site.files.agents:
        change(site.files.agent_file(agent), privacy={"spent_file": f"{agent}.privacy"})
    return site


def spent(site):
    files = [site.files.agent_file(a).with_name(f"{a}.privacy") for a in site.files.agents]
    return {int(file.read_text()) for file in files}


def next_round(site):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        event = site.children.wait_any(1.0)
        if isinstance(event, ChildEvent) and event.data["event"] == "round":
            return event.data
    raise AssertionError(site.logs())


def test_kills_and_restarts_of_everything_refund_no_budget(tmp_path):
    """Two rounds are paid for; then the agents are there, and contribute nothing."""
    with Children(tmp_path / "logs") as children:
        site = private_site(tmp_path, children)
        privacy = load(site.files.folder / "site.yaml", SiteConfig).as_privacy()
        assert privacy.rounds == 2
        opened = []
        for turn in range(3):
            site.start_gateway(f"gateway-{turn}")
            site.start_agents(f"agents-{turn}", site.files.agents)
            event = next_round(site)
            assert len(event["included"]) == AGENTS
            opened.append(any(event["sums"]))
            assert spent(site) == {min(turn + 1, 2) * privacy.cost}
            children.kill(f"agents-{turn}")
            children.kill(f"gateway-{turn}")
        assert opened == [True, True, False]
