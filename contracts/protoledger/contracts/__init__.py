"""The Solidity contracts, and what Python needs of them.

`src/` holds PrototypeBuffer (a codebook of prototypes per gateway) and DataOracle (outside data by
a quorum of reporters); `abi/` holds their interfaces and creation code as compiled, committed so
that a gateway needs no compiler. What flows through is nothing but these artifacts: the contracts'
callers are in `protoledger.contracts.client.binding` and `protoledger.gateway.ledger.client`.
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

__all__ = ["NAMES", "Artifact", "load"]

NAMES = ("PrototypeBuffer", "DataOracle")
_FOLDER = Path(__file__).parent / "abi"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    Attributes:
        name: the contract's name in `src/`.
        abi: its interface, as solc writes it.
        bytecode: creation code without constructor arguments.
        compiler: version of solc that made it.
    """

    name: str
    abi: list[dict[str, object]] = field(repr=False)
    bytecode: bytes = field(repr=False)
    compiler: str


@cache
def load(name: str) -> Artifact:
    """Read a committed artifact; web3 is not needed for it.

    Args:
        name: one of `NAMES`.

    Raises:
        KeyError: there is no contract of this name.

    >>> load("PrototypeBuffer").compiler.startswith("0.8.")
    True
    """
    if name not in NAMES:
        raise KeyError(f"no contract {name!r}; there are {', '.join(NAMES)}")
    raw = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return Artifact(name, raw["abi"], bytes.fromhex(raw["bytecode"][2:]), raw["compiler"])
