"""Starts a deployment's processes, listens to them, and leaves none behind.

Each child runs in a session of its own (a Ctrl-C in the terminal reaches only the starter, which
then stops the children in order), speaks by JSON objects on standard output, one a line, and has
all else that it prints kept in `<folder>/<name>.log`. Children of the layer `SERVERS` (broker,
chain) are stopped after the others, so that these can still say goodbye. A child's standard input
is a pipe that closes when the starter is gone: a child may take that as its cue to end. What must
hold in any case, even after `kill -9` of the starter, is the watchdog's work: see
`protoledger.emulator.processes.watchdog`.
"""

import contextlib
import json
import os
import queue
import resource
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from protoledger.emulator.errors import ChildDied, EmulatorError, Terminated
from protoledger.emulator.processes import watchdog
from protoledger.runtime.access_list import checked_name

LINE_LIMIT_BYTES = 16 << 20
LOG_LIMIT_BYTES = 16 << 20
LAST_LINES = 15
QUEUE_LIMIT = 10_000  # events not yet taken; beyond it the child's pipe fills up and it waits
_POLL_S = 0.05
_DRAIN_S = 0.5  # how long a dead child's last words may take

WORKERS, SERVERS = 0, 1
"""Layers, in the order in which they are stopped."""


@dataclass(frozen=True, slots=True)
class Event:
    """One JSON object that the child `name` wrote on a line of its standard output."""

    name: str
    data: dict[str, object]


@dataclass(frozen=True, slots=True)
class Ended:
    """A child ended as it may: with exit code 0 if it `may_end`, or because it was stopped."""

    name: str
    returncode: int


@dataclass(slots=True, eq=False)
class _Child:
    name: str
    layer: int
    may_end: bool
    process: subprocess.Popen[bytes]
    log: Path
    reader: threading.Thread | None = None
    asked_to_end: bool = False
    died_at_s: float | None = None
    reported: bool = False
    gone: bool = False  # reaped, its group killed: from now on its id may be somebody else's


class Children:
    """The processes of one deployment; a context manager that ends them all.

    Inside the `with` block SIGTERM and SIGHUP raise `Terminated` in the main thread, as SIGINT
    raises KeyboardInterrupt; while the block is being left, another of them ends the patience with
    children that do not stop.

    Args:
        folder: Where the logs go; created with mode 0700 if absent.
        grace_s: How long a layer of children has to end after SIGTERM before SIGKILL.
    """

    def __init__(self, folder: Path, *, grace_s: float = 5.0) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._grace_s = grace_s
        self._token = secrets.token_hex(16)
        self._children: dict[str, _Child] = {}
        self._events: queue.Queue[Event] = queue.Queue(QUEUE_LIMIT)
        self._stopping = threading.Event()
        self._impatient = False
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        _allow_many_files()
        inherited = {k: v for k, v in os.environ.items() if k != watchdog.TOKEN_VARIABLE}
        self._watchdog = subprocess.Popen(
            [sys.executable, watchdog.__file__, self._token],
            env=inherited,  # an outer deployment's sweep must not take it for a child
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._handlers[number] = signal.getsignal(number)
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _raise_terminated)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number in self._handlers:
            signal.signal(number, self._lose_patience)
        try:
            self.stop_all()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal gave
            self._handlers.clear()

    def start(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        layer: int = WORKERS,
        may_end: bool = False,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> int:
        """Start a child.

        Args:
            name: Unique here; also the log's name.
            arguments: The program and its arguments; no shell looks at them.
            layer: `WORKERS` or `SERVERS`: the latter are stopped last.
            may_end: Whether ending by itself with exit code 0 is no failure.
            environment: Variables besides this process's own.
            folder: The child's working directory; by default this process's.

        Returns:
            Its process id, which is its process group's too.

        Raises:
            EmulatorError: If the name is taken or could not be a file's, or outside the block.
            OSError: If the program cannot be started.
        """
        if self._watchdog is None or self._stopping.is_set():
            raise EmulatorError(f"cannot start {name}: outside the `with` block of its Children")
        if checked_name(name) in self._children:
            raise EmulatorError(f"cannot start {name}: there is a child of that name already")
        log = self._folder / f"{name}.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env={**os.environ, **(environment or {}), watchdog.TOKEN_VARIABLE: self._token},
                start_new_session=True,
            )
        child = _Child(name, layer, may_end, process, log)
        self._children[name] = child
        self._tell_watchdog(f"+{process.pid}\n")
        child.reader = threading.Thread(target=self._read, args=(child,), daemon=True)
        child.reader.start()
        return process.pid

    def wait_any(self, timeout_s: float) -> Event | Ended | None:
        """Wait for the next thing that any child says or does.

        Returns:
            None if nothing happened within `timeout_s`.

        Raises:
            ChildDied: If a child ended that was neither stopped nor allowed to; what it had said
                before is handed out first.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = deadline - time.monotonic()
            with contextlib.suppress(queue.Empty):
                if not self._overdue():
                    return self._events.get(timeout=min(_POLL_S, max(0.0, left_s)))
            if (ended := self._next_ended()) is not None:
                return ended
            if left_s <= 0:
                return None

    def stop(self, name: str) -> int:
        """Ask one child to end (SIGTERM), kill its group after the grace; hand on its exit code."""
        self._end([self._children[name]])
        return self._children[name].process.returncode

    def kill(self, name: str) -> None:
        """End one child as a power cut would: SIGKILL to its group. It is reported as `Ended`."""
        child = self._children[name]
        child.asked_to_end = True
        self._forget(child)

    def running(self) -> list[str]:
        """Name the children that have not ended."""
        return [name for name, child in self._children.items() if child.process.poll() is None]

    def last_lines(self, name: str) -> tuple[str, ...]:
        """Read the end of a child's log: at most 15 lines, each cut at 400 characters."""
        return tail(self._children[name].log)

    def stop_all(self) -> None:
        """End every child, layer by layer, and whatever they started; nothing happens twice."""
        self._stopping.set()  # readers throw away from here on, so that no child waits for a pipe
        try:
            for layer in sorted({child.layer for child in self._children.values()}):
                self._end([c for c in self._children.values() if c.layer == layer])
        finally:
            if self._watchdog is not None:
                dog, self._watchdog = self._watchdog, None
                if dog.stdin is not None:
                    dog.stdin.close()  # now it looks for what left its group, and ends
                dog.wait()

    def _end(self, children: Sequence[_Child]) -> None:
        for child in children:
            child.asked_to_end = True
            if not child.gone:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_s
        while any(child.process.poll() is None for child in children):
            if self._impatient or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        for child in children:
            self._forget(child)

    def _forget(self, child: _Child) -> None:
        """Kill what is left of a child's group, also what it forked and did not wait for."""
        if child.gone:
            return
        child.gone = True
        watchdog.kill_group(child.process.pid)
        child.process.wait()
        if child.reader is not None:
            child.reader.join(_DRAIN_S)
        if child.process.stdin is not None:
            child.process.stdin.close()
        self._tell_watchdog(f"-{child.process.pid}\n")

    def _tell_watchdog(self, line: str) -> None:
        if self._watchdog is not None and self._watchdog.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._watchdog.stdin.write(line.encode())
                self._watchdog.stdin.flush()

    def _overdue(self) -> bool:
        """Tell whether a child died so long ago that others' chatter must not hide it."""
        now_s = time.monotonic()
        overdue = False
        for child in self._children.values():
            if child.died_at_s is None and child.process.poll() is not None:
                child.died_at_s = now_s
            waiting = child.died_at_s is not None and not child.reported
            overdue = overdue or (waiting and now_s - (child.died_at_s or 0) > 2 * _DRAIN_S)
        return overdue

    def _next_ended(self) -> Ended | None:
        for child in self._children.values():
            code = child.process.poll()
            if code is None or child.reported:
                continue
            if child.reader is not None:
                child.reader.join(_DRAIN_S)
            if not self._events.empty() and not self._overdue():
                return None  # what it said comes first
            child.reported = True
            self._forget(child)
            if child.asked_to_end or (child.may_end and code == 0):
                return Ended(child.name, code)
            raise ChildDied(child.name, code, tail(child.log))
        return None

    def _read(self, child: _Child) -> None:
        """Take a child's standard output apart; runs in a thread of its own until it closes."""
        if (stream := child.process.stdout) is None:
            return
        with stream, child.log.open("ab", buffering=0) as log:
            while line := stream.readline(LINE_LIMIT_BYTES):
                whole = line.endswith(b"\n") or len(line) < LINE_LIMIT_BYTES
                data = _json_object(line) if whole else None
                if data is not None:
                    self._hand_over(Event(child.name, data))
                elif log.tell() < LOG_LIMIT_BYTES:
                    log.write(line if line.endswith(b"\n") else line + b"\n")
                while not whole:  # the rest of a line that is too long is of no use
                    rest = stream.readline(LINE_LIMIT_BYTES)
                    whole = not rest or rest.endswith(b"\n")

    def _hand_over(self, event: Event) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=_POLL_S)
                return

    def _lose_patience(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient = True


def tail(log: Path, lines: int = LAST_LINES) -> tuple[str, ...]:
    """Read the last lines of a log, each cut at 400 characters; none if there is no such file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(line[:400] for line in text.splitlines()[-lines:])


def _allow_many_files() -> None:
    """Raise the soft limit of open files, which children inherit: a broker needs one a client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _json_object(line: bytes) -> dict[str, object] | None:
    if not line.startswith(b"{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _raise_terminated(number: int, _frame: FrameType | None) -> None:
    raise Terminated(128 + number)
