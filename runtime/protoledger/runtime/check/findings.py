"""The items that `edge check` and `gateway check` report, and how a report is printed.

An item that failed says what was seen and what to do, and carries the exit code.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

import typer

from protoledger.runtime.exits import Exit


class CheckResult(Enum):
    """The result of checking one item."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing, but not a failure."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not checked, because an earlier item failed or the user did not ask for it."""


@dataclass(frozen=True)
class Item:
    """One thing that was checked.

    Args:
        name: what it is, in a word or two.
        verdict: the result.
        found: what was seen.
        advice: what to do; empty if there is nothing to do.
        exit: the process's exit code if the item failed.
    """

    name: str
    result: CheckResult
    found: str
    advice: str = ""
    exit: Exit = Exit.CONFIGURATION


def ok(name: str, found: str) -> Item:
    """Make an item without a problem."""
    return Item(name, CheckResult.OK, found)


def note(name: str, found: str, advice: str = "") -> Item:
    """Make an item that is worth knowing."""
    return Item(name, CheckResult.NOTE, found, advice)


def failed(name: str, found: str, advice: str, code: Exit = Exit.CONFIGURATION) -> Item:
    """Make an item that must be corrected."""
    return Item(name, CheckResult.FAILED, found, advice, code)


def skipped(name: str, found: str) -> Item:
    """Make an item that was not checked."""
    return Item(name, CheckResult.SKIPPED, found)


_SIGNS = {
    CheckResult.OK: ("✓", typer.colors.GREEN),
    CheckResult.NOTE: ("!", typer.colors.YELLOW),
    CheckResult.FAILED: ("✗", typer.colors.RED),
    CheckResult.SKIPPED: ("–", typer.colors.BRIGHT_BLACK),
}
_WIDTH = 24


def lines(item: Item) -> Iterator[str]:
    """Format an item for a person; further lines of a text are aligned under its first."""
    sign, colour = _SIGNS[item.result]
    indent = " " * (_WIDTH + 3)
    first, *more = item.found.splitlines() or [""]
    yield f"{typer.style(sign, fg=colour, bold=True)} {item.name:<{_WIDTH}} {first}"
    yield from (f"{indent}{line}" for line in more)
    if item.advice:
        yield from (f"{indent}→ {line}" for line in item.advice.splitlines())


def print_report(items: Iterable[Item], *, as_json: bool) -> Exit:
    """Print items as they come, or all at once as JSON; returns the exit code."""
    seen = []
    for item in items:
        seen.append(item)
        if not as_json:
            for line in lines(item):
                typer.echo(line)
    bad = [item for item in seen if item.result is CheckResult.FAILED]
    code = bad[0].exit if bad else Exit.OK
    if as_json:
        shown = [
            {"name": i.name, "verdict": i.result.value, "found": i.found, "advice": i.advice}
            for i in seen
        ]
        typer.echo(
            json.dumps(
                {"ok": not bad, "exit": int(code), "items": shown}, indent=2, ensure_ascii=False
            )
        )
    elif bad:
        typer.echo(f"\n{len(bad)} of {len(seen)} failed: {', '.join(item.name for item in bad)}")
    else:
        left_out = sum(item.result is CheckResult.SKIPPED for item in seen)
        fine = f"{len(seen) - left_out} fine, {left_out} not checked"
        typer.echo(f"\n{fine if left_out else f'all {len(seen)} fine'}")
    return code
