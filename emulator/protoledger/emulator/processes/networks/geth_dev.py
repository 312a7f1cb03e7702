"""`geth --dev` for an emulation: the real client with a mock of the consensus layer; one node."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.toolchain import geth
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.broker import LOOPBACK
from protoledger.emulator.processes.chain import ChainAddress, call
from protoledger.emulator.processes.networks.network import GIFT_WEI, Network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protoledger.emulator.processes.children import Children

_START_S = 60.0


class GethDev(Network):
    """One developer node that all owners ask; a block for each transaction, at once."""

    chain_id = 1337

    def __init__(self, children: Children, folder: Path) -> None:
        try:
            self._program = geth()
        except ToolMissingError as error:
            raise ProgramMissingError(str(error)) from error
        super().__init__(children, folder, 1)

    def start(self) -> None:
        """Start the node, and wait until it answers."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.revive(0)

    def revive(self, number: int) -> None:
        """Start the node again on the files that it left."""
        http, websocket, engine, _ = map(str, self._ports[number])
        command: list[str | Path] = [
            self._program,
            "--dev",
            "--dev.gaslimit",
            "60000000",
            "--ipcdisable",
        ]
        command += ["--datadir", self.folder(number), "--cache", "64", "--verbosity", "2"]
        command += ["--authrpc.port", engine]
        command += ["--ws", "--ws.addr", LOOPBACK, "--ws.port", websocket]
        command += ["--http", "--http.addr", LOOPBACK, "--http.port", http]
        self._run(number, command)
        url = self.addresses[number].url
        self._until("up", number, lambda: call(url, "eth_chainId") is not None, _START_S)

    def fund(self, accounts: Sequence[str]) -> None:
        """Send every account 100 ether from the developer's, whose key only the node has."""
        url = self.addresses[0].url
        rich = call(url, "eth_accounts")
        assert isinstance(rich, list)  # noqa: S101 - our own node's
        sent = [
            call(
                url, "eth_sendTransaction", {"from": rich[0], "to": account, "value": hex(GIFT_WEI)}
            )
            for account in accounts
        ]
        deadline = time.monotonic() + _START_S
        while any(call(url, "eth_getTransactionReceipt", one) is None for one in sent):
            if time.monotonic() > deadline:
                raise ChainError("Geth does not mine the transfers that fund accounts")
            time.sleep(0.05)

    def _address(self, number: int) -> ChainAddress:
        return ChainAddress(self._url(number, 0), self.chain_id, self._url(number, 1, "ws"))
