"""`protoledger experiment NAME`: runs a study and writes its table, picture and record.

A study is a module of `protoledger.experiments.studies` that defines an `EXPERIMENT`. To add one,
list it in `EXPERIMENTS`.
"""

import importlib
import sys
import time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from protoledger.experiments.experiment import Experiment, carry_out, markdown, write
from protoledger.experiments.running.cluster import Cluster, ClusterError
from protoledger.experiments.running.journal import Journal
from protoledger.experiments.running.records import RecordError, compare, read_record
from protoledger.runtime.exits import Exit

EXPERIMENTS: Final = (
    "accuracy",
    "gas",
    "poison",
    "threshold",
    "scale",
    "many",
    "churn",
    "ablation",
    "blocks",
    "consensus",
    "difference",
    "ways",
)
COMPARE: Final = "compare"
RESULTS: Final = Path("docs/results")

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def load(name: str) -> Experiment:
    """Load an experiment by its name.

    Raises:
        BadParameter: if there is no experiment of this name.
    """
    if name not in EXPERIMENTS:
        close = get_close_matches(name, EXPERIMENTS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise typer.BadParameter(
            f"no experiment {name!r}: {hint}there are {', '.join(EXPERIMENTS)}"
        )
    found = importlib.import_module(f"protoledger.experiments.studies.{name}").EXPERIMENT
    assert isinstance(found, Experiment)  # noqa: S101 - a module of this package
    return found


@app.command()
def experiment(
    name: Annotated[
        str,
        typer.Argument(help="Its name, or `compare`; without a name, all are listed."),
    ] = "",
    records: Annotated[
        list[Path] | None, typer.Argument(help="With `compare`: two records, NAME.json.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=0, max=1000, help="Run seeds 1 to this; 0: the experiment's default.")
    ] = 0,
    quick: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--quick", help="Run a small version, in about a minute.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the files.")] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Write down there what ends, and go on from it if it was interrupted."),
    ] = None,
    cluster: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Run on this scheduler of dask.distributed.")
    ] = "",
    cluster_ca: Annotated[
        Path | None, typer.Option(help="With tls://: the certificate that signed the scheduler's.")
    ] = None,
    cluster_cert: Annotated[Path | None, typer.Option(help="With tls://: your own.")] = None,
    cluster_key: Annotated[Path | None, typer.Option(help="With tls://: its key.")] = None,
) -> None:
    """Run an experiment with the real learner, commit test, records and contracts.

    Writes NAME.csv, NAME.md, NAME.png and the record, NAME.json, to docs/results; a quick run
    writes them only with --out. `compare A.json B.json` says what differs between two records.
    """
    if name == COMPARE:
        show_differences(records or [])
        return
    if records:
        raise typer.BadParameter(f"{records[0]}: only `compare` takes files")
    if not name:
        for word in EXPERIMENTS:
            typer.echo(f"{word:10} {load(word).summary}")
        return
    found = load(name)
    number = seeds or (2 if quick else found.seeds)
    folder = out or (None if quick else RESULTS)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"{folder} is a file; --out needs a folder")
    begun = time.monotonic()
    where = _cluster(cluster, cluster_ca, cluster_cert, cluster_key)
    try:
        kept = None if journal is None else Journal(journal, name, quick=quick)
        if kept is not None:
            typer.echo(f"{name}: {len(kept)} runs of this code are in {journal}", err=True)
        table = carry_out(found, range(1, number + 1), quick=quick, cluster=where, journal=kept)
    except ClusterError as error:
        typer.echo(f"protoledger: {error}", err=True)
        sys.exit(Exit.UNAVAILABLE)
    typer.echo(markdown(found, table))
    if folder is not None:
        for path in write(found, table, folder):
            typer.echo(f"wrote {path}")
    typer.echo(f"{name}: {number} seeds in {time.monotonic() - begun:.0f} s")


def _cluster(address: str, *files: Path | None) -> Cluster | None:
    if not address:
        if any(files):
            raise typer.BadParameter("certificates are of no use without --cluster tls://HOST:PORT")
        return None
    try:
        found = Cluster(address, *files)
    except ClusterError as error:
        raise typer.BadParameter(str(error)) from error
    if found.open_to_others:
        typer.echo(
            f"protoledger: {found.address} is not encrypted; anyone on the way can run code "
            "here and there: use tls:// unless the network is yours alone",
            err=True,
        )
    return found


def show_differences(files: list[Path]) -> None:
    """Print what differs between two records, a line each; exit code 65 if a file is none."""
    if len(files) != 2:
        raise typer.BadParameter("compare needs two records: compare A.json B.json")
    try:
        one, other = map(read_record, files)
    except (OSError, RecordError) as error:
        typer.echo(str(error), err=True)
        sys.exit(Exit.DATA)
    changes = compare(one, other)
    for change in changes:
        typer.echo(str(change))
    if not changes:
        typer.echo("nothing differs")
