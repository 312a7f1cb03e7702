"""Start the chain that an emulation asks for by name, or connect to one that runs already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protoledger.contracts.tools.toolchain import binary, geth, validator_program
from protoledger.emulator.processes.chain import Anvil, ChainAddress, connect, fund
from protoledger.emulator.processes.networks.avalanche import Avalanche
from protoledger.emulator.processes.networks.clique import Clique
from protoledger.emulator.processes.networks.geth_dev import GethDev

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from protoledger.emulator.processes.children import Children
    from protoledger.emulator.processes.networks.network import Network

CHAINS: Final = ("anvil", "geth", "clique", "avalanche")


@dataclass(frozen=True, slots=True)
class Started:
    """A chain that runs.

    Attributes:
        addresses: one for each owner; on a chain of one node all are the same.
        fund: gives accounts money.
        network: the validators, if there are several.
    """

    addresses: list[ChainAddress]
    fund: Callable[[Sequence[str]], None]
    network: Network | None = None

    def settings(self, owner: int) -> dict[str, object]:
        """Give the part of a gateway's `ledger:` that names nodes: its owner's first."""
        own = self.addresses[owner]
        others = dict.fromkeys(each.url for each in self.addresses if each.url != own.url)
        return {
            "rpc_url": own.url,
            **({"rpc_urls": list(others)} if others else {}),
            **({"ws_url": own.ws_url} if own.ws_url else {}),
        }


def start(
    name: str,
    children: Children,
    folder: Path,
    owners: int,
    *,
    closing: ExitStack,
    state: Path | None = None,
) -> Started:
    """Start a chain, one validator for each owner where it has several.

    Args:
        name: one of `CHAINS`, or the URL of a node that runs.
        children: owns the processes.
        folder: for the validators' files.
        owners: how many there are.
        closing: gets what is to be done at the end.
        state: file that keeps Anvil's state; None: only in memory.

    Raises:
        ProgramMissingError: its program is not installed; says how to get it.
        ChainError: it does not start, or nobody answers at the URL.
    """
    if name == "anvil" or name not in CHAINS:
        found = Anvil(children, state=state).start() if name == "anvil" else connect(name)
        return Started([found] * owners, lambda accounts: _set_balances(found.url, accounts))
    network: Network
    if name == "geth":
        network = GethDev(children, folder)
        network.start()
        return Started(network.addresses * owners, network.fund)
    if name == "clique":
        network = Clique(children, folder, owners)
        closing.callback(network.close)
    else:
        network = Avalanche(children, folder, owners)
    network.start()
    return Started(network.addresses[:owners], network.fund, network)


def program_of(name: str) -> Path:
    """Path of a chain's program.

    Args:
        name: one of `CHAINS`.

    Raises:
        ToolMissingError: it is not installed; says how it is.
    """
    if name == "anvil":
        return binary("anvil")
    if name == "geth":
        return geth()
    return validator_program("geth-clique" if name == "clique" else "avalanchego")


def _set_balances(url: str, accounts: Sequence[str]) -> None:
    for account in accounts:
        fund(url, account)
