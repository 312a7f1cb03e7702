"""A node of one's own on the loopback interface, for tests and benchmarks: Anvil or Geth.

Both mine a block as soon as there is a transaction, keep nothing, and hand out money that is worth
nothing. Geth is `geth --dev`: the real client with a mock of the consensus layer.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from protoledger.contracts.client.node import Node
from protoledger.contracts.errors import ChainUnreachableError, ToolMissingError
from protoledger.contracts.tools.toolchain import RECENT_STATES, binary, geth

if TYPE_CHECKING:
    from types import TracebackType

Kind = Literal["anvil", "geth"]
ETHER = 10**18
GETH_APIS = "eth,net,web3,txpool,debug,miner"
"""The last three are for tests, which rewind the chain and change what the node takes."""
_START_S = 60.0


class LocalNode:
    """A node that runs while the `with` block does.

    Args:
        kind: which client.
        block_time_s: seconds between blocks; 0: a block for each transaction, at once.

    Attributes:
        url: where it answers, once it has started.
        ws_url: its WebSocket.
        node: a connection to it.

    Raises:
        ToolMissingError: the client is not installed; the message says how to get it.
        ChainUnreachableError: on entering: it did not come up.
    """

    def __init__(self, kind: Kind, *, block_time_s: int = 0) -> None:
        self.kind: Kind = kind
        self._block_time_s = block_time_s
        self._program = binary("anvil") if kind == "anvil" else geth()
        self._folder = Path(tempfile.mkdtemp(prefix="protoledger-node-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.ws_port = self.port if kind == "anvil" else _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.ws_port}"

    def __enter__(self) -> Self:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._program, *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        self.node = Node(self.url)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.node.close()
        self.close()

    @property
    def pid(self) -> int | None:
        """The running node's process id."""
        return self._process.pid if self._process is not None else None

    def fund(self, *accounts: str, wei: int = 1000 * ETHER) -> None:
        """Give accounts money, and wait until they have it."""
        if self.kind == "anvil":
            for account in accounts:
                self.node.request("anvil_setBalance", account, hex(wei))
            return
        rich = self.node.request("eth_accounts")
        assert isinstance(rich, list)  # noqa: S101 - Geth's developer account
        for account in accounts:
            gift = {"from": str(rich[0]), "to": account, "value": hex(wei)}
            sent = str(self.node.request("eth_sendTransaction", gift))
            deadline = time.monotonic() + _START_S
            while self.node.receipt(sent) is None and time.monotonic() < deadline:
                time.sleep(0.01)

    def close(self) -> None:
        """Stop the node and remove its files; idempotent."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _options(self) -> list[str]:
        if self.kind == "anvil":
            options = ["--port", str(self.port), "--silent", "--accounts", "0"]
            if self._block_time_s:
                options += ["--block-time", str(self._block_time_s)]
            return [*options, "--enable-tx-gas-limit", "--order", "fifo", *RECENT_STATES]
        options = ["--dev", "--dev.gaslimit", "60000000", "--ipcdisable", "--verbosity", "2"]
        options += ["--dev.period", str(self._block_time_s)]
        options += ["--datadir", str(self._folder / "data"), "--cache", "64"]
        options += ["--ws", "--ws.port", str(self.ws_port)]
        return [*options, "--http", "--http.port", str(self.port), "--http.api", GETH_APIS]

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.02)
        log = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        raise ChainUnreachableError(f"{self.kind} did not come up; its log ends:\n{log[-2000:]}")


def available() -> list[Kind]:
    """Tell which clients are installed here."""
    found: list[Kind] = []
    with contextlib.suppress(ToolMissingError):
        binary("anvil")
        found.append("anvil")
    with contextlib.suppress(ToolMissingError):
        geth()
        found.append("geth")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
