"""What an agent keeps of its privacy: no restart, kill or failure gives any of it back."""

import logging
import signal
import subprocess
import sys

import pytest
import yaml

from protoledger.edge.agent import Agent
from protoledger.edge.config import AgentConfig
from protoledger.edge.metrics import text_of
from protoledger.edge.readings.budget import PrivacyBudget
from protoledger.edge.readings.windows import open_windows
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.noise.mechanism import Privacy
from protoledger.runtime.check.aggregation import aggregation
from protoledger.runtime.site import SiteConfig, load
from protoledger.sensors import Machine
from tests.support.agent_files import AGENT, SITE, write_site

PRIVACY = Privacy(epsilon=1.0, delta=1e-5, budget=3.0)
LIMIT = PRIVACY.units(3.0)
HOURLY = {
    **SITE,
    "round": {"window_s": 3600, "every_s": 3600},
    "privacy": {"epsilon": 1.0, "budget": 3.0},
}
RISKY = {**HOURLY, "privacy": {**HOURLY["privacy"], "delta": 1e-3}}


def budget(folder, limit=LIMIT):
    return PrivacyBudget(folder / "spent", PRIVACY, limit)


def test_the_budget_lasts_as_many_rounds_as_it_says_and_no_restart_changes_that(tmp_path, caplog):
    paid = 0
    while budget(tmp_path).charge(PRIVACY.cost):  # each time another process
        paid += 1
    assert paid == PRIVACY.rounds == 7
    last = budget(tmp_path)
    assert last.state.rounds_left == 0
    assert 2.7 < last.state.epsilon_spent <= last.state.epsilon_budget <= 3.0
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert [last.charge(PRIVACY.cost) for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1  # a change of state, not each round
    assert "contributes no more" in caplog.text


KILLED = """
import os, sys
from pathlib import Path
from protoledger.edge.readings.budget import PrivacyBudget
from protoledger.protocol.noise.mechanism import Privacy
budget = PrivacyBudget(Path(sys.argv[1]), Privacy(1.0, 1e-5, 3.0), 10**18)
while budget.charge(7):
    os.write(1, b".")
"""


def test_a_kill_at_any_moment_gives_nothing_back(tmp_path):
    """What was paid for before the process could say so is on disk when it says so."""
    said = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path / "spent")], stdout=subprocess.PIPE
        ) as child:
            said += len(child.stdout.read(20))
            child.send_signal(signal.SIGKILL)
            said += len(child.stdout.read())
    found = int((tmp_path / "spent").read_text())
    assert found % 7 == 0
    assert said >= 60
    assert 7 * said <= found <= 7 * (said + 3)  # at most one a kill was paid for and not said


def test_two_processes_of_one_agent_spend_one_budget(tmp_path):
    """As while a new version takes over from the old one."""
    old, new = budget(tmp_path), budget(tmp_path)
    paid = sum(one.charge(PRIVACY.cost) for one in [old, new] * 8)
    assert paid == PRIVACY.rounds


TOGETHER = """
import sys
from pathlib import Path
from protoledger.edge.readings.budget import PrivacyBudget
from protoledger.protocol.noise.mechanism import Privacy
budget = PrivacyBudget(Path(sys.argv[1]), Privacy(1.0, 1e-5, 3.0), 10**18)
sys.stdin.readline()
print(sum(budget.charge(7) for _ in range(100)))
"""


def test_processes_that_charge_at_the_same_moment_lose_nothing(tmp_path):
    """One agent's sensors in two sites, with one file for both: their costs add up."""
    command = [sys.executable, "-c", TOGETHER, str(tmp_path / "spent")]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    paid = [int(child.communicate()[0]) for child in children]
    assert paid == [100, 100, 100]
    assert int((tmp_path / "spent").read_text()) == 7 * sum(paid)


def test_a_file_that_was_deleted_under_a_running_agent_is_written_again(tmp_path):
    one = budget(tmp_path)
    assert one.charge(5)
    (tmp_path / "spent").unlink()
    assert one.charge(5)
    assert (tmp_path / "spent").read_text() == "10\n"


@pytest.mark.parametrize("content", ["", "-5", "1e9", "12 13", "9" * 21, "ten"])
def test_a_file_that_holds_no_number_is_not_taken_for_nothing(tmp_path, content):
    (tmp_path / "spent").write_text(content)
    with pytest.raises(ConfigurationError, match=f"restore it from a backup, or write {LIMIT}"):
        budget(tmp_path)


def test_what_cannot_be_written_down_is_not_contributed(tmp_path, caplog):
    folder = tmp_path / "gone"
    folder.mkdir()
    one = budget(folder)
    folder.rmdir()
    with caplog.at_level(logging.WARNING):
        assert not one.charge(5)
        assert not one.charge(5)
    assert len(caplog.records) == 1
    folder.mkdir()
    assert one.charge(5)
    (folder / "spent").write_text("?")
    assert not one.charge(5)


# -- files that must fit together ----------------------------------------------------------------


def agent_file(folder, **privacy):
    content = {**AGENT, "spool_file": "spool.db"}
    if privacy:
        content["privacy"] = privacy
    (folder / "pi-0.yaml").write_text(yaml.safe_dump(content))
    return load(folder / "pi-0.yaml", AgentConfig)


def problems(folder, site, **privacy):
    write_site(folder, site=site, agents=10)
    config = agent_file(folder, **privacy)
    return config.problems_with(load(folder / "site.yaml", SiteConfig), None)


@pytest.mark.parametrize(
    ("site", "own", "says"),
    [
        (HOURLY, {}, "set privacy.spent_file"),
        (HOURLY, {"epsilon": 0.9}, "a round of the site costs 1"),
        (SITE, {"epsilon": 1.0}, "the site file has no `privacy`"),
        (SITE, {"budget": 1.0}, "the site file has no `privacy`"),
        (HOURLY, {"epsilon": 1.0}, ""),
        (HOURLY, {"budget": 1.0}, ""),
        (SITE, {"delta": 1e-6}, ""),
        (RISKY, {"epsilon": 9.0}, "the site's noise is for 0.001"),
        (RISKY, {"budget": 2.0}, "the site's noise is for 0.001"),
        (RISKY, {"epsilon": 9.0, "delta": 1e-3}, ""),
        (HOURLY, {"epsilon": 1.0, "delta": 1e-4}, ""),
    ],
)
def test_an_agent_s_own_limits_are_compared_with_the_site(tmp_path, site, own, says):
    own = {"spent_file": "spent", **own} if own else {}
    found = problems(tmp_path, site, **own)
    assert len(found) == bool(says)
    assert says in "".join(found)


def test_an_agent_s_own_budget_only_lowers_the_site_s(tmp_path):
    for own, rounds in ((1.0, 1), (2.0, 3), (None, 7), (50.0, 7)):
        config = agent_file(tmp_path, spent_file="spent", budget=own)
        assert config.privacy.limit(PRIVACY) // PRIVACY.cost == rounds


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"round": {"window_s": 600, "every_s": 3600}}, "make windows of at least 3600 s"),
        ({"round": {"window_s": 3600, "every_s": 10}}, "set at least 3600 s, windows × window_s"),
        ({"aggregation": {"validity": "packed"}}, "needs proofs"),
    ],
)
def test_a_site_file_is_refused_with_what_to_change(tmp_path, change, says):
    site, roster = write_site(tmp_path, site={**HOURLY, **change}, agents=10)
    with pytest.raises(ConfigurationError, match=says):
        site.terms(roster)


def test_a_check_says_what_hides_an_agent_and_for_how_long(tmp_path):
    site, roster = write_site(tmp_path, site=HOURLY, agents=10)
    item = aggregation(site, roster)
    assert "noise of 8 agents hides each: ε 1 a round, 3 in all 7 rounds" in item.found
    assert "1 may be away before sharing" in item.found


def test_a_site_without_anything_private_has_nothing_to_hide(tmp_path):
    public = [{**channel, "private": False} for channel in SITE["channels"]]
    site, roster = write_site(
        tmp_path, site={**HOURLY, "channels": public, "labels": []}, agents=10
    )
    with pytest.raises(ConfigurationError, match="nothing to hide"):
        site.terms(roster)


def test_a_channel_that_few_agents_carry_is_refused(tmp_path):
    site, roster = write_site(tmp_path, site=HOURLY, channels=("a",), agents=10)
    with pytest.raises(ConfigurationError, match="minimum_contributors is 9"):
        site.terms(roster)
    assert load(tmp_path / "site.yaml", SiteConfig).terms_of(10).minimum == 9


# -- an agent --------------------------------------------------------------------------------------


def test_a_running_agent_says_what_it_has_spent(tmp_path):
    write_site(tmp_path, site=HOURLY, agents=10)
    config = agent_file(tmp_path, spent_file="spent", epsilon=1.0)
    (tmp_path / "spent").write_text(f"{LIMIT}\n")
    agent = Agent(config, opener=mocked)
    try:
        status = agent.report(100.0)
        assert status.privacy.rounds_left == 0
        assert agent.status.endswith("; its privacy budget is spent")
        text = text_of("hut", status, None)
        assert 'protoledger_agent_privacy_rounds_left{site="hut",agent="pi-0"} 0' in text
        assert "protoledger_agent_privacy_epsilon_spent" in text
    finally:
        agent.close()
    exact = yaml.safe_load((tmp_path / "site.yaml").read_text())
    del exact["privacy"]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(exact))
    plain = Agent(agent_file(tmp_path), opener=mocked)
    try:
        assert plain.report(100.0).privacy is None
        assert "privacy" not in text_of("hut", plain.report(100.0), None) + plain.status
    finally:
        plain.close()


def mocked(config, schema, rounds):
    return open_windows(config, schema, rounds, Machine())
