"""Find and run the chain's tools that npm installed: forge, Anvil and the Solidity compiler.

The npm packages choose a platform's binary in an install script or a node launcher; where scripts
are blocked the former never ran, and the latter costs a node process per call. So the platform's
package is addressed directly, where `make setup` unpacked it.

`python -m protoledger.contracts.tools.toolchain forge test` runs forge in `contracts/`.
"""

import os
import platform
import shutil
import sys
from pathlib import Path

from protoledger.contracts.errors import ToolMissingError
from protoledger.runtime.exits import Exit

CONTRACTS = Path(__file__).resolve().parents[3]
REPOSITORY = CONTRACTS.parent
RECENT_STATES = ("--prune-history", "256")
"""Anvil's option for how many blocks' states to keep, in memory; blocks and logs stay all the same.
Without it old states go to disk under the home directory, and a killed Anvil leaves them there."""
_SYSTEMS = {"Linux": "linux", "Darwin": "darwin"}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def binary(tool: str, modules: Path = REPOSITORY / "node_modules") -> Path:
    """Path of a Foundry tool's executable.

    Args:
        tool: `forge` or `anvil`.
        modules: the node_modules folder to look in.

    Raises:
        ToolMissingError: not installed, or not made for this system and processor.
    """
    system, machine = platform.system(), platform.machine().lower()
    if system not in _SYSTEMS or machine not in _MACHINES:
        raise ToolMissingError(
            f"{tool} is not published for {system} on {machine}; "
            "use Linux or macOS on amd64 or arm64, or a chain on another machine",
        )
    package = f"{tool}-{_SYSTEMS[system]}-{_MACHINES[machine]}"
    path = modules / "@foundry-rs" / package / "bin" / tool
    if not path.is_file():
        raise ToolMissingError(
            f"{tool} is not installed: {path} does not exist; run "
            f"`rm -f node_modules/.ready; make setup` in {modules.parent}",
        )
    return path


def geth() -> Path:
    """Path of go-ethereum's `geth`: that of `make geth`, else one that is installed.

    Raises:
        ToolMissingError: there is none.
    """
    built = REPOSITORY / ".venv" / "bin" / "geth"
    if built.is_file():
        return built
    if found := shutil.which("geth"):
        return Path(found)
    raise ToolMissingError("geth is not installed; `make geth` builds it where Go is installed")


def safe_artifacts() -> Path:
    """Folder with the compiled Safe (`Safe.json`) and its factory (`SafeProxyFactory.json`).

    Raises:
        ToolMissingError: `make setup` was not run, or is older.
    """
    folder = REPOSITORY / "node_modules" / "@safe-global" / "safe-contracts"
    if (folder / "Safe.json").is_file():
        return folder
    raise ToolMissingError(
        f"Safe's contracts are not installed: {folder} does not exist; run `make setup` in "
        f"{REPOSITORY}"
    )


def validator_program(name: str) -> Path:
    """Path of a program that `make validators` builds.

    Args:
        name: `geth-clique`, go-ethereum's last release with Clique, or `avalanchego`; beside the
            latter is `avalanche-local`, the keys of its local network.

    Raises:
        ToolMissingError: it is not built.
    """
    built = REPOSITORY / ".venv" / "validators" / name
    if built.is_file():
        return built
    raise ToolMissingError(
        f"{name} is not built; `make validators` builds it where Go is installed (some minutes)"
    )


def main() -> None:
    """Replace this process by a tool, started in `contracts/`."""
    if len(sys.argv) < 2:
        usage = "usage: python -m protoledger.contracts.tools.toolchain forge|anvil [ARGUMENT …]"
        print(usage, file=sys.stderr)  # noqa: T201 - the command line's answer
        sys.exit(Exit.USAGE)
    tool = binary(sys.argv[1])
    os.chdir(CONTRACTS)
    os.execv(tool, [str(tool), *sys.argv[2:]])  # noqa: S606 - that is the point


if __name__ == "__main__":
    main()
