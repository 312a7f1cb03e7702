"""Whether a plug-in keeps the protocol of its kind; its author finds out in one line.

    python -m protoledger.conformance learners my_package:Learner

prints a line for each rule, and ends with 0 if all are kept. In a test of one's own:

    from protoledger.conformance import failures
    assert failures("learners", "my_package:Learner") == []

A kind's suite is a module with a `SUITE`: its rules are functions that take what is to be checked
and raise where a rule is not kept; the first line of their docstring is the rule.
"""

import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from protoledger.plugins import PluginError, resolve
from protoledger.runtime.exits import Exit

SUITES: Final = {
    "sensors": "protoledger.sensors.conformance",
    "learners": "protoledger.gateway.learner.conformance",
    "sources": "protoledger.emulator.sources.conformance",
    "sharing": "protoledger.experiments.variants.sharing_rules",
    "attacks": "protoledger.experiments.variants.attack_rules",
}
USAGE: Final = (
    "usage: python -m protoledger.conformance KIND package.module:Name [OPTIONS]\n"
    f"KIND is one of {', '.join(SUITES)}; OPTIONS, for sensors, is a JSON object of the driver's "
    "options"
)


class RuleBrokenError(AssertionError):
    """A rule is not kept; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The rules of one kind.

    Attributes:
        prepare: makes what the rules take of a plug-in and the options that were given.
        rules: each takes it, and raises if it is not kept.
    """

    prepare: Callable[[Any, Mapping[str, Any]], Any]
    rules: Sequence[Callable[[Any], None]]


@dataclass(frozen=True, slots=True)
class RuleOutcome:
    """How one rule went.

    Attributes:
        rule: the rule.
        broken: what was seen; empty if it is kept.
    """

    rule: str
    broken: str = ""


def expect(kept: object, seen: str) -> None:
    """Raise RuleBrokenError, saying what was seen, unless `kept` is true."""
    if not kept:
        raise RuleBrokenError(seen)


def expect_error(kind: type[Exception], call: Callable[[], object], where: str) -> None:
    """Raise RuleBrokenError unless the call raises such an error."""
    try:
        found = call()
    except kind:
        return
    except Exception as error:
        raise RuleBrokenError(f"{where} raised {error!r}, not {kind.__name__}") from error
    raise RuleBrokenError(f"{where} returned {found!r:.80} and raised no {kind.__name__}")


def plain(found: Any, options: Mapping[str, Any]) -> Any:
    """Prepare a plug-in that takes no options.

    Raises:
        PluginError: some were given.
    """
    if options:
        raise PluginError(f"this kind has no options, found {dict(options)!r}")
    return found


def check(
    kind: str, target: object, options: Mapping[str, Any] | None = None
) -> Iterator[RuleOutcome]:
    """Check a plug-in rule by rule.

    Args:
        kind: one of `SUITES`.
        target: the plug-in, or `package.module:Name`.
        options: of a sensor's driver.

    Raises:
        PluginError: there is no such kind or plug-in, or what it needs is not installed.
    """
    if kind not in SUITES:
        raise PluginError(f"no kind {kind!r}: there are {', '.join(SUITES)}")
    try:
        suite = importlib.import_module(SUITES[kind]).SUITE
    except ImportError as error:
        raise PluginError(f"the rules of {kind} need a package that is missing: {error}") from error
    found = resolve(target) if isinstance(target, str) else target
    subject = suite.prepare(found, options or {})
    for rule in suite.rules:
        said = (inspect.getdoc(rule) or rule.__name__).partition("\n")[0].rstrip(".")
        yield RuleOutcome(said, _broken(rule, subject))


def _broken(rule: Callable[[Any], None], subject: Any) -> str:
    try:
        rule(subject)
    except RuleBrokenError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - a third party's code may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} (at {last.filename}:{last.lineno})"
    return ""


def failures(kind: str, target: object, options: Mapping[str, Any] | None = None) -> list[str]:
    """Return a line for each rule that a plug-in does not keep; see `check`."""
    return [f"{kept.rule}: {kept.broken}" for kept in check(kind, target, options) if kept.broken]


def main(words: Sequence[str]) -> int:
    """Check what the command line names; return the exit code."""
    try:
        kind, target, *rest = words
        options = json.loads(rest[0]) if rest else {}
        if len(rest) > 1 or not isinstance(options, dict):
            raise ValueError(rest)  # noqa: TRY301 - told as the usage
    except ValueError:
        sys.stderr.write(f"{USAGE}\n")
        return Exit.USAGE
    broken = 0
    try:
        for kept in check(kind, target, options):
            broken += bool(kept.broken)
            line = f"BROKEN  {kept.rule}: {kept.broken}" if kept.broken else f"kept    {kept.rule}"
            sys.stdout.write(f"{line}\n")
    except PluginError as error:
        sys.stderr.write(f"{error}\n{USAGE}\n")
        return Exit.USAGE
    sys.stdout.write(f"{target}: {broken or 'no'} rule{'s' * (broken != 1)} broken\n")
    return Exit.FAILED if broken else Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
