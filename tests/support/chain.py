"""Real nodes on free loopback ports, for tests."""

import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from protoledger.contracts.keys import address_of
from protoledger.contracts.tools.local_node import LocalNode
from protoledger.contracts.tools.toolchain import RECENT_STATES, binary

CHAIN_ID = 31_337
# Anvil's published development keys: worth nothing anywhere else.
KEYS = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Chain:
    """A node that answers at `url`; Anvil's and Geth's differ in what a test may do to them."""

    url: str
    ws_url: str

    def height(self) -> int:
        """Number of the newest block."""
        return int(str(self.rpc("eth_blockNumber")), 16)

    def mine(self, blocks: int) -> None:
        """Add blocks."""
        raise NotImplementedError

    def rewind(self, height: int) -> None:
        """Go back to a block, as if those after it had never been."""
        raise NotImplementedError

    def reorg(self, depth: int) -> None:
        """Put as many other blocks in place of the newest, without their transactions."""
        raise NotImplementedError

    def give(self, account: str, wei: int) -> None:
        """Give an account money that it has not yet."""
        raise NotImplementedError

    def rpc(self, method: str, *params: object) -> object:
        import json

        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        request = urllib.request.Request(
            self.url, body.encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            parsed = json.load(answer)
        assert "error" not in parsed, parsed
        return parsed["result"]


@dataclass
class Geth(Chain):
    """`geth --dev` with money for `KEYS`; a block for each transaction, or every `block_time_s`."""

    block_time_s: int = 0

    def __post_init__(self) -> None:
        self._node = LocalNode("geth", block_time_s=self.block_time_s)

    def __enter__(self) -> Self:
        self._node.__enter__()
        self.url, self.ws_url = self._node.url, self._node.ws_url
        try:
            self._node.fund(*(address_of(bytes.fromhex(key)) for key in KEYS))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._node.__exit__(None, None, None)

    def mine(self, blocks: int) -> None:
        wanted = self.height() + blocks
        while self.height() < wanted:  # now and then it takes a transaction with the next one only
            self.give("0x" + "be" * 20, 1)

    def rewind(self, height: int) -> None:
        self.rpc("debug_setHead", hex(height))

    def reorg(self, depth: int) -> None:
        self.rewind(self.height() - depth)
        self.mine(depth)

    def give(self, account: str, wei: int) -> None:
        self._node.fund(account, wei=wei)


@dataclass
class Anvil(Chain):
    """An Anvil that starts and stops, keeping its state in `state` if it is given."""

    port: int = field(default_factory=free_port)
    state: Path | None = None
    block_time_s: int | None = None
    rules: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"

    def start(self) -> Self:
        args = [str(binary("anvil")), "--port", str(self.port), "--silent"]
        args += ["--chain-id", str(CHAIN_ID), "--threads", "1", "--accounts", "10"]
        args += RECENT_STATES
        args += ["--state", str(self.state)] if self.state else []
        args += ["--hardfork", self.rules] if self.rules else []
        args += ["--block-time", str(self.block_time_s)] if self.block_time_s else []
        self.process = subprocess.Popen(args, stdout=subprocess.DEVNULL, env=dict(os.environ))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            time.sleep(0.01)
        self.stop()
        raise AssertionError("Anvil did not listen within 15 s")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def mine(self, blocks: int) -> None:
        self.rpc("anvil_mine", hex(blocks))

    def rewind(self, height: int) -> None:
        self.rpc("anvil_rollback", self.height() - height)

    def reorg(self, depth: int) -> None:
        self.rpc("anvil_reorg", depth, [])

    def give(self, account: str, wei: int) -> None:
        self.rpc("anvil_setBalance", account, hex(wei))
