"""Runs all that makes the documentation's figures, and puts the tables into the pages.

    .venv/bin/python scripts/docs/figures.py [NAME …] [--list] [--write]

`make figures` runs it. What was recorded by the code as it is now is not run again; what was
interrupted goes on where it was: experiments by the job, benchmarks and emulations from their
beginning. `--list` only says what would run and how long it takes, `--write` only fills the pages.
A benchmark measures this machine: run it where nothing else runs.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blocks  # beside this file
import msgspec

from protoledger.experiments.benchmarks.cli import BENCHES
from protoledger.experiments.cli import EXPERIMENTS
from protoledger.experiments.running.records import (
    CodeVersion,
    MachineKind,
    code_here,
    holds,
    machine_here,
)
from protoledger.runtime.exits import Exit

ROOT = Path(__file__).resolve().parents[2]
JOURNALS = ROOT / ".figures"
EMULATED = {"house": "200", "phishing": "all", "image-segments": "all", "bananas": "all"}
"""Rounds of each source."""
SIZES = {
    "aggregation": ("--length", "20"),
    "network": (
        *("--agents", "6", "--agents", "10", "--agents", "30", "--agents", "100"),
        *("--length", "20", "--seconds", "8"),
    ),
    "edge": ("--seconds", "30"),
}
"""What the pages show of benchmarks that can do more."""
MINUTES = {
    "accuracy": 20, "gas": 40, "poison": 240, "threshold": 60, "scale": 240, "churn": 30,
    "ablation": 60, "blocks": 60, "consensus": 30, "difference": 30, "learner": 5, "streams": 2,
    "ledger": 10, "aggregation": 10, "network": 5, "edge": 3, "sources": 1, "emulate-house": 1,
    "emulate-phishing": 3, "emulate-image-segments": 5, "emulate-bananas": 10, "many": 120,
    "growth": 30,
}  # fmt: skip
"""Guesses, for two cores, of what was never recorded; then it is known."""
PATIENCE_S = 3.0


class Measured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One run of a benchmark or an emulation, and what it wrote."""

    command: list[str]
    code: CodeVersion
    machine: MachineKind
    seconds: float
    result: Any


@dataclass(frozen=True)
class Part:
    """One thing to run.

    Attributes:
        name: by which it is asked for.
        words: the command's; `--json FILE` is added unless it is an experiment.
        record: the file that it leaves.
    """

    name: str
    words: tuple[str, ...]
    record: Path

    @property
    def is_experiment(self) -> bool:
        """Whether it writes its record itself, and can be continued by the job."""
        return self.words[0] == "experiment"

    def last(self) -> tuple[CodeVersion, float] | None:
        """Return what code ran last and how long it took; None if nothing is recorded."""
        try:
            told = json.loads(self.record.read_text(encoding="utf-8"))
            return msgspec.convert(told["code"], CodeVersion), float(told["seconds"])
        except (FileNotFoundError, ValueError, KeyError):  # msgspec's errors are ValueErrors
            return None

    def recorded(self) -> bool:
        """Whether the code as it is now was recorded."""
        last = self.last()
        return last is not None and holds(last[0])

    def minutes(self) -> float:
        """Return how long it takes: as the last time, or a guess."""
        last = self.last()
        return last[1] / 60 if last else MINUTES.get(self.name, 10)

    def run(self) -> None:
        """Run it, and leave its record.

        Raises:
            CalledProcessError: it failed.
        """
        JOURNALS.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "protoledger", *self.words]
        if self.is_experiment:
            journal = JOURNALS / f"{self.name}.jsonl"
            folder = self.record.parent
            run_command([*command, "--journal", str(journal), "--out", str(folder)])
            journal.unlink()
            return
        code, begun = code_here(), time.monotonic()
        told = JOURNALS / f"{self.name}.json"
        run_command([*command, "--json", str(told)])
        seconds = round(time.monotonic() - begun, 1)
        result = json.loads(told.read_text(encoding="utf-8"))
        words = ["protoledger", *self.words]
        measured = Measured(words, code, machine_here(), seconds, result)
        text = json.dumps(msgspec.to_builtins(measured), indent=1, ensure_ascii=False)
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.record.write_text(f"{text}\n", encoding="utf-8")
        told.unlink()


def parts() -> dict[str, Part]:
    """Return all parts by their names, the short ones that need the machine alone at the end."""
    found = [
        Part(name, ("experiment", name), blocks.RESULTS / f"{name}.json") for name in EXPERIMENTS
    ]
    found += [
        Part(name, ("bench", name, *SIZES.get(name, ())), blocks.MEASURED / f"{name}.json")
        for name in BENCHES
    ]
    for source, rounds in EMULATED.items():
        name = f"emulate-{source}"
        words = ("emulate", "--source", source, "--sites", "3", "--rounds", rounds)
        report = ("--report", f"{JOURNALS.name}/{name}.html")
        found.append(Part(name, (*words, *report), blocks.MEASURED / f"{name}.json"))
    return {part.name: part for part in found}


def run_command(command: list[str]) -> None:
    """Run a command of the repository; one that is interrupted gets time to end what it started.

    Raises:
        CalledProcessError: it failed.
    """
    with subprocess.Popen(command, cwd=ROOT) as running:
        try:
            code = running.wait()
        except KeyboardInterrupt:
            try:
                running.wait(PATIENCE_S)  # a terminal's Ctrl-C reached it, too
            except subprocess.TimeoutExpired:
                running.send_signal(signal.SIGINT)
                running.wait()
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)


def lasts(minutes: float) -> str:
    """Return a duration as a person says it.

    >>> lasts(0.4), lasts(12), lasts(150)
    ('under a minute', '12 min', '2.5 h')
    """
    if minutes < 1:
        return "under a minute"
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def carry_out(chosen: Sequence[Part]) -> int:
    """Run what is not recorded, fill the pages after each, and return the exit code."""
    left = [part for part in chosen if not part.recorded()]
    for at, part in enumerate(left):
        rest = lasts(sum(other.minutes() for other in left[at:]))
        here = f"[{at + 1} of {len(left)}] {part.name}: {lasts(part.minutes())}"
        say(f"{here}; all that is left: {rest}")
        try:
            part.run()
        except KeyboardInterrupt:
            say(f"{part.name} is interrupted; `make figures` goes on from here")
            return Exit.INTERRUPTED
        except subprocess.CalledProcessError as error:
            say(f"{part.name} failed with {error.returncode}; `make figures` tries it again")
            return Exit.FAILED
        fill()
    say(f"all {len(chosen)} are recorded for this code")
    return Exit.OK


def fill() -> None:
    """Write the recorded figures into the pages."""
    for path in blocks.write():
        say(f"wrote {path.relative_to(ROOT)}")


def main(words: Sequence[str]) -> int:
    """Do what the command line says; return the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    parser = argparse.ArgumentParser(prog="make figures", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; default: all")
    parser.add_argument("--list", action="store_true", help="only say what would run")
    parser.add_argument("--write", action="store_true", help="only fill the pages")
    given, known = parser.parse_args(words), parts()
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    if given.write:
        fill()
        return Exit.OK
    if code_here().changed:
        say("the code differs from its commit: what runs now is run again after the commit")
    chosen = [known[name] for name in given.names or known]
    if given.list:
        for part in chosen:
            state = "recorded" if part.recorded() else f"to run, {lasts(part.minutes())}"
            say(f"{part.name:24}{state}")
        return Exit.OK
    return carry_out(chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
