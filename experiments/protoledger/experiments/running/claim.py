"""`protoledger verify-claim FILE`: runs a recorded experiment again and compares every number.

It does not rerun what took times, which no two runs share: such an experiment is refused.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from protoledger.experiments.cli import load
from protoledger.experiments.experiment import Experiment, run_jobs
from protoledger.experiments.running.records import (
    Changed,
    Record,
    RecordError,
    code_here,
    compare_rows,
    read_record,
    without_nan,
)
from protoledger.runtime.exits import Exit

SHOWN = 20

app = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def verify_claim(
    file: Annotated[Path, typer.Argument(help="A record: the NAME.json that an experiment wrote.")],
    seeds: Annotated[
        int, typer.Option(min=0, help="Only the first so many of its seeds; 0: all.")
    ] = 0,
) -> None:
    """Run a recorded experiment again, and say whether it gives the same numbers bit for bit.

    Ends with 0 if it does, 1 if a number differs, 65 if the file is no record.
    """
    try:
        record = read_record(file)
        changed, jobs = replay(record, record.seeds[: seeds or None])
    except (OSError, RecordError) as error:
        typer.echo(f"{error}", err=True)
        sys.exit(Exit.DATA)
    here = code_here()
    for package, version in sorted(record.code.versions.items()):
        if here.versions.get(package) != version:
            typer.echo(f"{package} was {version}, is {here.versions.get(package)}")
    for change in changed[:SHOWN]:
        typer.echo(str(change))
    if len(changed) > SHOWN:
        typer.echo(f"… and {len(changed) - SHOWN} more")
    said = f"{len(changed)} numbers differ" if changed else "every number is the same"
    typer.echo(f"{record.experiment}: {jobs} of {len(record.jobs)} jobs were run again; {said}")
    if changed:
        sys.exit(Exit.FAILED)


def replay(record: Record, seeds: list[int]) -> tuple[list[Changed], int]:
    """Run the jobs of some seeds again.

    Returns:
        The numbers that differ, and how many jobs were run.

    Raises:
        RecordError: the experiment is unknown, measures times, or has other jobs now.
    """
    found = _known(record)
    if found.alone:
        raise RecordError(f"{record.experiment} measures times, which cannot be replayed")
    jobs = [job for seed in seeds for job in found.jobs(seed, record.quick)]
    recorded = {done.job: done.rows for done in record.jobs}
    unknown = [str(job) for job in jobs if str(job) not in recorded]
    if unknown:
        raise RecordError(f"the record lacks {unknown[0]}: it is of another version's jobs")
    changed = list[Changed]()
    for job, rows in zip(jobs, run_jobs(found, jobs), strict=True):
        changed += compare_rows(str(job), record.keys, recorded[str(job)], without_nan(rows))
    return changed, len(jobs)


def _known(record: Record) -> Experiment:
    try:
        return load(record.experiment)
    except typer.BadParameter as error:
        raise RecordError(str(error)) from error
