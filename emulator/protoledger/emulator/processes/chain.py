"""The chain of an emulated deployment: a real Ethereum node, Anvil, as a child process.

It listens on the loopback interface only, and has no accounts of its own: the emulator creates new
keys for each run and funds their accounts with `anvil_setBalance`. Without a block time, each
transaction gets a block at once. The gas cap of a transaction is enforced as on mainnet. The calls
here are plain JSON-RPC over HTTP, so that starting the chain does not wait until web3 is imported.
"""

import itertools
import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.anvil_state import keep_first_block
from protoledger.contracts.tools.toolchain import RECENT_STATES, binary
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.broker import LOOPBACK, free_port, listens
from protoledger.emulator.processes.children import SERVERS, Children

CHAIN_ID = 31337
ETHER = 10**18
_TRIES = 5
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ChainAddress:
    """Address of a node: its URL (HTTP), its chain id, and its WebSocket's URL if known."""

    url: str
    chain_id: int
    ws_url: str | None = None


class Anvil:
    """Anvil, from the npm package of this repository.

    Args:
        children: Owns the process, under the name `chain`.
        block_time_s: Seconds between blocks; None: a block for each transaction, at once.
        state: File that keeps the chain's state, read if it exists; None: only in memory.
    """

    def __init__(
        self,
        children: Children,
        *,
        block_time_s: int | None = None,
        state: Path | None = None,
    ) -> None:
        self._children = children
        self._block_time_s = block_time_s
        self._state = state

    def start(self, timeout_s: float = 20.0) -> ChainAddress:
        """Start the node on a free port and wait until it answers.

        Raises:
            ProgramMissingError: If Anvil is not installed.
            ChainError: If it ends or does not answer in time; has the end of its log.
        """
        try:
            program = binary("anvil")
        except ToolMissingError as error:
            raise ProgramMissingError(str(error)) from error
        if self._state is not None:
            keep_first_block(self._state)
        deadline = time.monotonic() + timeout_s
        for attempt in range(_TRIES):
            name = "chain" if attempt == 0 else f"chain-{attempt + 1}"
            port = free_port()
            command = options(port, block_time_s=self._block_time_s, state=self._state)
            pid = self._children.start(name, [program, *command], layer=SERVERS)
            while name in self._children.running() and time.monotonic() < deadline:
                if listens(pid, port):
                    found = connect(f"http://{LOOPBACK}:{port}", expected_chain_id=CHAIN_ID)
                    return replace(found, ws_url=f"ws://{LOOPBACK}:{port}")
                time.sleep(0.02)
            last = self._children.last_lines(name)
            self._children.kill(name)
            if not any("in use" in line for line in last):
                shown = "\n  ".join(last) or "(its log is empty)"
                raise ChainError(f"Anvil did not start in {timeout_s} s; its log:\n  {shown}")
        raise ChainError(f"Anvil found no free port in {_TRIES} tries")


def options(port: int, *, block_time_s: int | None = None, state: Path | None = None) -> list[str]:
    """Return Anvil's command-line options; see `Anvil`."""
    chosen = ["--quiet", "--host", LOOPBACK, "--port", str(port)]
    chosen += ["--chain-id", str(CHAIN_ID), "--accounts", "0"]
    chosen += ["--order", "fifo", "--enable-tx-gas-limit", "--no-cors", *RECENT_STATES]
    if block_time_s is not None:
        chosen += ["--block-time", str(block_time_s), "--mixed-mining"]
    if state is not None:
        chosen += ["--state", str(state), "--state-interval", "5"]
    return chosen


def connect(url: str, *, expected_chain_id: int | None = None) -> ChainAddress:
    """Ask a running node for its chain id.

    Raises:
        ChainError: If no node answers, or its id is not the expected one.
    """
    answer = call(url, "eth_chainId")
    if not isinstance(answer, str):
        raise ChainError(f"the node at {url} has no valid chain id, but {answer!r}")
    chain_id = int(answer, 16)
    if expected_chain_id is not None and chain_id != expected_chain_id:
        raise ChainError(f"the node at {url} has chain id {chain_id}, not {expected_chain_id}")
    return ChainAddress(url, chain_id)


def call(url: str, method: str, *parameters: object, timeout_s: float = 10.0) -> object:
    """Make one JSON-RPC call and return its result.

    Raises:
        ChainError: If the node cannot be reached, does not answer JSON-RPC, or refuses the call.
    """
    number = next(_numbers)
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(parameters)}
    if not url.startswith(("http://", "https://")):
        raise ChainError(f"{url!r} is not the address of a node; give http://HOST:PORT")
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    opener = _NO_PROXY if f"//{LOOPBACK}:" in url else urllib.request.build_opener()
    try:
        with opener.open(request, timeout=timeout_s) as response:
            answer = json.load(response)
    except (OSError, ValueError) as error:
        raise ChainError(f"no Ethereum node answers at {url}: {error}") from error
    if not isinstance(answer, dict) or answer.get("id") != number:
        raise ChainError(f"the server at {url} is not an Ethereum node")
    if "error" in answer:
        raise ChainError(f"the node at {url} refused {method}: {answer['error']}")
    result: object = answer.get("result")
    return result


def fund(url: str, address: str, wei: int = 10_000 * ETHER) -> None:
    """Set an account's balance; works on Anvil only.

    Raises:
        ChainError: If the node is not Anvil.
    """
    call(url, "anvil_setBalance", address, hex(wei))
