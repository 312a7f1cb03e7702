"""300 commits of two gateways through nodes that err at random, with kills in between.

`pytest -m long tests/gateway/ledger/test_endurance.py -s` shows the figures of the run.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from protoledger.contracts.client.binding import Buffer, DeltaLog
from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.keys import address_of
from tests.support import chain
from tests.support.faulty_node import FaultyNode
from tests.support.ledgers import ALICE, BOB, Site, book, deployed

COMMITS, RATE, KILLS = 150, 0.1, 5  # of each gateway
_LIFE = """
import json, os, sys, time
from pathlib import Path
from protoledger.gateway.ledger.client import Ledger
from protoledger.gateway.ledger.config import LedgerConfig
from protoledger.gateway.ledger.events import CodebookChanged, Committed, LedgerFailed, OwnerLied
from tests.support.ledgers import SCHEMA, book

config, database, log, offset, last = sys.argv[1:]
out = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

def say(*words):
    os.write(out, (json.dumps(words) + "\\n").encode())

def hear(event):
    if isinstance(event, Committed):
        say("committed", event.version, event.tx_hash, event.note)
    elif isinstance(event, CodebookChanged):
        say("changed", event.owner, event.version, event.codebook.state_hash().hex())
    elif isinstance(event, LedgerFailed):
        say("failed", event.reason)
    elif isinstance(event, OwnerLied):
        say("disbelieved", event.owner, event.version, event.evidence)

say("life")
with Ledger(LedgerConfig.model_validate_json(config), Path(database), SCHEMA, 2, 3, hear) as ledger:
    while not ledger.flush(600):
        pass
    lines = [json.loads(line) for line in open(log)]
    first = 1 + max((line[1] for line in lines if line[0] == "decided"), default=0)
    for number in range(first, int(last) + 1):
        ledger.submit(book(int(offset) + number), f"n{number}")
        say("decided", number)  # it is on disk
        while not ledger.flush(600):
            pass
    say("done")
    sys.stdin.read()  # follows until it is told to end
"""


class Life:
    """One gateway's process, started again after each kill."""

    def __init__(self, site: Site, proxy: FaultyNode, offset: int) -> None:
        self.site, self.offset = site, offset
        self.log = site.folder / f"{site.address}.log"
        self.config = site.config(rpc_url=proxy.url, stuck_s=3, contradiction_s=60)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [self.config.model_dump_json(), self.site.folder / f"{self.site.address}.db"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _LIFE, *words, self.log, str(self.offset), str(COMMITS)],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def said(self) -> list[list[object]]:
        if not self.log.exists():
            return []
        lines = self.log.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("]")]

    def decided(self) -> int:
        return max((int(str(w[1])) for w in self.said() if w[0] == "decided"), default=0)


def _node(name: str) -> chain.Anvil | chain.Geth:
    if name == "anvil":
        return chain.Anvil()
    try:
        return chain.Geth()
    except ToolMissingError as error:
        pytest.skip(str(error))


@pytest.mark.long
@pytest.mark.parametrize("name", ["anvil", "geth"])
def test_three_hundred_commits_through_nodes_that_err(name: str, tmp_path: Path) -> None:
    chance, began = random.Random(4), time.monotonic()
    with _node(name) as anvil:
        made = deployed(anvil, ALICE, BOB)
        with FaultyNode(anvil.url, RATE, 11) as first, FaultyNode(anvil.url, RATE, 12) as second:
            lives = [
                Life(Site(anvil, made, tmp_path, ALICE), first, 1000),
                Life(Site(anvil, made, tmp_path, BOB), second, 2000),
            ]
            first.most_blocks = second.most_blocks = 50
            for life in lives:
                life.start()
            due = {life: sorted(chance.sample(range(5, COMMITS - 5), KILLS)) for life in lives}
            while any(["done"] not in life.said() for life in lives):
                for life in lives:
                    assert life.process is not None
                    assert life.process.poll() is None, "a client ended"
                    if due[life] and life.decided() >= due[life][0]:
                        due[life].pop(0)
                        time.sleep(chance.uniform(0, 0.5))
                        life.kill()
                        life.start()
                time.sleep(0.1)
                assert time.monotonic() - began < 7200
            first.rate = second.rate = 0.0
            quiet = time.monotonic()
            heads = [_head(anvil, made.buffer, life.site.address) for life in lives]
            while not all(_knows(life, lives, heads) for life in lives):
                last = [words for life in lives for words in life.said()[-3:]]
                assert time.monotonic() - quiet < 60, f"a minute after the last fault: {last}"
                time.sleep(0.1)
            settled = time.monotonic() - quiet
            for life in lives:
                assert life.process is not None
                life.process.communicate(b"", 30)
            faults = first.faults + second.faults
            asked = sum((first.calls + second.calls).values())
        _judge(anvil, made.buffer, lives)
        sys.stdout.write(
            f"{name}: {2 * COMMITS} commits, {2 * KILLS} kills, {sum(faults.values())} faults of "
            f"{len(faults)} kinds in {asked} requests, {time.monotonic() - began:.0f} s; "
            f"all agreed {settled:.1f} s after the last fault\n{dict(faults)}\n"
        )


def _head(anvil: chain.Chain, contract: str, owner: str) -> tuple[int, str]:
    node = Node(anvil.url)
    head = Buffer(contract).standing(node, owner).head
    node.close()
    return head.version, head.state_hash.hex()


def _knows(life: Life, lives: list[Life], heads: list[tuple[int, str]]) -> bool:
    newest = {str(w[1]): (w[2], w[3]) for w in life.said() if w[0] == "changed"}
    return all(
        newest.get(other.site.address) == head for other, head in zip(lives, heads, strict=True)
    )


def _judge(anvil: chain.Chain, contract: str, lives: list[Life]) -> None:
    """None lost, none doubled, each reported once: again only by a process that began anew."""
    node, buffer = Node(anvil.url), Buffer(contract)
    newest = anvil.height()
    events = [buffer.decoded(log) for log in node.logs(contract, 0, newest)]
    for life in lives:
        own = [e for e in events if isinstance(e, DeltaLog) and e.owner == life.site.address]
        expected = [book(life.offset + n).state_hash() for n in range(1, COMMITS + 1)]
        assert [event.head.state_hash for event in own] == expected
        said = life.said()
        assert not [words for words in said if words[0] in {"failed", "disbelieved"}]
        reported = [(w[1], w[2], w[3]) for w in said if w[0] == "committed"]
        wanted = [(e.head.version, e.log.transaction, f"n{e.head.version}") for e in own]
        assert sorted(set(reported)) == sorted(wanted)  # each, and nothing else
        assert len(reported) - len(wanted) <= KILLS  # a kill between reporting and forgetting
        lived: set[object] = set()
        for words in said:
            if words[0] == "life":
                lived.clear()
            elif words[0] == "committed":
                assert words[1] not in lived
                lived.add(words[1])
    assert address_of(ALICE) in {life.site.address for life in lives}
    node.close()
