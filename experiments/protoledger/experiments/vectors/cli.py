"""`protoledger vectors make|check`: test vectors for authors of clients."""

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from protoledger.experiments.vectors.compare import differences
from protoledger.experiments.vectors.draws import Content
from protoledger.runtime.exits import Exit

MOST_SHOWN = 20
"""Differences of a file: one mistake makes many."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make the wire format's test vectors, or check others against them.",
)


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="Where to write seven JSON files.")],
) -> None:
    """Write the vectors: what an independent, slow implementation says about every step."""
    from protoledger.experiments.vectors.files import FILES, text_of  # noqa: PLC0415 - galois's

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in FILES.items():
            (folder / name).write_text(text_of(content()), encoding="utf-8")
            typer.echo(folder / name)
    except OSError as error:
        typer.echo(f"protoledger vectors: {error}", err=True)
        raise typer.Exit(Exit.IO) from error


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="A folder with the seven files, or one of them by its name.")
    ],
) -> None:
    """Compare files of the vectors' shape, such as a client's own results, with the vectors.

    Exits with 65 and the places where they differ.
    """
    from protoledger.experiments.vectors.files import FILES  # noqa: PLC0415 - galois's

    names = [path.name] if path.is_file() else list(FILES)
    if path.is_file() and path.name not in FILES:
        typer.echo(
            f"protoledger vectors: {path.name} is none of {', '.join(FILES)}: name it as the "
            f"vectors are named",
            err=True,
        )
        raise typer.Exit(Exit.USAGE)
    wrong = 0
    for name in names:
        file = path if path.is_file() else path / name
        # through JSON, as tuples become lists there
        expected = json.loads(json.dumps(FILES[name]()))
        found = list(islice(differences(_read(file), expected), MOST_SHOWN + 1))
        typer.echo(f"{file}: {'differs' if found else 'ok'}")
        for line in found[:MOST_SHOWN]:
            typer.echo(f"  {line}")
        if len(found) > MOST_SHOWN:
            typer.echo("  and more")
        wrong += bool(found)
    if wrong:
        raise typer.Exit(Exit.DATA)


def _read(file: Path) -> Content:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        typer.echo(f"protoledger vectors: {error}", err=True)
        raise typer.Exit(Exit.IO) from error
    except (ValueError, RecursionError) as error:
        typer.echo(f"protoledger vectors: {file} is no JSON: {error}", err=True)
        raise typer.Exit(Exit.DATA) from error
    if not isinstance(content, dict):
        typer.echo(f"protoledger vectors: {file} holds no JSON object", err=True)
        raise typer.Exit(Exit.DATA)
    return content
