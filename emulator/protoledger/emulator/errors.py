"""What can go wrong when a deployment is brought up, run and torn down."""


class EmulatorError(Exception):
    """Base of everything that the emulator raises."""


class ToolMissingError(EmulatorError, FileNotFoundError):
    """A program that the emulation starts is not installed."""


class BrokerError(EmulatorError, ConnectionError):
    """The MQTT broker did not start, or the given one does not answer."""


class ChainError(EmulatorError, ConnectionError):
    """The Ethereum node did not start, does not answer, or refused a call."""


class SourceError(EmulatorError, ValueError):
    """A data source is unknown, unreadable or too small; nothing has been started yet."""


class UnknownSourceError(SourceError, LookupError):
    """The name is neither a source's nor a file's."""


class CsvError(SourceError):
    """A CSV file cannot be a source.

    Attributes:
        problems: The first problems, in the order of their lines, each naming line and column.
        total: How many there are.
    """

    def __init__(self, file: str, problems: tuple[str, ...], total: int) -> None:
        self.problems = problems
        self.total = total
        if total == 1:
            super().__init__(f"{file}, {problems[0]}")
            return
        first = f", the first {len(problems)}" if total > len(problems) else ""
        super().__init__(f"{file}: {total} problems{first}:\n  " + "\n  ".join(problems))


class DealError(SourceError):
    """The source cannot be dealt as asked: the message names the options to change."""


class ChildDied(EmulatorError, RuntimeError):  # noqa: N818 - it tells what happened, to a person
    """A process of the deployment ended although nobody asked it to.

    Attributes:
        name: What the process was started as, for example `site-1.gateway`.
        returncode: Its exit code; negative is the number of the signal that ended it.
        last_lines: The end of its log, at most 15 lines.
    """

    def __init__(self, name: str, returncode: int, last_lines: tuple[str, ...]) -> None:
        self.name = name
        self.returncode = returncode
        self.last_lines = last_lines
        how = f"by signal {-returncode}" if returncode < 0 else f"with exit code {returncode}"
        shown = "\n  ".join(last_lines) or "(its log is empty)"
        super().__init__(f"{name} ended {how}; its last lines:\n  {shown}")


class Terminated(SystemExit):
    """Somebody asked this process to end (SIGTERM, SIGHUP): unwinds every `with` block.

    The one exception here that is no `EmulatorError`: an `except Exception` must not swallow it.
    """
