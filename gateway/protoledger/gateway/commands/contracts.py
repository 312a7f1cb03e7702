"""`protoledger contracts`: the owner's commands, and those that read what the gateways committed.

The owner's commands come from `protoledger.contracts.commands.contracts`. Those here fold the chain
as a gateway does, with the same code, so that what they show is what gateways believe.
"""

from __future__ import annotations

import contextlib
import csv
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from protoledger.contracts.commands.contracts import (
    LOCAL,
    RETRIES,
    Contract,
    Key,
    Password,
    Rpc,
    addresses,
    app,
    call_buffer,
    reported,
)
from protoledger.contracts.commands.multisig import app as multisig
from protoledger.contracts.errors import (
    ChainUnreachableError,
    LaggingNodeError,
    NoContractError,
    NonsenseError,
    RpcError,
)
from protoledger.contracts.keys import load_key
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from protoledger.gateway.ledger.events import CodebookChanged, CodebookDropped, OwnerLied
from protoledger.gateway.ledger.following.follower import Follower
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.operations.health import read_status, status_path
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protoledger.contracts.client.answers import Block
    from protoledger.contracts.client.binding import Buffer, DeploymentTerms
    from protoledger.contracts.client.node import Node
    from protoledger.gateway.ledger.events import LedgerEvent
    from protoledger.protocol.wire.schema import Schema

__all__ = ["app"]

_NOBODY = "0x" + "00" * 20
_MEMORY = Path(":memory:")
_AGAIN_S = 0.5  # before a node that lagged or answered nonsense is asked once more
app.add_typer(multisig, name="multisig")


class _View:
    """A contract and a copy of it in memory, brought up to date by `look`."""

    def __init__(self, node: Node, buffer: Buffer, terms: DeploymentTerms, *, whole: bool) -> None:
        self.node, self.buffer, self.terms = node, buffer, terms
        self.store = LedgerStore(_MEMORY)
        self.form = RecordFormat(terms.features, terms.labels)
        self._follower = Follower(self.store, self.form, _NOBODY, use_checkpoints=not whole)

    def look(self) -> tuple[Block, list[LedgerEvent]]:
        """Fold what is new; gives the newest block, and what has changed.

        Raises:
            ChainUnreachableError, RpcError: the node did not bear several tries; what was folded
                stays.
        """
        for _ in range(RETRIES):
            try:
                return self._look()
            except (LaggingNodeError, NonsenseError):  # the node itself asks again after silence
                time.sleep(_AGAIN_S)
        return self._look()

    def _look(self) -> tuple[Block, list[LedgerEvent]]:
        head = self.node.block("latest")
        if head is None:
            raise NoContractError("the node has no newest block")
        self._follower.scan(self.node, self.buffer, head, self.terms.deployed_block)
        return head, self._follower.changes()

    def book(self, owner: str) -> Codebook | None:
        """Give an owner's newest codebook; None if there is none to believe."""
        newest = self.store.copy.newest().get(owner)
        return None if newest is None or newest.lie else Codebook.decode(newest.snapshot, self.form)


@contextmanager
def _viewed(rpc: str, contract: str, *, whole: bool = False) -> Iterator[_View]:
    from protoledger.contracts.client.binding import Buffer  # noqa: PLC0415 - loads web3
    from protoledger.contracts.client.node import Node  # noqa: PLC0415

    [address] = addresses([contract])
    with reported():
        node, buffer = Node(rpc, retries=RETRIES), Buffer(address)
        try:
            buffer.require(node)
            view = _View(node, buffer, buffer.terms(node), whole=whole)
            yield view
            view.store.close()
        finally:
            node.close()


@app.command()
def watch(
    contract: Contract,
    rpc: Rpc = LOCAL,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long; else at Ctrl-C.")
    ] = None,
) -> None:
    """Follow the codebooks as a gateway does, and tell what changes; outages are waited out."""
    ends = None if seconds is None else time.monotonic() + seconds
    away = False
    with _viewed(rpc, contract) as view, contextlib.suppress(KeyboardInterrupt):
        typer.echo(f"watching {contract} on {rpc}; Ctrl-C ends", err=True)
        while True:
            over = ends is not None and time.monotonic() >= ends
            try:
                head, events = view.look()
            except (ChainUnreachableError, RpcError) as error:
                if over:
                    raise
                if not away:
                    typer.echo(f"{error}; asking again until it does", err=True)
                away, events = True, []
            else:
                away = False
            for event in events:
                typer.echo(f"block {head.number}: {_told(event)}")
            if over:
                return
            time.sleep(0.2)


def _told(event: LedgerEvent) -> str:
    match event:
        case CodebookChanged():
            return f"{event.owner} has {len(event.codebook)} prototypes, version {event.version}"
        case CodebookDropped():
            return f"{event.owner} counts no more: {event.reason}"
        case OwnerLied():
            return f"{event.owner} cannot be believed: {event.evidence}"
        case _:
            return str(event)


@app.command()
def verify(contract: Contract, rpc: Rpc = LOCAL) -> None:
    """Fold all deltas of every gateway, and hold them against hashes and checkpoints; 1: a lie."""
    sound = True
    with _viewed(rpc, contract, whole=True) as view:
        view.look()
        active = view.store.copy.gateways()
        for owner, newest in sorted(view.store.copy.newest().items()):
            head = view.buffer.standing(view.node, owner).head
            book = view.book(owner)
            verdict = f"lie: {newest.lie}"
            if book is not None:
                same = (head.version, head.state_hash) == (newest.version, book.state_hash())
                verdict = "as claimed" if same else "changed while it was read"
            sound = sound and (book is not None or not active.get(owner))
            typer.echo(f"{owner} {head.status} version {newest.version}: {verdict}")
        if not view.store.copy.newest():
            typer.echo("nobody has committed yet")
    if not sound:
        raise typer.Exit(Exit.FAILED)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="What to write: a name that ends in .csv or .npz.")],
    contract: Contract,
    rpc: Rpc = LOCAL,
    gateway: Annotated[
        list[str] | None, typer.Option(help="Only this gateway's; may be repeated.")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(help="A site's file: its labels, and its channels with their units."),
    ] = None,
) -> None:
    """Write the newest codebooks as a table: owner, id, class, weight, features in ranges.

    With --site columns have the channels' names and their values' units, and classes their labels.
    """
    if file.suffix not in {".csv", ".npz"} or not file.absolute().parent.is_dir():
        typer.echo(f"error: {file} ends neither in .csv nor in .npz, or has no folder", err=True)
        raise typer.Exit(Exit.USAGE)
    wanted = addresses(gateway or [])
    with _viewed(rpc, contract) as view:
        view.look()
        owners = wanted or sorted(
            owner for owner, is_one in view.store.copy.gateways().items() if is_one
        )
        books = [(owner, book) for owner in owners if (book := view.book(owner)) is not None]
        _write(file, books, view.form, None if site is None else _schema_of(site, view.form))
    typer.echo(f"{sum(len(book) for _, book in books)} prototypes of {len(books)} gateways")


def _schema_of(path: Path, form: RecordFormat) -> Schema:
    """Read a site's channels and labels, which must be as many as the contract's."""
    try:
        schema = load(path, SiteConfig).as_schema()
    except ConfigurationError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(Exit.CONFIGURATION) from error
    if (len(schema.channels), len(schema.labels)) != (form.features, form.labels):
        typer.echo(
            f"error: {path} has {len(schema.channels)} channels and {len(schema.labels)} labels, "
            f"the contract {form.features} and {form.labels}: it is of another deployment",
            err=True,
        )
        raise typer.Exit(Exit.CONFIGURATION)
    return schema


def _write(
    file: Path, books: list[tuple[str, Codebook]], form: RecordFormat, schema: Schema | None
) -> None:
    low, width = np.zeros(form.features), np.ones(form.features)
    columns = [f"feature_{number}" for number in range(form.features)]
    labels = [str(number) for number in range(form.labels)]
    if schema is not None:
        low = np.array([channel.low for channel in schema.channels])
        width = np.array([channel.high for channel in schema.channels]) - low
        columns = [
            f"{channel.name} ({channel.unit})" if channel.unit else channel.name
            for channel in schema.channels
        ]
        labels = list(schema.labels)
    if file.suffix == ".npz":
        none = Codebook.empty(form)
        every = [none, *(book for _, book in books)]
        np.savez_compressed(
            file,
            owner=np.array([owner for owner, book in books for _ in range(len(book))], "U42"),
            id=np.concatenate([book.ids for book in every]),
            label=np.concatenate([book.classes for book in every]),
            weight=np.concatenate([book.weights for book in every]),
            features=low + width * np.concatenate([book.features() for book in every]),
            columns=np.array(columns),
            labels=np.array(labels),
        )
        return
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["owner", "id", "class", "weight", *columns])
        for owner, book in books:
            rows = zip(book.ids, book.classes, book.weights, book.features(), strict=True)
            for number, label, weight, features in rows:
                values = [format(value, ".6g") for value in (low + width * features).tolist()]
                writer.writerow([owner, int(number), labels[label], int(weight), *values])


@app.command()
def checkpoint(
    gateway: Annotated[str, typer.Argument(help="Whose codebook to store.")],
    key: Key,
    contract: Contract,
    rpc: Rpc = LOCAL,
    password: Password = None,
) -> None:
    """Store a gateway's newest codebook on the chain; any account may, and pays for it."""
    [owner] = addresses([gateway])
    with _viewed(rpc, contract) as view:
        view.look()
        book = view.book(owner)
        if book is None or not len(book):
            raise NoContractError(f"{owner} has no codebook that could be believed")
        secret = load_key(key, password)
        call_buffer(rpc, secret, view.buffer.address, "checkpoint", owner, book.encode())


@app.command()
def forget(
    store: Annotated[Path, typer.Argument(help="A stopped gateway's store file.")],
) -> None:
    """Forget the chain that a gateway followed, because it was reset; the model stays."""
    with reported():
        status = read_status(status_path(store))
        if status is not None and status.runs(time.time()):
            raise NoContractError(f"{store} is in use by the gateway {status.pid}: stop it first")
        ledger = _existing(store)
        wanted = ledger.forget()
        ledger.close()
        from protoledger.gateway.training.trainer import forget_chain  # noqa: PLC0415 - only here is the model's half

        forget_chain(store)
    then = "its newest codebook is committed to" if wanted else "it begins to follow"
    typer.echo(f"forgotten; when the gateway starts again, {then} the chain of its file")


def _existing(store: Path) -> LedgerStore:
    """Open a store that a gateway made; one that does not exist is not made."""
    address = f"{store.absolute().as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as found:
            found.execute("SELECT count(*) FROM ledger_pin")
        return LedgerStore(store)
    except sqlite3.Error as error:
        raise NoContractError(f"{store} is no gateway's store with a ledger: {error}") from error
