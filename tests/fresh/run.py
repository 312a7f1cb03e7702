"""`make test-fresh`: the README's two commands on clean machines, as root and as nobody special.

    make test-fresh                       # Debian 12 and 13, root and user: four machines
    make test-fresh ARGS="debian13 user"  # one of them
    make test-fresh ARGS="page user"      # in their place `make test-page`, on Debian 12 and 13

What is tested is the last commit, cloned on the machine. Logs stay in `.fresh/`. Exit code 1 says
that a machine failed, 69 that none could be made here: no mirror, or no right to make one.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from protoledger.runtime.exits import Exit
from tests.fresh.network import ROOT, Network, UnavailableError, network
from tests.fresh.trees import Machine, base, machine, sweep

SUITES = {"debian12": "bookworm", "debian13": "trixie"}
USERS = {"root": "root", "user": "sam"}
CLONE = "git clone --quiet /srv/protoledger.git protoledger"
INSIDE = "cd protoledger && "
VERSIONS = "echo $(python3 --version), Node $(node --version), npm $(npm --version)"
BROWSER = "chromium chromium-driver mosquitto prometheus"
"""Packages that `make test-page` installs as root; others ask who administers the machine."""
INSTALL = f"apt-get -qq update && apt-get -qq install -y --no-install-recommends {BROWSER}"
LOGS = ROOT / ".fresh"
STEPS = ("base", "packages", "emulate", "test", "test-page")
"""Whose times are shown."""
_EVERY_S = 60.0
_NOTICE = "Attempted to remove disk file system"  # systemd-nspawn's, of a folder of its own


@dataclass
class Report:
    """How far a machine came; seconds by step."""

    name: str
    seconds: dict[str, float] = field(default_factory=dict)
    failed: str = ""
    unavailable: bool = False
    tests: str = ""


def main(words: list[str]) -> int:
    """Try the machines that are named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make test-fresh", description=__doc__)
    parser.add_argument("which", nargs="*", choices=[*SUITES, *USERS, "page", []], metavar="WORD")
    chosen = set(parser.parse_args(words).which)
    suites = [name for name in SUITES if name in chosen] or list(SUITES)
    users = [name for name in USERS if name in chosen] or list(USERS)
    if os.geteuid() != 0:
        raise SystemExit("test-fresh: root trees are made and entered by root; run it with sudo")
    LOGS.mkdir(exist_ok=True)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        changed = subprocess.check_output(["git", "status", "--porcelain"], cwd=ROOT, text=True)
        if changed:
            say("what is not committed is not tested")
    sweep()
    try:
        found = network()
    except UnavailableError as error:
        say(str(error))
        return Exit.UNAVAILABLE
    page = "page" in chosen
    reports = [attempt(suite, user, found, page) for suite in suites for user in users]
    show(reports)
    if all(report.unavailable for report in reports):
        return Exit.UNAVAILABLE
    return any(report.failed for report in reports)


def attempt(suite: str, user: str, found: Network, page: bool) -> Report:
    """Make a machine, clone, and run the commands, until one fails."""
    report = Report(f"{suite} {user}")
    log = LOGS / f"{suite}-{user}"
    try:
        with timed(report, "base"):
            archive = base(SUITES[suite], found, Path(f"{log}-base.log"))
        with machine(archive, found, USERS[user]) as made:
            probe(made, Path(f"{log}-probe.log"))
            if page and user != "root":
                root = replace(made, user="root")
                step(root, report, "packages", INSTALL, Path(f"{log}-packages.log"))
            commands = ("test-page",) if page else ("emulate", "test")
            steps = {"clone": f"{CLONE} && {VERSIONS}"}
            steps |= {name: f"{INSIDE} make {name}" for name in commands}
            steps["size"] = f"{INSIDE} du -sh . ~/.cache ~/.npm 2>/dev/null || true"
            for name, script in steps.items():
                if not report.failed:
                    step(made, report, name, script, Path(f"{log}-{name}.log"))
    except (OSError, RuntimeError) as error:
        report.failed = report.failed or str(error)
        report.unavailable = isinstance(error, UnavailableError)
        say(f"{report.name}: {error}")
    return report


def probe(made: Machine, log: Path) -> None:
    """See that a machine can be entered at all; inside a container one often cannot."""
    if made.run("true", log, lambda: None) != 0:
        raise UnavailableError(f"a machine cannot be entered here: {last_lines(log, 3)}")


def step(made: Machine, report: Report, name: str, script: str, log: Path) -> None:
    """Run one of a machine's commands, and tell from time to time that it still runs."""
    told = time.monotonic()

    def waiting() -> None:
        nonlocal told
        if time.monotonic() > told + _EVERY_S:
            told = time.monotonic()
            say(f"{report.name}: {name} … {last_lines(log, 1)}")

    with timed(report, name):
        code = made.run(script, log, waiting)
    if name.startswith("test") and (
        ended := re.findall(r"\d+ (?:passed|failed|error).*", log.read_text())
    ):
        report.tests = ended[-1].rstrip("= ")
    if code != 0:
        report.failed = f"{name}: exit code {code}"
        say(f"{report.name}: {report.failed}; {log} ends:\n{last_lines(log, 40)}")
    elif name in {"clone", "size"}:
        say(f"{report.name}: {last_lines(log, 9)}")


@contextlib.contextmanager
def timed(report: Report, name: str) -> Iterator[None]:
    """Note how long a step took, also where it fails."""
    say(f"{report.name}: {name}")
    began = time.monotonic()
    try:
        yield
    finally:
        report.seconds[name] = time.monotonic() - began


def show(reports: list[Report]) -> None:
    """Print the table."""
    names = [n for n in STEPS if any(n in report.seconds for report in reports)]
    say(f"{'machine':<14}" + "".join(f"{name:>10}" for name in names) + "   result")
    for report in reports:
        shown = (f"{report.seconds[n]:.0f} s" if n in report.seconds else "–" for n in names)
        times = "".join(f"{text:>10}" for text in shown)
        say(f"{report.name:<14}{times}   {report.failed or 'passed'}   {report.tests}")


def last_lines(log: Path, count: int) -> str:
    """The end of a log, without what only a terminal shows."""
    text = re.sub(r"\x1b\[[0-9;?]*\w", "", log.read_text(errors="replace"))
    lines = [line for line in text.splitlines() if line.strip() and _NOTICE not in line]
    return "\n".join(lines[-count:])


def say(text: str) -> None:
    """Print a line at once, also into a pipe."""
    sys.stdout.write(f"test-fresh: {text}\n")
    sys.stdout.flush()


_ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


def _leave(number: int, _frame: object) -> None:
    for ending in _ENDINGS:
        signal.signal(ending, signal.SIG_IGN)  # a second one must not stop the tidying up
    raise SystemExit(128 + number)


if __name__ == "__main__":
    for one in _ENDINGS:
        signal.signal(one, _leave)
    sys.exit(main(sys.argv[1:]))
