"""What every network of validators has: children that can be killed and brought back, and money."""

from __future__ import annotations

import secrets
import socket
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from protoledger.emulator.errors import ChainError
from protoledger.emulator.processes.broker import LOOPBACK
from protoledger.emulator.processes.chain import ETHER, ChainAddress, call
from protoledger.emulator.processes.children import SERVERS, Children

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

GIFT_WEI = 100 * ETHER


@dataclass(frozen=True)
class Place:
    """Where a validator runs.

    Attributes:
        host: the address that it has there, and that it answers at.
        enter: begins a command that is run there; empty for here.
    """

    host: str = LOOPBACK
    enter: tuple[str, ...] = ()


HERE: Final = Place()


class Network(ABC):
    """Validators of one chain, each a child process; one for each owner.

    Args:
        children: owns the processes, under the names `validator-1`, `validator-2`, ….
        folder: for their files; made if missing.
        validators: how many.
        places: where each runs; all here if left out.

    Attributes:
        chain_id: of the chain.
        faucet: key of an account that has money from the first block on.
        addresses: where each validator answers, in order; filled by `start`.
    """

    chain_id: int
    faucet: bytes

    def __init__(
        self,
        children: Children,
        folder: Path,
        validators: int,
        places: Sequence[Place] | None = None,
    ) -> None:
        self._children, self._folder = children, folder
        self._places = list(places or [HERE] * validators)
        self._lives = [0] * validators
        self._pids = [0] * validators
        self._ports = [self._new_ports() for _ in range(validators)]
        self.addresses = [self._address(number) for number in range(validators)]

    @abstractmethod
    def start(self) -> None:
        """Start all validators, and wait until they make blocks together.

        Raises:
            ProgramMissingError: the validators' program is not built; says how it is.
            ChainError: they do not find each other; the children's logs say why.
        """

    @abstractmethod
    def revive(self, number: int) -> None:
        """Start a killed validator again, with the files that it left."""

    @abstractmethod
    def _address(self, number: int) -> ChainAddress: ...

    def kill(self, number: int) -> None:
        """End a validator as a power cut would.

        Args:
            number: from 0, in the order of `addresses`.
        """
        self._children.kill(self._name(number))

    def pid(self, number: int) -> int:
        """Process id of a validator that runs."""
        return self._pids[number]

    def folder(self, number: int) -> Path:
        """The files of a validator."""
        return self._folder / f"validator-{number + 1}"

    def height(self, number: int) -> int:
        """Number of the newest block that a validator knows.

        Raises:
            ChainError: it does not answer.
        """
        return int(str(call(self.addresses[number].url, "eth_blockNumber")), 16)

    def fund(self, accounts: Sequence[str]) -> None:
        """Send every account 100 ether from the faucet, and wait until it is there."""
        from protoledger.contracts.client.account import Account  # noqa: PLC0415 - web3 takes a second to load
        from protoledger.contracts.client.deployment import Sender  # noqa: PLC0415
        from protoledger.contracts.client.node import Node  # noqa: PLC0415

        node = Node(self.addresses[0].url)
        try:
            sender = Sender(node, Account(self.faucet))
            for account in accounts:
                sender.send(account, b"", 21_000, GIFT_WEI)
            sender.wait(60)
        finally:
            node.close()

    def _run(self, number: int, command: Sequence[str | Path]) -> None:
        self._lives[number] += 1
        there = [*self._places[number].enter, *command]
        self._pids[number] = self._children.start(self._name(number), there, layer=SERVERS)

    def _name(self, number: int) -> str:
        life = self._lives[number]
        return f"validator-{number + 1}" + (f".{life}" if life > 1 else "")

    def _new_ports(self) -> tuple[int, int, int, int]:
        return _quiet_port(), _quiet_port(), _quiet_port(), _quiet_port()

    def _url(self, number: int, at: int, scheme: str = "http") -> str:
        return f"{scheme}://{self._places[number].host}:{self._ports[number][at]}"

    def _until(self, what: str, number: int, done: Callable[[], bool], timeout_s: float) -> None:
        """Wait until something holds of a validator.

        Raises:
            ChainError: it does not in time, or the validator ended; has the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if done():
                    return
            except ChainError:
                pass
            if self._name(number) not in self._children.running():
                break
            time.sleep(0.2)
        shown = "\n  ".join(self._children.last_lines(self._name(number))) or "(its log is empty)"
        raise ChainError(f"validator {number + 1} is not {what}; its log ends:\n  {shown}")


def _quiet_port() -> int:
    """Pick a free port below those that connections are made from: a validator may start later."""
    for _ in range(1000):
        port = 12_000 + secrets.randbelow(20_000)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ChainError("no TCP port is free for a validator")
