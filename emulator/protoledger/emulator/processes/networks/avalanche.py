"""Proof of stake by repeated sampling: Avalanche's local network, five validators and its C-Chain.

Identities, stakes and the account with money are those of avalanchego's local genesis. Their keys
are public, so this network is worth nothing and must not be reached from outside. Five validators
of equal stake go on while four run; an accepted block is final.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.toolchain import validator_program
from protoledger.emulator.errors import ChainError, ProgramMissingError
from protoledger.emulator.processes.chain import ChainAddress, call
from protoledger.emulator.processes.networks.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protoledger.emulator.processes.children import Children
    from protoledger.emulator.processes.networks.network import Place

VALIDATORS: Final = 5
_FIRST = "NodeID-7Xhw2mDxuDS44j42TCB6U5579esbSt3Lg"
_START_S = 180.0


class Avalanche(Network):
    """Avalanche's local network; see `Network`.

    Args:
        children: owns the processes.
        folder: for their files.
        owners: how many of the five validators have an owner here.
        places: where each of the five runs; all here if left out.
    """

    chain_id = 43_112
    # published with avalanchego: worth nothing on any other network
    faucet = bytes.fromhex("56289e99c94b6912bfc12adc093c9b51124f0dc54ac7a766b2bc5ccf558d8027")

    def __init__(
        self,
        children: Children,
        folder: Path,
        owners: int = VALIDATORS,
        places: Sequence[Place] | None = None,
    ) -> None:
        if owners > VALIDATORS:
            raise ChainError(
                f"Avalanche's local network has {VALIDATORS} validators, one for each owner: "
                f"at most {VALIDATORS} sites, not {owners}"
            )
        try:
            self._program = validator_program("avalanchego")
        except ToolMissingError as error:
            raise ProgramMissingError(str(error)) from error
        super().__init__(children, folder, VALIDATORS, places)

    def start(self) -> None:
        """Start all five, and wait until each answers for the C-Chain."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(VALIDATORS):
            self._launch(number)
        for number in range(VALIDATORS):
            self._wait(number)

    def revive(self, number: int) -> None:
        """Start a killed validator again."""
        self._launch(number)

    def _wait(self, number: int) -> None:
        url = self.addresses[number].url
        self._until("ready", number, lambda: call(url, "eth_chainId") is not None, _START_S)

    def _address(self, number: int) -> ChainAddress:
        path = "/ext/bc/C/"
        http, websocket = self._url(number, 0), self._url(number, 0, "ws")
        return ChainAddress(f"{http}{path}rpc", self.chain_id, f"{websocket}{path}ws")

    def _launch(self, number: int) -> None:
        http, staking = map(str, self._ports[number][:2])
        host = self._places[number].host
        keys = self._program.parent / "avalanche-local"
        command: list[str | Path] = [
            self._program,
            "--network-id=local",
            f"--data-dir={self.folder(number)}",
        ]
        command += [f"--http-host={host}", f"--http-port={http}"]
        command += [f"--staking-host={host}", f"--staking-port={staking}"]
        command += [f"--public-ip={host}", "--network-allow-private-ips=true"]
        command += [f"--staking-tls-cert-file={keys / f'staker{number + 1}.crt'}"]
        command += [f"--staking-tls-key-file={keys / f'staker{number + 1}.key'}"]
        command += [f"--staking-signer-key-file={keys / f'signer{number + 1}.key'}"]
        command += ["--log-level=warn", "--log-display-level=error", "--fd-limit=4096"]
        first = f"{self._places[0].host}:{self._ports[0][1]}"
        command += [f"--bootstrap-ips={first if number else ''}"]
        command += [f"--bootstrap-ids={_FIRST if number else ''}"]
        self._run(number, command)
