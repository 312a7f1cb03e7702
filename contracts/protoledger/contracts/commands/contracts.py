"""The owner's half of `protoledger contracts`: deploy, say who may write, show what was spent.

`protoledger.gateway.commands.contracts` adds the commands that fold codebooks.

Keys come from files that only their owner may read (`protoledger.contracts.keys`), never from the
command line. Exit codes: 0 done, 64 a malformed argument, 69 the node does not answer, 78 a key
file or contract that cannot be used, 1 the contract or node refused.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protoledger.contracts.errors import (
    ChainUnreachableError,
    ContractsError,
    KeyFileError,
    NoContractError,
    RevertedError,
    RpcError,
)
from protoledger.contracts.keys import address_of, create_key, load_key
from protoledger.runtime.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protoledger.contracts.client.contract import Contract as EncodedContract

app = typer.Typer(help="The contracts on the chain.", no_args_is_help=True, add_completion=False)


def _node_address(value: str) -> str:
    if not re.match(r"https?://[^/\s]", value):
        typer.echo(f"error: --rpc {value!r} is no node's address: http://HOST:PORT", err=True)
        raise typer.Exit(Exit.USAGE)
    return value


Rpc = Annotated[
    str, typer.Option("--rpc", help="The node's JSON-RPC address.", callback=_node_address)
]
Key = Annotated[Path, typer.Option("--key", help="File with the owner's key, mode 0600.")]
Password = Annotated[
    Path | None, typer.Option("--password", help="File with the keystore's password, mode 0600.")
]
Contract = Annotated[str, typer.Option("--contract", help="PrototypeBuffer's address.")]
Gateways = Annotated[list[str], typer.Argument(help="Addresses of gateways.")]
_NO_ORACLE = "0x" + "00" * 20
LOCAL = "http://127.0.0.1:8545"
RETRIES = 3
"""How often a command asks a node again that errs."""


@contextmanager
def reported() -> Iterator[None]:
    """Turn this package's errors into a line on stderr and an exit code."""
    try:
        yield
    except ContractsError as error:
        poor = isinstance(error, RpcError) and "insufficient funds" in error.text.lower()
        hint = "; send money to the account of the key" if poor else ""
        typer.echo(f"error: {error}{hint}", err=True)
        code = Exit.FAILED
        if isinstance(error, ChainUnreachableError):
            code = Exit.UNAVAILABLE
        elif isinstance(error, KeyFileError | NoContractError):
            code = Exit.CONFIGURATION
        raise typer.Exit(code) from error


def addresses(values: list[str]) -> list[str]:
    """Check addresses, and give them in lower case; exit 64 names the first that is none."""
    for value in values:
        if not re.fullmatch("0x[0-9a-fA-F]{40}", value):
            typer.echo(f"error: {value!r} is no address: 0x and 40 hex digits", err=True)
            raise typer.Exit(Exit.USAGE)
    return [value.lower() for value in values]


def call_buffer(rpc: str, key: bytes, contract: str, function: str, *values: object) -> None:
    """Call the buffer, most often as its owner; see `call_contract`."""
    from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415 - loads web3

    call_contract(rpc, key, Buffer(contract), function, *values)


def call_contract(
    rpc: str, key: bytes, to: EncodedContract, function: str, *values: object, wei: int = 0
) -> None:
    """Call a contract; a refusal is named before anything is sent."""
    from protoledger.contracts.client.account import Account  # noqa: PLC0415 - loads web3
    from protoledger.contracts.client.deployment import Sender  # noqa: PLC0415
    from protoledger.contracts.client.node import Node  # noqa: PLC0415

    node, account = Node(rpc, retries=RETRIES), Account(key)
    try:
        to.require(node)
        call = to.encode(function, *values)
        try:
            gas = node.estimate_gas(account.address, to.address, call, value=wei)
        except RevertedError as error:
            raise to.explain(error) from error
        sender = Sender(node, account)
        sender.send(to.address, call, gas * 5 // 4, wei)
        receipt = sender.wait()[0]
        typer.echo(f"done in block {receipt.block}, {receipt.gas_used} gas")
    finally:
        node.close()


@app.command()
def key(path: Annotated[Path, typer.Argument(help="File to make; must not exist.")]) -> None:
    """Make a key for the chain, and show its address."""
    with reported():
        typer.echo(address_of(create_key(path)))


@app.command()
def deploy(
    key: Key,
    schema_hash: Annotated[
        str, typer.Option(help="Hash of the site schema, 64 hex digits: `protoledger schema FILE`.")
    ],
    features: Annotated[int, typer.Option(min=1, max=255, help="Features of a prototype.")],
    labels: Annotated[int, typer.Option(min=1, max=255, help="Number of labels.")],
    gateway: Annotated[
        list[str] | None, typer.Option(help="A gateway that may write; may be repeated.")
    ] = None,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Put both contracts on the chain; the key's account owns them."""
    from protoledger.contracts.client.deployment import deploy as put  # noqa: PLC0415 - loads web3

    schema = _hash(schema_hash)
    gateways = addresses(gateway or [])
    with reported():
        made = put(rpc, load_key(key, password), schema, features, labels, gateways)
    for name in ("buffer", "oracle", "owner", "chain_id", "genesis_hash", "block", "gas_used"):
        typer.echo(f"{name}: {getattr(made, name)}")


@app.command()
def grant(
    gateways: Gateways, key: Key, contract: Contract, rpc: Rpc = LOCAL, password: Password = None
) -> None:
    """Let gateways write their codebooks."""
    wanted = addresses(gateways)
    [contract] = addresses([contract])
    with reported():
        call_buffer(rpc, load_key(key, password), contract, "addGateways", wanted)


@app.command()
def revoke(
    gateways: Gateways, key: Key, contract: Contract, rpc: Rpc = LOCAL, password: Password = None
) -> None:
    """Forbid gateways to write; the others drop their codebooks."""
    [contract, *unwanted] = addresses([contract, *gateways])
    with reported():
        secret = load_key(key, password)
        for gateway in unwanted:
            call_buffer(rpc, secret, contract, "removeGateway", gateway)


@app.command()
def pause(key: Key, contract: Contract, rpc: Rpc = LOCAL, password: Password = None) -> None:
    """Stop all commits and checkpoints; they wait in the gateways."""
    [contract] = addresses([contract])
    with reported():
        call_buffer(rpc, load_key(key, password), contract, "pause")


@app.command()
def unpause(key: Key, contract: Contract, rpc: Rpc = LOCAL, password: Password = None) -> None:
    """Allow commits and checkpoints again."""
    [contract] = addresses([contract])
    with reported():
        call_buffer(rpc, load_key(key, password), contract, "unpause")


@app.command()
def set_oracle(
    oracle: Annotated[str, typer.Argument(help="DataOracle's address, or `none`.")],
    key: Key,
    contract: Contract,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Name the oracle whose rounds commits may cite."""
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.oracle.binding import Oracle  # noqa: PLC0415 - loads web3

    [address, contract] = addresses([_NO_ORACLE if oracle == "none" else oracle, contract])
    with reported():
        if address != _NO_ORACLE:
            node = Node(rpc)
            try:
                Oracle(address).require(node)
            finally:
                node.close()
        call_buffer(rpc, load_key(key, password), contract, "setOracle", address)


@app.command()
def transfer(
    owner: Annotated[str, typer.Argument(help="Who shall own the contract.")],
    key: Key,
    contract: Contract,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Offer the contract to another owner, who must `accept` it."""
    [address, contract] = addresses([owner, contract])
    with reported():
        secret = load_key(key, password)
        call_buffer(rpc, secret, contract, "transferOwnership", address)


@app.command()
def accept(key: Key, contract: Contract, rpc: Rpc = LOCAL, password: Password = None) -> None:
    """Take over a contract that was offered to this key's account."""
    [contract] = addresses([contract])
    with reported():
        call_buffer(rpc, load_key(key, password), contract, "acceptOwnership")


@app.command()
def migrate(
    key: Key,
    contract: Contract,
    schema_hash: Annotated[
        str,
        typer.Option(help="Hash of the new site schema, 64 hex digits: `protoledger schema FILE`."),
    ],
    features: Annotated[int, typer.Option(min=1, max=255, help="Features of a prototype.")],
    labels: Annotated[int, typer.Option(min=1, max=255, help="Number of labels.")],
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Deploy again for other channels or labels, for the same gateways, and name the successor.

    A gateway goes on there once its site file is the new one; the old contract stays readable.
    """
    from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415 - loads web3
    from protoledger.contracts.client.deployment import deploy as put  # noqa: PLC0415
    from protoledger.contracts.client.node import Node  # noqa: PLC0415

    [contract] = addresses([contract])
    schema = _hash(schema_hash)
    with reported():
        secret, node, old = load_key(key, password), Node(rpc, retries=RETRIES), Buffer(contract)
        old.require(node)
        if old.governance(node).owner != address_of(secret):
            raise RevertedError("OwnableUnauthorizedAccount", (address_of(secret),), ("account",))
        listed = [who for who, each in old.standings(node).items() if each.head.listed]
        node.close()
        made = put(rpc, secret, schema, features, labels, listed)
        call_buffer(rpc, secret, contract, "setSuccessor", made.buffer)
    typer.echo(f"successor: {made.buffer}\noracle: {made.oracle}\ngateways: {len(listed)}")


def _hash(text: str) -> bytes:
    if not re.fullmatch("(0x)?[0-9a-fA-F]{64}", text):
        typer.echo(f"error: {text!r} is no hash: 64 hex digits", err=True)
        raise typer.Exit(Exit.USAGE)
    return bytes.fromhex(text.removeprefix("0x"))


@app.command()
def show(contract: Contract, rpc: Rpc = LOCAL) -> None:
    """Show what the deployment fixed, and how every gateway's codebook stands."""
    from protoledger.contracts.client.binding import NO_ADDRESS, Buffer  # noqa: PLC0415
    from protoledger.contracts.client.node import Node  # noqa: PLC0415 - loads web3

    [contract] = addresses([contract])
    with reported():
        node, buffer = Node(rpc, retries=RETRIES), Buffer(contract)
        buffer.require(node)
        terms, governance = buffer.terms(node), buffer.governance(node)
        typer.echo(f"schema {terms.schema_hash.hex()}")
        typer.echo(
            f"{terms.features} features, {terms.labels} labels, at most {terms.max_records} records"
        )
        paused = ", paused" if governance.paused else ""
        typer.echo(f"owner {governance.owner}, oracle {governance.oracle}{paused}")
        if governance.successor != NO_ADDRESS:
            typer.echo(f"successor {governance.successor}: this contract is only read any more")
        for gateway, standing in buffer.standings(node).items():
            head = standing.head
            typer.echo(
                f"{gateway} {head.status:9} version {head.version}, {head.count} records, "
                f"{head.count * (5 + 2 * terms.features)} bytes, epoch {head.epoch} from block "
                f"{standing.first_block}, checkpoint {standing.checkpoint_version or '–'}"
            )
        node.close()
