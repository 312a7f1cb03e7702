"""The errors of starting, running and stopping an emulated deployment."""


class EmulatorError(Exception):
    """Base of everything that the emulator raises."""


class ProgramMissingError(EmulatorError, FileNotFoundError):
    """A program that the emulation needs is not installed."""


class BrokerError(EmulatorError, ConnectionError):
    """The MQTT broker did not start, or the user's own broker does not answer."""


class ChainError(EmulatorError, ConnectionError):
    """The Ethereum node did not start, does not answer, or refused a call."""


class DataSourceError(EmulatorError, ValueError):
    """A data source is unknown, unreadable or too small; no process has started yet."""


class UnknownSourceError(DataSourceError, LookupError):
    """The name is neither that of a data source nor that of a file."""


class CsvError(DataSourceError):
    """A CSV file cannot be used as a data source.

    Attributes:
        problems: The first problems, in the order of their lines, each naming line and column.
        total: The number of all problems.
    """

    def __init__(self, file: str, problems: tuple[str, ...], total: int) -> None:
        self.problems = problems
        self.total = total
        if total == 1:
            super().__init__(f"{file}, {problems[0]}")
            return
        first = f", the first {len(problems)}" if total > len(problems) else ""
        super().__init__(f"{file}: {total} problems{first}:\n  " + "\n  ".join(problems))


class DealError(DataSourceError):
    """A data source cannot fill the plan; the message names the options to change."""


class ChildDied(EmulatorError, RuntimeError):  # noqa: N818 - named after the event
    """A process of the deployment ended although it was not stopped.

    Attributes:
        name: The name under which it was started, for example `site-1.gateway`.
        returncode: Its exit code; a negative number is the signal that ended it.
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
    """SIGTERM or SIGHUP arrived; raised in the main thread, so that every `with` block ends.

    The only exception here that is not an `EmulatorError`: `except Exception` must not catch it.
    """
