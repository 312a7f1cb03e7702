"""The items of `gateway check` about the chain: is it the right one, may this gateway commit?"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from protoledger.contracts.errors import ContractsError, KeyFileError
from protoledger.contracts.keys import address_of, load_key
from protoledger.gateway.ledger.supplies import commits_for
from protoledger.runtime.check.findings import Item, failed, note, ok, skipped
from protoledger.runtime.exits import Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from protoledger.contracts.client.binding import Buffer
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.ledger.config import LedgerConfig
    from protoledger.protocol.wire.schema import Schema

LEAST_COMMITS = 20
_RESET = "correct `ledger`; if the chain was reset on purpose, start with an empty store"


def check_chain(config: LedgerConfig, store_file: Path, schema: Schema) -> Iterator[Item]:
    """Ask the node everything that a commit depends on; sends no transaction."""
    from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415 - loads web3
    from protoledger.contracts.client.node import Node  # noqa: PLC0415

    node = Node(config.rpc_url, timeout_s=5.0)
    names = ("contract", "whitelist", "balance")
    try:
        problem = _chain(node, config, _pins(store_file))
        yield problem or ok("chain", f"{config.rpc_url} answers, chain id {config.chain_id}")
        if problem is not None:
            yield from (skipped(name, "it is not the right chain") for name in names)
            return
        buffer = Buffer(config.contract)
        bad = _contract(node, buffer, _pins(store_file), schema)
        yield bad or ok("contract", f"PrototypeBuffer at {config.contract}, for this schema")
        yield skipped("whitelist", "no such contract") if bad else _listed(node, buffer, config)
        yield _balance(node, config)
    except (ContractsError, KeyFileError) as error:
        yield failed(
            "chain",
            str(error),
            f"is the node at {config.rpc_url} running, and is ledger.rpc_url right?",
            Exit.UNAVAILABLE,
        )
    finally:
        node.close()


def _pins(store_file: Path) -> dict[str, str]:
    """Read what the store remembers of the chain; empty before the gateway's first start."""
    with contextlib.suppress(sqlite3.Error):
        uri = f"{store_file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=5)) as database:
            return dict(database.execute("SELECT name, value FROM ledger_pin"))
    return {}


def _chain(node: Node, config: LedgerConfig, pins: dict[str, str]) -> Item | None:
    found = node.chain_id()
    if found != config.chain_id:
        text = f"{config.rpc_url} is chain {found}, ledger.chain_id is {config.chain_id}"
        return failed("chain", text, _RESET)
    block = node.block(0)
    genesis = block.hash if block else "missing"
    for what, expected in (
        ("ledger.genesis_hash", config.genesis_hash),
        ("the store", pins.get("genesis")),
    ):
        if expected not in {None, genesis}:
            text = f"the hash of block 0 is {genesis}, {what} says {expected}: another chain"
            return failed("chain", text, _RESET)
    return None


def _contract(node: Node, buffer: Buffer, pins: dict[str, str], schema: Schema) -> Item | None:
    from eth_hash.auto import keccak  # noqa: PLC0415 - came with web3

    code = node.code(buffer.address)
    if not code:
        advice = "deploy one with `protoledger contracts deploy`, or correct ledger.contract"
        return failed("contract", f"there is none at {buffer.address}", advice)
    if pins.get("code") not in {None, keccak(code).hex()}:
        return failed("contract", f"the code at {buffer.address} has changed", _RESET)
    try:
        terms = buffer.terms(node)
    except ContractsError as error:
        advice = "correct ledger.contract"
        return failed("contract", f"{buffer.address} is not a PrototypeBuffer: {error}", advice)
    if terms.schema_hash != schema.digest:
        return failed(
            "contract",
            f"it was deployed for schema {terms.schema_hash.hex()[:8]}…, the site's is "
            f"{schema.digest.hex()[:8]}…",
            "channels and labels are fixed at deployment: deploy again, or restore the site file",
        )
    return None


def _listed(node: Node, buffer: Buffer, config: LedgerConfig) -> Item:
    account = address_of(load_key(config.key_file, config.key_password_file))
    standing = buffer.standing(node, account)
    status = standing.head.status
    if not standing.head.listed:
        return failed(
            "whitelist",
            f"{account} may not commit: it is {status}",
            f"the contract's owner runs: protoledger contracts grant {account}",
        )
    if status == "suspended":
        return note("whitelist", f"{account} is listed, but the contract is paused by its owner")
    return ok("whitelist", f"{account} may commit")


def _balance(node: Node, config: LedgerConfig) -> Item:
    account = address_of(load_key(config.key_file, config.key_password_file))
    wei = node.balance(account)
    head = node.block("latest")
    tip = node.tip() if config.tip_gwei is None else int(config.tip_gwei * 1e9)
    price = (head.base_fee if head else 0) + tip
    commits = commits_for(wei, price)
    text = f"{account} has {wei / 1e18:.6g} ether, about {commits:,} commits"
    if not commits:
        return failed("balance", text, f"send some to {account}")
    if commits < LEAST_COMMITS:
        return note("balance", text, f"send some more to {account}")
    return ok("balance", text)
