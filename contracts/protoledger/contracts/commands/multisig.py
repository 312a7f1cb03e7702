"""`protoledger contracts multisig`: several owners decide together as the contract's owner.

One proposes, which makes a file; each signs it with a key that never leaves its owner's machine;
anyone who holds the file with enough signatures can execute it. The file names the function and its
arguments, and everyone who signs encodes them again: nobody signs bytes that another prepared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Self

import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protoledger.contracts.commands.contracts import (
    LOCAL,
    RETRIES,
    Contract,
    Key,
    Password,
    Rpc,
    addresses,
    call_contract,
    reported,
)
from protoledger.contracts.errors import ProposalError
from protoledger.contracts.keys import address_of, load_key

if TYPE_CHECKING:
    from protoledger.contracts.client.node import Node
    from protoledger.contracts.multisig import Safe

app = typer.Typer(help="Several owners: propose, sign and execute together.", no_args_is_help=True)
ACTIONS: Final = {
    "accept": ("acceptOwnership", 0),
    "grant": ("addGateways", None),
    "revoke": ("removeGateway", 1),
    "pause": ("pause", 0),
    "unpause": ("unpause", 0),
    "set-oracle": ("setOracle", 1),
    "set-successor": ("setSuccessor", 1),
    "transfer": ("transferOwnership", 1),
}
"""What can be proposed: the buffer's function, and how many addresses it takes; None: a list."""

_Address = Annotated[str, Field(pattern=r"^0x[0-9a-f]{40}$")]
_Signature = Annotated[str, Field(pattern=r"^[0-9a-f]{130}$")]
Multisig = Annotated[str, typer.Option("--multisig", help="The Safe's address.")]
File = Annotated[Path, typer.Argument(help="The proposal's file.")]


class Proposal(BaseModel):
    """A proposal's file; see `protoledger contracts multisig propose`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    chain_id: int = Field(gt=0)
    multisig: _Address
    contract: _Address
    number: int = Field(ge=0)
    action: str
    arguments: list[_Address]
    signatures: dict[_Address, _Signature]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file strictly.

        Raises:
            ProposalError: it cannot be read, or is no proposal.
        """
        try:
            found = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise ProposalError(f"{path} is no proposal: {error}") from error
        check_action(found.action, found.arguments)
        return found

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(json.dumps(self.model_dump(), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)

    def call(self) -> bytes:
        """Encode what is proposed."""
        from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415 - loads web3

        function, count = ACTIONS[self.action]
        values = [self.arguments] if count is None else self.arguments
        return Buffer(self.contract).encode(function, *values)

    def signed_by(self) -> dict[str, bytes]:
        """Give the signatures by who gave them.

        Raises:
            ProposalError: one is not of the owner that it is said to be of.
        """
        from protoledger.contracts.multisig import Safe  # noqa: PLC0415

        safe, call = Safe(self.multisig), self.call()
        found = {}
        for owner, text in self.signatures.items():
            signature = bytes.fromhex(text)
            who = safe.signer(signature, self.chain_id, self.number, self.contract, call)
            if who != owner:
                raise ProposalError(
                    f"the signature of {owner} is not for this proposal: it was changed afterwards"
                )
            found[owner] = signature
        return found

    def shown(self) -> str:
        """Say in one line what is proposed."""
        words = " ".join([self.action, *self.arguments])
        return f"{words} on {self.contract}, chain {self.chain_id}, number {self.number}"


def check_action(action: str, arguments: list[str]) -> None:
    """Check that an action is known and has its arguments.

    Raises:
        ProposalError: it is not, or has not.
    """
    if action not in ACTIONS:
        raise ProposalError(f"no action {action!r}: there are {', '.join(ACTIONS)}")
    count = ACTIONS[action][1]
    if len(arguments) != count if count is not None else not arguments:
        wanted = "one or more addresses" if count is None else f"{count} addresses"
        raise ProposalError(f"{action} takes {wanted}, not {len(arguments)}")


@app.command()
def create(
    owner: Annotated[list[str], typer.Option(help="Who may sign; may be repeated.")],
    threshold: Annotated[int, typer.Option(min=1, help="How many must sign.")],
    key: Key,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Put a Safe on a chain of your own; on a public one make it at app.safe.global.

    The key's account pays and gets no rights.
    """
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.multisig import create as put  # noqa: PLC0415 - loads web3
    from protoledger.contracts.tools.toolchain import safe_artifacts  # noqa: PLC0415

    owners = addresses(owner)
    with reported():
        if len(set(owners)) != len(owners) or threshold > len(owners):
            raise ProposalError(
                f"{threshold} of {len(owners)} owners cannot sign; name each once, and no higher "
                f"--threshold than owners"
            )
        artifacts, node = safe_artifacts(), Node(rpc, retries=RETRIES)
        try:
            made, receipts = put(node, load_key(key, password), artifacts, owners, threshold)
        finally:
            node.close()
    gas = sum(receipt.gas_used for receipt in receipts)
    typer.echo(f"multisig: {made}\nthreshold: {threshold} of {len(owners)}\ngas_used: {gas}")


@app.command()
def propose(
    file: File,
    action: Annotated[str, typer.Argument(help=f"What to do: {', '.join(ACTIONS)}.")],
    multisig: Multisig,
    contract: Contract,
    arguments: Annotated[list[str] | None, typer.Argument(help="Addresses.")] = None,
    rpc: Rpc = LOCAL,
) -> None:
    """Write down what the owners are to decide; nothing is sent."""
    with reported():
        if file.exists():
            raise ProposalError(f"{file} exists; name another file")
        values = addresses(arguments or [])
        check_action(action, values)
        [multisig, contract] = addresses([multisig, contract])
        node, safe = _safe(rpc, multisig)
        try:
            proposal = Proposal(
                chain_id=node.chain_id(),
                multisig=multisig,
                contract=contract,
                number=safe.nonce(node),
                action=action,
                arguments=values,
                signatures={},
            )
            needed, owners = safe.threshold(node), safe.owners(node)
        finally:
            node.close()
        proposal.write(file)
    typer.echo(f"{proposal.shown()}\n{needed} of {len(owners)} owners must sign {file}")


@app.command()
def sign(file: File, key: Key, password: Password = None) -> None:
    """Show a proposal and sign it; needs no node."""
    from protoledger.contracts.multisig import Safe  # noqa: PLC0415 - loads web3

    with reported():
        proposal, secret = Proposal.read(file), load_key(key, password)
        proposal.signed_by()
        safe, call = Safe(proposal.multisig), proposal.call()
        made = safe.sign(secret, proposal.chain_id, proposal.number, proposal.contract, call)
        signatures = proposal.signatures | {address_of(secret): made.hex()}
        proposal.model_copy(update={"signatures": signatures}).write(file)
    typer.echo(f"signed: {proposal.shown()}\nsignatures: {len(signatures)}")


@app.command()
def execute(file: File, key: Key, rpc: Rpc = LOCAL, password: Password = None) -> None:
    """Send a proposal that enough owners have signed; the key's account pays."""
    with reported():
        proposal = Proposal.read(file)
        signatures = proposal.signed_by()
        node, safe = _safe(rpc, proposal.multisig)
        try:
            _check_executable(proposal, node, safe)
            owners, needed = safe.owners(node), safe.threshold(node)
        finally:
            node.close()
        counted = {owner: each for owner, each in signatures.items() if owner in owners}
        if len(counted) < needed:
            missing = [owner for owner in owners if owner not in counted]
            raise ProposalError(
                f"{len(counted)} of {needed} needed owners have signed; not yet: "
                f"{', '.join(missing)}"
            )
        enough = {owner: counted[owner] for owner in sorted(counted)[:needed]}
        call_contract(
            rpc,
            load_key(key, password),
            safe,
            "execTransaction",
            *safe.arguments(proposal.contract, proposal.call(), enough),
        )


def _check_executable(proposal: Proposal, node: Node, safe: Safe) -> None:
    if node.chain_id() != proposal.chain_id:
        raise ProposalError(f"it is for chain {proposal.chain_id}; {node.url} is {node.chain_id()}")
    number = safe.nonce(node)
    if number != proposal.number:
        raise ProposalError(
            f"it has number {proposal.number}, the multisig's next is {number}: it was executed, "
            f"or another one was first; propose it again"
        )


def _safe(rpc: str, address: str) -> tuple[Node, Safe]:
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.multisig import Safe  # noqa: PLC0415 - loads web3

    node, safe = Node(rpc, retries=RETRIES), Safe(address)
    safe.require(node)
    return node, safe
