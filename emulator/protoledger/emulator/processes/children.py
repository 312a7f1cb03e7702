"""Starts a deployment's processes, collects their events, and ends every one of them.

Each child runs in its own session, so a Ctrl-C in the terminal reaches only the starter, which then
stops the children in order. A child reports events as JSON objects, one a line, on standard output;
everything else that it prints goes to `<folder>/<name>.log`. Children of the layer `SERVERS`
(broker, chain) are stopped last, so that the others can still disconnect properly. A child's
standard input is a pipe, which closes when the starter ends; a child may end then by itself.
`protoledger.emulator.processes.watchdog` ends all children even if the starter was killed.
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
from protoledger.runtime.broker.access_list import checked_name

LINE_LIMIT_BYTES = 16 << 20
LOG_LIMIT_BYTES = 16 << 20
LAST_LINES = 15
QUEUE_LIMIT = 10_000  # unread events; beyond it the child's pipe fills up, and the child waits
_POLL_S = 0.05
_DRAIN_S = 0.5  # how long reading the last output of an ended child may take

WORKERS, SERVERS = 0, 1
"""Layers, in the order in which they are stopped."""


@dataclass(frozen=True, slots=True)
class ChildEvent:
    """One JSON object that the child `name` wrote to its standard output."""

    name: str
    data: dict[str, object]


@dataclass(frozen=True, slots=True)
class Ended:
    """A child ended as expected: it was stopped, or it `may_end` and its exit code is 0."""

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
    reaped: bool = False  # its group is killed; its process id may belong to another process now


class Children:
    """The processes of one deployment; a context manager that ends all of them.

    Inside the `with` block SIGTERM and SIGHUP raise `Terminated` in the main thread, as SIGINT
    raises KeyboardInterrupt; SIGHUP and SIGINT that were ignored before stay ignored. A second
    signal, while the block ends, kills children that have not stopped yet.

    Args:
        folder: Folder for the logs; created with mode 0700 if absent.
        grace_s: Seconds between SIGTERM to a layer of children and SIGKILL.
    """

    def __init__(self, folder: Path, *, grace_s: float = 5.0) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._grace_s = grace_s
        self._token = secrets.token_hex(16)
        self._children: dict[str, _Child] = {}
        self._events: queue.Queue[ChildEvent] = queue.Queue(QUEUE_LIMIT)
        self._stopping = threading.Event()
        self._impatient = False
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        _allow_many_files()
        inherited = {k: v for k, v in os.environ.items() if k != watchdog.TOKEN_VARIABLE}
        self._watchdog = subprocess.Popen(
            [sys.executable, watchdog.__file__, self._token],
            env=inherited,  # an outer deployment must not kill it as one of its children
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                former = signal.getsignal(number)
                if former is signal.SIG_IGN and number != signal.SIGTERM:
                    continue  # started by nohup, or in the background of a script
                self._handlers[number] = former
                if number != signal.SIGINT:
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
            name: A unique name; also names the log.
            arguments: The program and its arguments; no shell interprets them.
            layer: `WORKERS` or `SERVERS`; servers are stopped last.
            may_end: Whether the child may end by itself with exit code 0.
            environment: Variables in addition to this process's own.
            folder: The child's working directory; by default this process's.

        Returns:
            The child's process id, which is also its process group's.

        Raises:
            EmulatorError: If the name is taken or invalid as a file name, or outside the block.
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

    def wait_any(self, timeout_s: float) -> ChildEvent | Ended | None:
        """Wait for the next event of any child, or for a child's end.

        Returns:
            None if nothing happened within `timeout_s`.

        Raises:
            ChildDied: If a child ended unexpectedly; its events are returned first.
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
        """Send SIGTERM to one child, kill its group after `grace_s`; returns its exit code."""
        self._end([self._children[name]])
        return self._children[name].process.returncode

    def kill(self, name: str) -> None:
        """Send SIGKILL to one child's group, as a power cut would; it is reported as `Ended`."""
        child = self._children[name]
        child.asked_to_end = True
        self._forget(child)

    def running(self) -> list[str]:
        """Return the names of the children that have not ended."""
        return [name for name, child in self._children.items() if child.process.poll() is None]

    def last_lines(self, name: str) -> tuple[str, ...]:
        """Return the end of a child's log: at most 15 lines, each cut at 400 characters."""
        return tail(self._children[name].log)

    def stop_all(self) -> None:
        """End every child, layer by layer, and all processes that they started; idempotent."""
        self._stopping.set()  # readers discard events from here on, so that no child blocks
        try:
            for layer in sorted({child.layer for child in self._children.values()}):
                self._end([c for c in self._children.values() if c.layer == layer])
        finally:
            if self._watchdog is not None:
                dog, self._watchdog = self._watchdog, None
                if dog.stdin is not None:
                    dog.stdin.close()  # the watchdog kills what has left its group, and ends
                dog.wait()

    def _end(self, children: Sequence[_Child]) -> None:
        for child in children:
            child.asked_to_end = True
            if not child.reaped:
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
        """Kill the rest of a child's process group, and release what belongs to the child."""
        if child.reaped:
            return
        child.reaped = True
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
        """Return whether a child ended so long ago that it comes before the others' events."""
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
                return None  # its events come first
            child.reported = True
            self._forget(child)
            if child.asked_to_end or (child.may_end and code == 0):
                return Ended(child.name, code)
            raise ChildDied(child.name, code, tail(child.log))
        return None

    def _read(self, child: _Child) -> None:
        """Split a child's standard output into events and log; runs in its own thread."""
        if (stream := child.process.stdout) is None:
            return
        with stream, child.log.open("ab", buffering=0) as log:
            while line := stream.readline(LINE_LIMIT_BYTES):
                whole = line.endswith(b"\n") or len(line) < LINE_LIMIT_BYTES
                data = _json_object(line) if whole else None
                if data is not None:
                    self._hand_over(ChildEvent(child.name, data))
                elif log.tell() < LOG_LIMIT_BYTES:
                    log.write(line if line.endswith(b"\n") else line + b"\n")
                while not whole:  # discard the rest of a line that is too long
                    rest = stream.readline(LINE_LIMIT_BYTES)
                    whole = not rest or rest.endswith(b"\n")

    def _hand_over(self, event: ChildEvent) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=_POLL_S)
                return

    def _lose_patience(self, _number: int, _frame: FrameType | None) -> None:
        self._impatient = True


def tail(log: Path, lines: int = LAST_LINES) -> tuple[str, ...]:
    """Return the last lines of a log, each cut at 400 characters; none if there is no file."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 64_000))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ()
    return tuple(line[:400] for line in text.splitlines()[-lines:])


def _allow_many_files() -> None:
    """Raise the soft limit of open files, which children inherit: one for each MQTT client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS enforces a lower limit
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
