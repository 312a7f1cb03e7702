"""`edge read`: shows the sensors' readings on the terminal, or as JSON for a program.

The readings stay on this machine: `edge read` connects to no broker and stores nothing.
"""

import collections
import contextlib
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import typer

from protoledger.edge.config import AgentConfig
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import SlotState
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import SiteConfig

if TYPE_CHECKING:
    from rich.table import Table

KEPT = 16
BARS = "▁▂▃▄▅▆▇█"
TRIES = 5
REFRESH_S = 0.5
_COLOURS = {"good": "green", "suspect": "yellow", "missing": "red"}


def sparkline(values: list[float]) -> str:
    """Draw values as bars from the smallest to the largest; a missing value is a gap.

    >>> sparkline([1.0, 2.0, math.nan, 8.0])
    '▁▂ █'
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return " " * len(values)
    low, width = min(finite), max(finite) - min(finite)
    scale = (len(BARS) - 1) / width if width else 0.0
    return "".join(
        BARS[round((value - low) * scale)] if math.isfinite(value) else " " for value in values
    )


class Display:
    """Reads an agent's sensors and formats their last values.

    Args:
        config: the agent's file.
        site: the site file, for units and the names of labels.
        kit: the open sensors.
    """

    def __init__(self, config: AgentConfig, site: SiteConfig, kit: Kit) -> None:
        self._kit = kit
        self._labels = site.labels
        self._units = {channel.name: channel.unit for channel in site.channels}
        self._drivers = {sensor.channel: sensor.driver for sensor in config.sensors}
        self._drivers |= {sensor.name: sensor.driver for sensor in config.inputs}
        if config.label is not None:
            self._drivers["label"] = config.label.driver
        self._history = {name: collections.deque[float](maxlen=KEPT) for name in self._drivers}
        self._title = f"{config.id}, site {site.site}"

    def read(self) -> None:
        """Read all sensors once."""
        self._kit.read()
        for state in self._kit.states():
            good = not state.problem
            self._history[state.name].append(state.reading.value if good else math.nan)

    @property
    def complete(self) -> bool:
        """Whether every sensor has a value."""
        return not any(state.problem for state in self._kit.states())

    def table(self) -> "Table":
        """Return a table of all sensors."""
        from rich.table import Table  # noqa: PLC0415 - an agent never needs it
        from rich.text import Text  # noqa: PLC0415

        table = Table(title=self._title)
        for name in ("sensor", "channel", "value", "unit", "quality", "age", ""):
            right = name in {"value", "age"}
            table.add_column(name, justify="right" if right else "left", no_wrap=name != "quality")
        for state in self._kit.states():
            quality = state.reading.quality.value
            text = Text(quality + (f": {state.reading.reason}" if state.reading.reason else ""))
            text.stylize(_COLOURS.get(quality, ""))
            table.add_row(
                self._drivers[state.name],
                state.name,
                self._value(state),
                self._unit(state),
                text,
                _age(state),
                sparkline(list(self._history[state.name])),
            )
        return table

    def lines(self) -> Iterator[str]:
        """Yield a line for each sensor, for output that is not a terminal."""
        for state in self._kit.states():
            value = f"{self._value(state)} {self._unit(state)}".strip()
            reason = f": {state.reading.reason}" if state.reading.reason else ""
            driver = self._drivers[state.name]
            yield f"{state.name} ({driver}): {value}, {state.reading.quality.value}{reason}"

    def as_json(self) -> str:
        """Return all sensors as one line of JSON; a missing value is null."""
        rows = [
            {
                "channel": state.name,
                "driver": self._drivers[state.name],
                "value": None if state.problem else state.reading.value,
                "unit": self._unit(state),
                "quality": state.reading.quality.value,
                "reason": state.reading.reason,
            }
            for state in self._kit.states()
        ]
        return json.dumps({"sensors": rows}, ensure_ascii=False)

    def _value(self, state: SlotState) -> str:
        value = state.reading.value
        if state.problem:
            return "–"
        if state.name == "label":
            known = value in range(len(self._labels))
            return self._labels[int(value)] if known else f"{value:g} (no vote)"
        return f"{value:.5g}"

    def _unit(self, state: SlotState) -> str:
        return state.unit or self._units.get(state.name, "")


def _age(state: SlotState) -> str:
    return f"{time.monotonic() - state.read_at:.1f} s" if state.read_at else "never"


def once(display: Display, *, as_json: bool) -> Exit:
    """Read until every sensor has a value, at most `TRIES` times, and print the result."""
    for _ in range(TRIES):
        display.read()
        if display.complete:
            break
        time.sleep(REFRESH_S)
    if as_json:
        typer.echo(display.as_json())
    elif sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415

        Console().print(display.table())
    else:
        for line in display.lines():
            typer.echo(line)
    return Exit.OK if display.complete else Exit.UNAVAILABLE


def follow(display: Display, every_s: float, *, as_json: bool) -> None:
    """Read and print until Ctrl-C or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt), _ended_by_sigterm():
        if as_json or not sys.stdout.isatty():
            while True:
                display.read()
                for line in [display.as_json()] if as_json else display.lines():
                    typer.echo(line)
                sys.stdout.flush()
                time.sleep(every_s)
        _live(display, every_s)


def _live(display: Display, every_s: float) -> None:
    from rich.live import Live  # noqa: PLC0415

    stop = threading.Event()

    def sample() -> None:  # in its own thread, so that a slow sensor does not freeze the display
        while not stop.is_set():
            display.read()
            stop.wait(every_s)

    thread = threading.Thread(target=sample, name="sampler", daemon=True)
    thread.start()
    live = Live(display.table(), auto_refresh=False)
    try:
        live.start(refresh=True)
        while True:
            time.sleep(REFRESH_S)
            live.update(display.table(), refresh=True)
    finally:
        live.stop()  # `with` would leave the cursor hidden if the signal came during its __enter__
        stop.set()
        thread.join(1.0)


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does, so that the pins are released."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
