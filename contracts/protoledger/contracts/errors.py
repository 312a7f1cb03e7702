"""What can go wrong between Python and the contracts; one base, each class also a builtin."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HINTS = {
    "OwnableUnauthorizedAccount": "only the contract's owner may do that, or accept it if offered",
    "EnforcedPause": "it is paused; its owner ends that with `protoledger contracts unpause`",
    "ExpectedPause": "it is not paused",
    "PrototypeBufferNotAGateway": "status 0 was never granted, 2 was revoked; the owner grants "
    "with `protoledger contracts grant`",
    "DataOracleNotAReporter": "the owner adds it with `protoledger oracle reporters`",
    "DataOracleWrongNumberOfReports": "give a key or report for each of the quorum, no more",
    "DataOracleLeavesOutReporters": "a reporter that comes first in this round's order is missing; "
    "without it the others count only later",
    "DataOracleBadQuorum": "the quorum is at least 2 · faults + 1, and at most all reporters",
    "DataOracleUnknownFeed": "the owner opens it with `protoledger oracle add-feed`",
}


class ContractsError(Exception):
    """Base of all errors of this package."""


class ToolMissingError(ContractsError, FileNotFoundError):
    """A tool is not installed; `make setup` installs it where there is one for the machine."""


class KeyFileError(ContractsError, ValueError):
    """A key file that is missing, readable by others, or holds no key: permanent."""


class ProposalError(ContractsError, ValueError):
    """A proposal's file is no proposal, or is not for this chain, contract or moment: permanent."""


class NoContractError(ContractsError, LookupError):
    """There is no code at an address: another chain, or a wrong address."""


class ChainUnreachableError(ContractsError, ConnectionError):
    """The node did not answer: transient, try again."""

    @property
    def text(self) -> str:
        """What happened."""
        return str(self)


class NonsenseError(ChainUnreachableError):
    """The node answered with something else than it was asked for: transient, try again."""


class LaggingNodeError(ChainUnreachableError):
    """The node is behind, or its answers do not fit each other: transient, try again."""


class RateLimitedError(ChainUnreachableError):
    """The node wants to be asked less often: transient, try again later.

    Attributes:
        retry_after_s: when, if the node says it.
    """

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class RpcError(ContractsError, RuntimeError):
    """The node answered with an error.

    Attributes:
        method: what was asked.
        code: JSON-RPC's error code.
        text: what the node said.
    """

    def __init__(self, method: str, code: int, text: str) -> None:
        super().__init__(f"{method}: the node answered {code}: {text}")
        self.method = method
        self.code = code
        self.text = text


class PrunedHistoryError(RpcError):
    """The node has not got blocks, states or events as old as these (any more)."""


class UnderpricedError(RpcError):
    """The node takes no transaction with so low a fee.

    Attributes:
        minimum_wei: the least tip; 0 if the node does not say.
    """

    def __init__(self, method: str, code: int, text: str, minimum_wei: int = 0) -> None:
        super().__init__(method, code, text)
        self.minimum_wei = minimum_wei


class ReplacementUnderpricedError(RpcError):
    """The node's pool has a transaction of the same number that offers as much or more."""


class NonceUsedError(RpcError):
    """A transaction of this number is mined already."""


class RevertedError(ContractsError, RuntimeError):
    """A contract refused a call.

    Attributes:
        name: the custom error's name, such as `PrototypeBufferStaleVersion`; `Error` or `Panic` for
            Solidity's own; empty if the data is of no known error.
        values: what it carries.
        names: what the values are called, for the message.
    """

    def __init__(self, name: str, values: tuple[object, ...], names: Sequence[str] = ()) -> None:
        labels = [f"{label} " if label else "" for label in names] or [""] * len(values)
        carried = ", ".join(
            f"{label}{_shown(value)}" for label, value in zip(labels, values, strict=True)
        )
        said = f"{name or 'it gives no known reason'}({carried})"
        hint = _HINTS.get(name)
        super().__init__(f"the contract refuses: {said}" + (f": {hint}" if hint else ""))
        self.name = name
        self.values = values


class DeploymentError(ContractsError, RuntimeError):
    """The contracts did not come to stand on the chain."""


def _shown(value: object) -> str:
    """Write a value as a person reads it: a name that fills a word up with zeros as text."""
    if not isinstance(value, bytes):
        return str(value)
    text = value.rstrip(b"\0")
    if text and text.isascii() and text.decode().isprintable():
        return repr(text.decode())
    return "0x" + value.hex()
