"""Let Slither look for known weaknesses in the contracts.

`python -m protoledger.contracts.tools.analysis` compiles the sources once, in the shape of a
Foundry build that Slither reads without compiling, and runs it: forge's own build names
OpenZeppelin's files by two paths each, which Slither mistakes for one. Slither lives in an
environment of its own, because it needs an older web3 than a gateway does; `make check` makes that.

Findings are fixed, or explained where they stand by a `slither-disable` comment; which detectors
are off at large, and why, is in `slither.config.json`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from protoledger.contracts.errors import ToolMissingError
from protoledger.contracts.tools.toolchain import CONTRACTS, REPOSITORY, binary

_SETTINGS = {
    "remappings": ["@openzeppelin/contracts/=../node_modules/@openzeppelin/contracts/"],
    "optimizer": {"enabled": True, "runs": 200},
    "evmVersion": "osaka",
    "outputSelection": {
        "*": {
            "": ["ast"],
            "*": ["abi", "evm.bytecode", "evm.deployedBytecode", "devdoc", "userdoc", "metadata"],
        }
    },
}


def compile_for_slither() -> None:
    """Compile the sources, and lay the result where Slither looks for Foundry's.

    Raises:
        ToolMissingError: npm's compiler is not installed.
        ValueError: the sources do not compile.
    """
    asked = {
        "language": "Solidity",
        "sources": {
            str(path.relative_to(CONTRACTS)): {"content": path.read_text(encoding="utf-8")}
            for path in sorted((CONTRACTS / "src").rglob("*.sol"))
        },
        "settings": _SETTINGS,
    }
    wrapper = str(CONTRACTS / "solc")
    try:
        answer = subprocess.run(
            [wrapper, "--standard-json"],
            input=json.dumps(asked).encode(),
            capture_output=True,
            check=True,
        )
        version = subprocess.run([wrapper, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolMissingError(f"npm's solc does not run ({error}); run `make setup`") from error
    output = json.loads(answer.stdout)
    faults = [fault for fault in output.get("errors", []) if fault["severity"] == "error"]
    if faults:
        raise ValueError("\n".join(str(fault["formattedMessage"]) for fault in faults))
    long_version = version.stdout.decode().split("Version: ")[1].strip()
    folder = CONTRACTS / "out" / "slither" / "build-info"
    folder.mkdir(parents=True, exist_ok=True)
    build = {
        "id": "slither",
        "input": asked,
        "output": output,
        "solcVersion": long_version.split("+")[0],
        "solcLongVersion": long_version,
    }
    (folder / "slither.json").write_text(json.dumps(build), encoding="utf-8")


def main() -> int:
    """Compile, and run Slither with the arguments given; returns its exit code."""
    slither = REPOSITORY / ".venv" / "slither" / "bin" / "slither"
    if not slither.is_file():
        raise ToolMissingError(f"{slither} does not exist; `make check` installs it")
    compile_for_slither()
    # Slither asks forge for its configuration.
    tools = f"{binary('forge').parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [str(slither), ".", "--ignore-compile", "--foundry-out-directory", "out/slither"]
    done = subprocess.run(
        [*command, *sys.argv[1:]],
        cwd=CONTRACTS,
        env=os.environ | {"PATH": tools},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    else:
        sys.stdout.write("slither: nothing found that is not explained\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
