"""Proof of authority: Geth with Clique, the last release that has it, one signer per owner.

Signers take turns; a chain of n of them goes on while ⌊n/2⌋ + 1 run and see each other. A block is
not final: those of the last seconds may be reorganised. Two halves of an even network whose chains
have the same total difficulty stand still even after they are joined again: a node takes another
chain only for a higher one (go-ethereum #24705); `rewind` is the way out. Peers are not discovered
but named, over each node's IPC socket, so that a test can part the network and join it again.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.keys import address_of
from protoledger.contracts.tools.toolchain import validator_program
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.broker import LOOPBACK
from protoledger.emulator.processes.chain import ETHER, ChainAddress, call
from protoledger.emulator.processes.networks.network import Network
from protoledger.runtime.key_files import write_secret

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protoledger.emulator.processes.children import Children

PERIOD_S: Final = 2
_START_S = 60.0
_PATIENCE = 6  # periods without a block: the signers stand still
_RULES = (
    "homestead",
    "eip150",
    "eip155",
    "eip158",
    "byzantium",
    "constantinople",
    "petersburg",
    "istanbul",
    "berlin",
    "london",
)


class Clique(Network):
    """A network of Clique signers; see `Network`.

    Args:
        children: owns the processes.
        folder: for their files.
        validators: how many signers.
        period_s: seconds between blocks.
    """

    chain_id = 31_338

    def __init__(
        self, children: Children, folder: Path, validators: int, *, period_s: int = PERIOD_S
    ) -> None:
        try:
            self._program = validator_program("geth-clique")
        except ToolMissingError as error:
            raise ProgramMissingError(str(error)) from error
        super().__init__(children, folder, validators)
        self._period_s = period_s
        self.faucet = secrets.token_bytes(32)
        self._signers = [secrets.token_bytes(32) for _ in range(validators)]
        # a socket's path must be short, and a kept emulation's folder need not be
        self._sockets = Path(tempfile.mkdtemp(prefix="clique-"))

    def start(self) -> None:
        """Make genesis and keys, start all signers, and make them peers of each other."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = self._folder / "password"
        write_secret(password, secrets.token_hex(16).encode())
        genesis = self._folder / "genesis.json"
        genesis.write_text(json.dumps(self._genesis()), encoding="utf-8")
        for number, key in enumerate(self._signers):
            data = self.folder(number)
            self._prepare("--datadir", data, "init", genesis)
            plain = self._folder / "signer.key"
            write_secret(plain, key.hex().encode())
            try:
                imported = ("account", "import", "--lightkdf", "--password", password, plain)
                self._prepare("--datadir", data, *imported)
            finally:
                plain.unlink()
        for number in range(len(self._signers)):
            self._launch(number)
        for number in range(len(self._signers)):
            self._until("up", number, partial(self._answers, number), _START_S)
        self.join()
        for number in range(len(self._signers)):
            self._until("making blocks", number, partial(self._makes_blocks, number), _START_S)
        self._begin_together()

    def revive(self, number: int) -> None:
        """Start a killed signer again, and make it a peer of those that run."""
        self._launch(number)
        self._until("up", number, partial(self._answers, number), _START_S)
        self.join()

    def part(self, *groups: Sequence[int]) -> None:
        """Separate groups of signers, as a cut line between their houses would.

        Raises:
            ChainError: some are still peers after a minute.
        """
        enodes = self._enodes()
        wanted = {one: len(set(group) & set(enodes)) - 1 for group in groups for one in group}
        deadline = time.monotonic() + _START_S
        # the other side may dial again before it knows, so this is repeated until it holds
        while any(self._peers(one) != wanted[one] for one in enodes):
            if time.monotonic() > deadline:
                raise ChainError("the signers cannot be parted: they dial each other again")
            for group in groups:
                for one in set(group) & set(enodes):
                    for other in set(enodes).difference(group):
                        self._admin(one, "admin_removePeer", enodes[other])
            time.sleep(0.5)

    def join(self) -> None:
        """Make all signers that run peers of each other."""
        enodes = self._enodes()
        for number in enodes:
            for other, enode in enodes.items():
                if other != number:
                    self._admin(number, "admin_addPeer", enode)

    def rewind(self, number: int, block: int) -> None:
        """Take a signer back to an earlier block, as `debug.setHead` at Geth's console does."""
        self._admin(number, "debug_setHead", hex(block))

    def _begin_together(self) -> None:
        """Wait until all follow a chain that more than half of them make.

        Each makes a first block before it has peers, so they may begin in parts that stand still;
        all but one are then taken back to the beginning, which is nobody's loss yet.
        """
        period_s, seen, since = self._period_s, list[int](), time.monotonic()
        deadline = since + _START_S
        while min(found := self._heights(), default=0) <= len(self._signers) // 2:
            now = time.monotonic()
            if now > deadline:
                raise ChainError(f"the signers do not agree on a chain: they are at blocks {found}")
            if found != seen:
                seen, since = found, now
            elif now - since > _PATIENCE * period_s:
                since = now
                for number in range(1, len(self._signers)):
                    self.rewind(number, 0)
                self.join()
            time.sleep(min(0.2, period_s))

    def _heights(self) -> list[int]:
        return [self.height(number) for number in range(len(self._signers))]

    def close(self) -> None:
        """Remove the sockets; the processes belong to the children."""
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _address(self, number: int) -> ChainAddress:
        return ChainAddress(self._url(number, 0), self.chain_id, self._url(number, 1, "ws"))

    def _genesis(self) -> dict[str, object]:
        signers = sorted(address_of(key)[2:] for key in self._signers)
        rich = address_of(self.faucet).removeprefix("0x")
        return {
            "config": {
                "chainId": self.chain_id,
                **{f"{name}Block": 0 for name in _RULES},
                "clique": {"period": self._period_s, "epoch": 30_000},
            },
            "difficulty": "1",
            "gasLimit": "60000000",
            "extradata": "0x" + "00" * 32 + "".join(signers) + "00" * 65,
            "alloc": {rich: {"balance": hex(10**6 * ETHER)}},
        }

    def _launch(self, number: int) -> None:
        http, websocket, peers, engine = map(str, self._ports[number])
        signer = address_of(self._signers[number])
        command: list[str | Path] = [self._program, "--datadir", self.folder(number), "--networkid"]
        command += [str(self.chain_id), "--verbosity", "2", "--cache", "64"]
        command += ["--syncmode", "full", "--gcmode", "archive"]  # a kill then loses no state
        # --port would listen on every interface, so the address is in a file
        settings = self._folder / f"validator-{number + 1}.toml"
        settings.write_text(f'[Node.P2P]\nListenAddr = "{LOOPBACK}:{peers}"\n', encoding="utf-8")
        command += ["--config", settings, "--authrpc.port", engine]
        command += ["--nodiscover", "--nat", "none", "--netrestrict", "127.0.0.0/8"]
        command += ["--ipcpath", self._sockets / f"{number}.ipc"]
        command += ["--http", "--http.addr", LOOPBACK, "--http.port", http]
        command += ["--ws", "--ws.addr", LOOPBACK, "--ws.port", websocket]
        command += ["--mine", "--miner.etherbase", signer, "--miner.gasprice", "1"]
        command += ["--unlock", signer, "--password", self._folder / "password"]
        # the account signs blocks and has no money; without this Geth refuses beside --http
        self._run(number, [*command, "--allow-insecure-unlock"])

    def _prepare(self, *words: str | Path) -> None:
        done = subprocess.run(
            [self._program, *words], check=False, capture_output=True, text=True, errors="replace"
        )
        if done.returncode:
            raise ChainError(f"Geth cannot prepare a signer: {done.stderr[-1000:]}")

    def _answers(self, number: int) -> bool:
        return self._peers(number) >= 0

    def _makes_blocks(self, number: int) -> bool:
        return self.height(number) > 0

    def _peers(self, number: int) -> int:
        return int(str(call(self.addresses[number].url, "net_peerCount")), 16)

    def _enodes(self) -> dict[int, str]:
        running = self._children.running()
        found = {}
        for number in range(len(self._signers)):
            if self._name(number) in running:
                info = self._admin(number, "admin_nodeInfo")
                assert isinstance(info, dict)  # noqa: S101 - our own node's
                found[number] = str(info["enode"])
        return found

    def _admin(self, number: int, method: str, *parameters: str) -> object:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(str(self._sockets / f"{number}.ipc"))
                connection.sendall(json.dumps(body).encode())
                with connection.makefile("rb") as answers:
                    answer = json.loads(answers.readline())
            except (OSError, ValueError) as error:
                raise ChainError(f"validator {number + 1} takes no orders: {error}") from error
        if "error" in answer:
            raise ChainError(f"validator {number + 1} refused {method}: {answer['error']}")
        return answer.get("result")
