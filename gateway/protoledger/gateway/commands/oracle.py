"""`protoledger oracle`: the reporter, and what the oracle's owner and readers need.

Exit codes are those of `protoledger contracts`.
"""

from __future__ import annotations

import logging
import signal
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from protoledger.contracts.commands.contracts import (
    LOCAL,
    RETRIES,
    Key,
    Password,
    Rpc,
    addresses,
    call_contract,
    reported,
)
from protoledger.contracts.errors import RevertedError
from protoledger.contracts.keys import load_key
from protoledger.gateway.errors import CodebookError
from protoledger.runtime.exits import Exit

if TYPE_CHECKING:
    from protoledger.contracts.oracle.binding import FeedState
    from protoledger.contracts.oracle.binding import Oracle as DataOracle

app = typer.Typer(
    help="Outside data on the chain, without raw readings.",
    no_args_is_help=True,
    add_completion=False,
)

Oracle = Annotated[str, typer.Option("--oracle", help="DataOracle's address.")]


def _name(value: str) -> str:
    if not 1 <= len(value.encode()) <= 32:
        typer.echo(
            f"error: a name has 1 to 32 bytes, {value!r} has {len(value.encode())}", err=True
        )
        raise typer.Exit(Exit.USAGE)
    return value


Feed = Annotated[str, typer.Argument(help="The feed's name, at most 32 bytes.", callback=_name)]


@app.command()
def run(
    config: Annotated[Path, typer.Option("--config", "-c", help="The reporter's file.")],
) -> None:
    """Report until SIGTERM: read sources, sign, and submit with a quorum."""
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.oracle import reporter as oracle_reporter  # noqa: PLC0415 - loads web3

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that sources are closed
    with reported():
        loaded = oracle_reporter.load_reporter(config)
        node = Node(loaded.rpc_url)
        try:
            oracle_reporter.run(loaded, load_key(loaded.key_file, loaded.key_password_file), node)
        except KeyboardInterrupt:
            pass
        finally:
            node.close()


@app.command()
def reporters(
    accounts: Annotated[list[str], typer.Argument(help="Addresses of reporters.")],
    faults: Annotated[int, typer.Option(min=0, max=15, help="How many of the reporters may lie.")],
    oracle: Oracle,
    key: Key,
    *,
    quorum: Annotated[
        int | None,
        typer.Option(min=1, max=31, help="Reports of a round. Default: 2 · faults + 1, the least."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forbid them instead.")] = False,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Let accounts report, or no longer, and say how many of them may lie."""
    from protoledger.contracts.oracle import binding as oracle_binding  # noqa: PLC0415 - loads web3

    [address, *wanted] = addresses([oracle, *accounts])
    values = (wanted, not remove, quorum or 2 * faults + 1, faults)
    with reported():
        secret = load_key(key, password)
        call_contract(rpc, secret, oracle_binding.Oracle(address), "setReporters", *values)


@app.command()
def add_feed(
    feed: Feed,
    oracle: Oracle,
    key: Key,
    minimum: Annotated[float, typer.Option(help="Lowest answer that the contract takes.")],
    maximum: Annotated[float, typer.Option(help="Highest answer.")],
    decimals: Annotated[int, typer.Option(min=0, max=18, help="Digits after the point.")] = 2,
    max_age: Annotated[int, typer.Option(min=1, help="Seconds until an answer is stale.")] = 3600,
    unit: Annotated[str, typer.Option(help="Shown as the feed's description.")] = "",
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Open a feed that reporters answer."""
    from protoledger.contracts.oracle import binding as oracle_binding  # noqa: PLC0415 - loads web3

    [address] = addresses([oracle])
    with reported():
        secret, to = load_key(key, password), oracle_binding.Oracle(address)
        bounds = [int(Decimal(str(each)).scaleb(decimals)) for each in (minimum, maximum)]
        values = (oracle_binding.feed_id(feed), unit or feed, decimals, max_age, *bounds)
        call_contract(rpc, secret, to, "addFeed", *values)


@app.command()
def request(
    feed: Feed, oracle: Oracle, key: Key, rpc: Rpc = LOCAL, password: Password = None
) -> None:
    """Ask the reporters for a new answer; any account may, for what the oracle's owner asks."""
    from protoledger.contracts.oracle import binding as oracle_binding  # noqa: PLC0415 - loads web3

    [address] = addresses([oracle])
    with reported():
        secret, to = load_key(key, password), oracle_binding.Oracle(address)
        price = _price(rpc, to)
        call_contract(rpc, secret, to, "request", oracle_binding.feed_id(feed), wei=price)


@app.command()
def batch(
    file: Annotated[Path, typer.Argument(help="CSV: `class`, then a column a feature, in ranges.")],
    source: Annotated[
        str, typer.Option(help="Who aggregated them, at most 32 bytes.", callback=_name)
    ],
    oracle: Oracle,
    key: Annotated[
        list[Path],
        typer.Option(help="File with a reporter's key; once for each of the quorum, no more."),
    ],
    labels: Annotated[int, typer.Option(min=1, max=255, help="Labels of the contract.")],
    payer: Annotated[
        Path | None,
        typer.Option(
            help="File with the key that pays; default: one of the reporters'. Needed "
            "while those report, because two senders with one key get into each other's way."
        ),
    ] = None,
    rpc: Rpc = LOCAL,
) -> None:
    """Put labelled samples on the chain for a site that has none; gateways learn from them."""
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.oracle import binding as oracle_binding  # noqa: PLC0415 - loads web3
    from protoledger.contracts.oracle.batches import submit_samples  # noqa: PLC0415
    from protoledger.gateway.ledger.oracle_samples import read_samples  # noqa: PLC0415

    [address] = addresses([oracle])
    with reported():
        try:
            samples = read_samples(file, labels).encode()
        except CodebookError as error:
            typer.echo(f"error: {file}: {error}", err=True)
            raise typer.Exit(Exit.DATA) from error
        keys, pays = [load_key(each) for each in key], load_key(payer) if payer else None
        node, to, name = Node(rpc), oracle_binding.Oracle(address), oracle_binding.feed_id(source)
        try:
            receipt = submit_samples(node, to, keys, name, samples, pays)
        finally:
            node.close()
    typer.echo(f"done in block {receipt.block}, {receipt.gas_used} gas")


@app.command()
def read(feed: Feed, oracle: Oracle, rpc: Rpc = LOCAL) -> None:
    """Show a feed's newest answer."""
    from protoledger.contracts.oracle import binding as oracle_binding  # noqa: PLC0415 - loads web3

    [address] = addresses([oracle])
    with reported():
        state = _state(rpc, oracle_binding.Oracle(address), feed)
    if not state.round_id:
        typer.echo(f"{feed}: no answer yet")
        return
    value = state.answer / 10**state.decimals
    typer.echo(f"{feed}: {value:.{state.decimals}f}, round {state.round_id}, at {state.updated_at}")


def _price(rpc: str, oracle: DataOracle) -> int:
    from protoledger.contracts.client.node import Node  # noqa: PLC0415 - loads web3

    node = Node(rpc, retries=RETRIES)
    try:
        oracle.require(node)
        return oracle.request_price(node)
    finally:
        node.close()


def _state(rpc: str, oracle: DataOracle, feed: str) -> FeedState:
    from protoledger.contracts.client.node import Node  # noqa: PLC0415
    from protoledger.contracts.oracle.binding import feed_id  # noqa: PLC0415 - loads web3

    node = Node(rpc, retries=RETRIES)
    try:
        oracle.require(node)
        return oracle.feed(node, feed_id(feed))
    except RevertedError as error:
        raise oracle.explain(error) from error
    finally:
        node.close()
