"""What a run was, and what it gave: parameters, seeds, versions, commit, machine, rows.

A record is a JSON file beside the table, `NAME.json`. Numbers are written so that they read back
bit for bit. It names no host and no user.
"""

import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

PACKAGES: Final = ("protoledger", "numpy", "numba", "scipy", "river", "web3")
FORMAT: Final = 1
CODE: Final = (
    *("sensors", "protocol", "runtime", "edge", "contracts", "gateway", "dashboard", "emulator"),
    *("experiments", "requirements.lock"),
)
"""What of the repository decides the numbers; documentation, scripts and tests do not."""


class RecordError(ValueError):
    """A file is no record, or a record cannot be used for what was asked."""


class CodeVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ran: versions of packages, and the commit, where it was a repository.

    Attributes:
        versions: by package.
        commit: of the repository; empty outside of one.
        changed: whether any of `CODE` differed from that commit.
    """

    versions: dict[str, str]
    commit: str
    changed: bool


class MachineKind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where it ran; with a cluster, the machine that asked."""

    processor: str
    cores: int
    system: str
    python: str


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of an experiment.

    Attributes:
        format: of this file.
        experiment: its name.
        quick: whether it was the small version.
        seeds: as they were run.
        keys: columns that determine a point.
        measures: the others, that were measured.
        jobs: each job as text, and its rows, in their order.
        code: what ran.
        machine: where.
        seconds: how long it took.
    """

    format: int
    experiment: str
    quick: bool
    seeds: list[int]
    keys: list[str]
    measures: list[str]
    jobs: list["DoneJob"]
    code: CodeVersion
    machine: MachineKind
    seconds: float

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order of the jobs."""
        return [row for job in self.jobs for row in job.rows]


class DoneJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job as text, and the rows that it gave."""

    job: str
    rows: list[dict[str, str | int | float | None]]


@dataclass(frozen=True, slots=True)
class Changed:
    """A value that differs between two records."""

    what: str
    one: Any
    other: Any

    def __str__(self) -> str:
        return f"{self.what}: {self.one} → {self.other}"


def code_here() -> CodeVersion:
    """Return what runs now."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD") or ""
    changed = bool(commit) and not same_code(commit)
    return CodeVersion(versions=versions, commit=commit, changed=changed)


def same_code(commit: str) -> bool:
    """Whether what is here now is, as far as `CODE` goes, what a commit has; False if unknown."""
    where = [f":/{name}" for name in CODE]
    words = ("diff", "--no-ext-diff", "--name-only", commit, "--", *where)
    return bool(commit) and _git(Path(__file__).parent, *words) == ""


def holds(code: CodeVersion) -> bool:
    """Whether what some code gave is what the code here would give: it is the same commit's."""
    return not code.changed and same_code(code.commit)


def machine_here() -> MachineKind:
    """Return what this machine is, without its name."""
    return MachineKind(
        processor=platform.machine(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def write_record(record: Record, path: Path) -> None:
    """Write a record."""
    content = msgspec.to_builtins(record)
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")


def without_nan(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of plain values, in which what was not measured is None: JSON has no NaN."""
    return [{key: _plain(value) for key, value in row.items()} for row in rows]


def _plain(value: Any) -> str | int | float | None:
    plain: str | int | float = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        RecordError: the file is none, or of another format.
        OSError: it cannot be read.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=Record)
    except msgspec.DecodeError as error:
        raise RecordError(f"{path} is no record of an experiment: {error}") from error
    if record.format != FORMAT:
        raise RecordError(f"{path} has format {record.format}; this version reads {FORMAT}")
    return record


def compare(one: Record, other: Record) -> list[Changed]:
    """Return what differs: how they were run first, then each row's values.

    Rows are matched by job and by their keys; a job that only one of them ran is named.
    """
    found = [
        Changed(name, getattr(one, name), getattr(other, name))
        for name in ("experiment", "quick", "seeds", "keys", "measures", "machine")
        if getattr(one, name) != getattr(other, name)
    ]
    for package in sorted(one.code.versions.keys() | other.code.versions.keys()):
        versions = one.code.versions.get(package), other.code.versions.get(package)
        if versions[0] != versions[1]:
            found.append(Changed(f"version of {package}", *versions))
    commits = _commit(one.code), _commit(other.code)
    if commits[0] != commits[1]:
        found.append(Changed("commit", *commits))
    theirs = {job.job: job for job in other.jobs}
    for job in one.jobs:
        match = theirs.pop(job.job, None)
        if match is None:
            found.append(Changed(job.job, "run", "not run"))
        else:
            found += compare_rows(job.job, one.keys, job.rows, match.rows)
    return found + [Changed(job, "not run", "run") for job in theirs]


def compare_rows(
    job: str, keys: Sequence[str], one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]
) -> list[Changed]:
    """Return which values of a job's rows differ, at all."""
    if len(one) != len(other):
        return [Changed(f"{job}: rows", len(one), len(other))]
    found = []
    for left, right in zip(one, other, strict=True):
        at = ", ".join(f"{key} {left.get(key)}" for key in keys)
        for name in left.keys() | right.keys():
            values = left.get(name), right.get(name)
            if values[0] != values[1]:
                found.append(Changed(f"{name} at {at} ({job})", *values))
    return sorted(found, key=str)


def _commit(code: CodeVersion) -> str:
    return f"{code.commit or 'none'}{' with changes' if code.changed else ''}"


def _git(folder: Path, *words: str) -> str | None:
    """Return what git says; None if it fails."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
