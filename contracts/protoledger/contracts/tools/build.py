"""Compile the contracts and write, or check, the artifacts in `abi/`.

`python -m protoledger.contracts.tools.build` writes them; with `--check` it compiles and fails if
what is committed differs by a byte. The bytecode carries no metadata, so equal sources and settings
give equal files on every machine.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from protoledger.contracts import NAMES
from protoledger.contracts.tools.toolchain import CONTRACTS, binary

_ABI = Path(__file__).parents[1] / "abi"


def compile_contracts() -> dict[str, str]:
    """Run forge on the sources and return the artifacts' texts by contract name.

    Raises:
        ToolMissingError: forge is not installed.
        subprocess.CalledProcessError: the sources do not compile; forge said why on stderr.
    """
    forge = str(binary("forge"))
    subprocess.run([forge, "build", "--quiet", "src"], cwd=CONTRACTS, check=True)
    return {name: _artifact(name) for name in NAMES}


def _artifact(name: str) -> str:
    path = CONTRACTS / "out" / f"{name}.sol" / f"{name}.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    metadata = raw["metadata"]
    artifact = {
        "compiler": metadata["compiler"]["version"],
        "evm": metadata["settings"]["evmVersion"],
        "optimizer_runs": metadata["settings"]["optimizer"]["runs"],
        "abi": raw["abi"],
        "bytecode": raw["bytecode"]["object"],
    }
    return json.dumps(artifact, indent=1) + "\n"


def main() -> int:
    """Write the artifacts, or say which differ; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m protoledger.contracts.tools.build", description=__doc__
    )
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    check: bool = parser.parse_args().check
    stale = []
    for name, text in compile_contracts().items():
        path = _ABI / f"{name}.json"
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if not check:
            _ABI.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(
            f"contracts/abi: {', '.join(stale)} not as the sources compile; "
            "run `python -m protoledger.contracts.tools.build` and commit the result\n",
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
