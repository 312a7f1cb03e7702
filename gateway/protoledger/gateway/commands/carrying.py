"""`protoledger gateway carry-over`: a stopped gateway's model for a site file that has more.

The store is copied, the copy is changed, and takes the store's place at once; the old store stays
beside it. So a kill at any moment leaves a whole store under the gateway's name.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from protoledger.contracts.errors import KeyFileError
from protoledger.gateway.config import GatewayConfig
from protoledger.gateway.errors import GatewayError
from protoledger.gateway.learner.widening import Widening
from protoledger.gateway.ledger.store import LedgerStore
from protoledger.gateway.training.carrying import carried_over, widening
from protoledger.gateway.training.history.tables import history_path
from protoledger.gateway.training.store import change_schema
from protoledger.gateway.training.trainer import forget_chain
from protoledger.protocol.errors import ConfigurationError
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig, load

if TYPE_CHECKING:
    from protoledger.gateway.codebook.codebook import Codebook

_NOTE = "carried over to more channels or labels"


def carry_over(
    old_site: Annotated[Path, typer.Argument(help="The site file that the model was learnt with.")],
    config: Annotated[Path, typer.Option("--config", "-c", help="The gateway's file.")],
) -> None:
    """Carry a stopped gateway's model over to its new site file, which has more channels or labels.

    The old store is kept beside it. On the chain the gateway follows the successor of its contract
    that the contract's owner names for the new site file: `protoledger contracts migrate`.
    """
    try:
        loaded = load(config, GatewayConfig)
        was, site = load(old_site, SiteConfig), load(loaded.site_file, SiteConfig)
        old, new = was.as_schema(), site.as_schema()
        wider = widening(old, new)
        kept = carry_store(loaded.store_file, wider, (old.digest, new.digest))
    except (ConfigurationError, KeyFileError) as error:
        typer.echo(f"protoledger gateway: {error}", err=True)
        raise typer.Exit(Exit.CONFIGURATION) from error
    typer.echo(
        f"carried over: {len(old.channels)} → {len(new.channels)} channels, "
        f"{len(old.labels)} → {len(new.labels)} labels; the old store is {kept}"
    )


def carry_store(store: Path, wider: Widening, schemas: tuple[bytes, bytes]) -> Path:
    """Change a stopped gateway's store; gives where the old one is kept.

    Args:
        store: the file.
        wider: where the old channels and labels are among the new ones.
        schemas: hashes of the old and of the new site file's.

    Raises:
        ConfigurationError: there is no such store, its gateway runs, or its model is of another
            site file.
    """
    kept = store.with_name(f"{store.name}.{schemas[0].hex()[:8]}")
    draft = store.with_name(f".{store.name}.new")
    _copy(store, draft)
    committed: list[Codebook] = []

    def change(model: bytes) -> bytes:
        wide, book = carried_over(model, wider)
        committed.append(book)
        return wide

    try:
        change_schema(draft, *schemas, change)
        forget_chain(draft)
        ledger = LedgerStore(draft)
        ledger.begin_again(committed[0].encode() if committed else b"", _NOTE)
        ledger.close()
        os.link(store, kept)
        _move_history(store, kept)
        draft.replace(store)
    except FileExistsError as error:
        raise ConfigurationError(f"{kept} exists: move it away, and try again") from error
    except OSError as error:
        raise ConfigurationError(f"{store} cannot be kept as {kept}: {error.strerror}") from error
    except GatewayError as error:
        raise ConfigurationError(f"{store}: the model cannot be carried over: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return kept


def _move_history(store: Path, kept: Path) -> None:
    """Leave the history with the old store: it has labels by their old numbers."""
    for suffix in ("", "-wal", "-shm"):
        was, then = (history_path(one) for one in (store, kept))
        old = was.with_name(was.name + suffix)
        if old.exists():
            old.replace(then.with_name(then.name + suffix))


def _copy(store: Path, draft: Path) -> None:
    """Copy a store that nobody has open, and leave it in one file."""
    if not store.is_file():
        raise ConfigurationError(f"there is no store {store}: nothing is to be carried over")
    draft.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(store, timeout=1)) as source:
            # refused while anybody else has the file open
            (mode,) = source.execute("PRAGMA journal_mode = DELETE").fetchone()
            if mode != "delete":
                raise sqlite3.OperationalError("it is in use")
            was = store.stat()
            draft.touch(mode=was.st_mode & 0o777)
            if os.geteuid() == 0:  # the gateway's own account must be able to open it
                os.chown(draft, was.st_uid, was.st_gid)
            with closing(sqlite3.connect(draft)) as target:
                source.backup(target)
    except sqlite3.Error as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{store} cannot be read ({error}); stop the gateway first"
        ) from error
