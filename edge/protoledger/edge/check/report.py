"""`edge check`: checks everything that an agent needs before it runs unattended.

Every item is checked as far as the earlier ones allow; a failed item does not hide the others.
"""

import contextlib
import datetime as dt
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from protoledger.edge.check.agent_files import read_agent_files
from protoledger.edge.check.running import is_running
from protoledger.edge.check.spool_file import check_spool
from protoledger.edge.config import AgentConfig, InputConfig, LabelConfig, SensorConfig
from protoledger.edge.readings.slots import Slot, SlotState, machine_for, missing_state, slot_for
from protoledger.edge.status import read_status
from protoledger.protocol.wire.identity import Roster
from protoledger.runtime.check.aggregation import aggregation
from protoledger.runtime.check.broker import Client, check_broker
from protoledger.runtime.check.device_files import DeviceFiles
from protoledger.runtime.check.findings import Item, failed, note, ok, skipped
from protoledger.runtime.check.running import is_connected
from protoledger.runtime.exits import Exit
from protoledger.runtime.site import ChannelConfig, SiteConfig
from protoledger.sensors import Machine, SensorError, WantedSensor, find_problems
from protoledger.sensors.registry import check_options

READ_S = 15.0
TRIES = 5
PAUSE_S = 2.1
"""Pause between tries: a DHT answers at most once in 2 s, and not always."""
BUILT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""This program is newer than that: a clock before it is wrong."""
FIRST = "the files above must be right first"


def check_agent(
    path: Path, *, mock: bool, broker: bool = True, sensors: bool = True
) -> Iterator[Item]:
    """Check everything that an agent's file names.

    Args:
        path: the agent's file.
        mock: whether to read simulated sensors instead of real ones.
        broker: whether to connect to the broker.
        sensors: whether to read the sensors; a running agent holds their pins.
    """
    found = read_agent_files(path)
    yield _configuration(path, found)
    yield _roster(found)
    if found.config is None or found.site is None:
        yield from (skipped(name, FIRST) for name in ("aggregation", "sensors", "spool", "broker"))
    else:
        config = found.config
        yield aggregation(found.site, found.roster)
        if sensors:
            with machine_for(mock=mock) as machine:
                yield from _sensors(config, found.site, machine)
        else:
            yield _not_asked("sensors")
        yield check_spool(config.spool_file)
        yield from _broker(found, config, found.site) if broker else [_not_asked("broker")]
    yield _clock()


def _not_asked(name: str) -> Item:
    return skipped(name, "not asked for")


def _configuration(path: Path, found: DeviceFiles[AgentConfig]) -> Item:
    if found.text:
        return failed("configuration", found.text, "correct these lines; each says how")
    assert found.config is not None  # noqa: S101 - without problems there is one
    assert found.site is not None  # noqa: S101
    count, channels = len(found.config.sensors), len(found.site.channels)
    votes = "votes" if found.config.label else "does not vote"
    return ok(
        "configuration",
        f"{path}: {found.config.id} at site {found.site.site}, fills {count} of {channels} "
        f"channels, {votes}",
    )


def _roster(found: DeviceFiles[AgentConfig]) -> Item:
    config, roster = found.config, found.roster
    if config is None or found.site is None:
        return skipped("roster", FIRST)
    if roster is None:
        return failed(
            "roster",
            "\n".join(found.problems[config.roster_file]),
            f"fetch the signed roster of site {found.site.site} again",
        )
    if config.id not in roster.positions:
        return failed(
            "roster", f"{config.id} is not in it", "sign a roster with this agent, or correct id"
        )
    return ok(
        "roster",
        f"signed by the fleet's key; {config.id} is one of {len(roster.agents)} agents, "
        f"{roster.gateway.id} is the gateway; its hash begins with {roster.digest.hex()[:8]}",
    )


def _sensors(config: AgentConfig, site: SiteConfig, machine: Machine | None) -> Iterator[Item]:
    channels = {channel.name: channel for channel in site.channels}
    pins = _Pins()
    readings: dict[str, float] = {}
    slots: list[tuple[Slot, SensorConfig | InputConfig]]
    slots = [(slot_for(each.name, each, machine), each) for each in config.inputs]
    slots += [(slot_for(each.channel, each, machine), each) for each in config.sensors]
    for slot, sensor in sorted(slots, key=lambda pair: bool(pair[0].inputs)):
        wrong = _misconfigured(slot, sensor)
        yield wrong or _sensor(slot, sensor, channels.get(slot.name), readings)
        if not wrong:
            pins.add(slot, sensor)
    if (label := config.label) is not None:
        slot = slot_for("label", label, machine)
        wrong = _misconfigured(slot, label)
        yield wrong or _label(slot, label, site)
        if not wrong:
            pins.add(slot, label)
    yield pins.item()


class _Pins:
    """Which sensors use which pins, and which pins could not be claimed."""

    def __init__(self) -> None:
        self._users: dict[str, list[str]] = {}
        self._refused: set[str] = set()

    def add(self, slot: Slot, wanted: SensorConfig | InputConfig | LabelConfig) -> None:
        with contextlib.suppress(SensorError):  # the item `configuration` reports it
            driver, options = check_options(wanted.driver, wanted.options)
            for resource in driver.resources(options):
                if resource.is_pin:
                    self._users.setdefault(resource.name, []).append(slot.name)
                    if not slot.opened:
                        self._refused.add(resource.name)

    def item(self) -> Item:
        texts = {pin: f"{pin} ({' and '.join(users)})" for pin, users in self._users.items()}
        if refused := [text for pin, text in texts.items() if pin in self._refused]:
            return failed(
                "pins",
                f"cannot be claimed: {', '.join(refused)}",
                "see the errors of their sensors above; a running agent holds its pins",
                Exit.UNAVAILABLE,
            )
        return ok("pins", f"free: {', '.join(texts.values())}" if texts else "none are used")


def _misconfigured(slot: Slot, wanted: SensorConfig | InputConfig | LabelConfig) -> Item | None:
    calibration = {} if isinstance(wanted, LabelConfig) else wanted.calibration
    if find_problems(
        [WantedSensor("", wanted.driver, wanted.options, wanted.filters, calibration)]
    ):
        return skipped(f"{slot.name} ({wanted.driver})", "its lines above must be right first")
    return None


def _sensor(
    slot: Slot,
    wanted: SensorConfig | InputConfig,
    channel: ChannelConfig | None,
    readings: dict[str, float],
) -> Item:
    title = f"{slot.name} ({wanted.driver})"
    state = _read_once(slot, readings)
    if state.problem:
        return failed(title, state.problem, _wiring(wanted), Exit.UNAVAILABLE)
    value, unit = state.reading.value, state.unit
    text = f"{value:g} {unit or (channel.unit if channel else '')}".strip()
    if state.reading.reason:
        return note(title, f"{text}: doubtful, not contributed: {state.reading.reason}")
    readings[slot.name] = value
    if channel is None:
        is_input = isinstance(wanted, InputConfig)
        use = "for derived channels" if is_input else "the site has no such channel"
        return note(title, f"{text}; {use}")
    if unit and channel.unit and unit != channel.unit:
        return failed(
            title,
            f"reads {text}, the channel is in {channel.unit}",
            "set the channel's unit, low, high and step in the site file to the sensor's",
        )
    if not channel.low <= value <= channel.high:
        return note(
            title,
            f"{text} is outside the channel's range {channel.low:g} to {channel.high:g}: clipped",
            "if such values are real, widen low and high in the site file",
        )
    return ok(title, text)


def _label(slot: Slot, wanted: LabelConfig, site: SiteConfig) -> Item:
    title = f"label ({wanted.driver})"
    state = _read_once(slot, {})
    if state.problem:
        return failed(title, state.problem, _wiring(wanted), Exit.UNAVAILABLE)
    value = state.reading.value
    if value in range(len(site.labels)):
        return ok(title, f"votes for {site.labels[int(value)]!r} now")
    return ok(title, f"reads {value:g}, which is no label's number: it does not vote now")


def _wiring(wanted: SensorConfig | InputConfig | LabelConfig) -> str:
    options = ", ".join(f"{key} {value}" for key, value in wanted.options.items())
    return (
        f"check power, ground and the data line against its options ({options or 'none'}); if the "
        f"agent is running it holds the pins: stop it, or check with --no-sensors"
    )


def _read_once(slot: Slot, readings: Mapping[str, float]) -> SlotState:
    """Open a sensor and read it until it answers; `readings` are for a computed one."""
    answer: queue.Queue[SlotState] = queue.Queue()
    stop = threading.Event()

    def read() -> None:
        try:
            slot.open()
            slot.supply(readings)
            for _ in range(TRIES):
                slot.read()
                if not slot.state.problem or slot.probe is None or stop.wait(PAUSE_S):
                    break
            answer.put(slot.state)
        except SensorError as error:
            answer.put(missing_state(slot.name, str(error)))
        finally:
            slot.close()

    # in its own thread, so that a driver that hangs does not hang the report
    threading.Thread(target=read, daemon=True).start()
    try:
        return answer.get(timeout=READ_S)
    except queue.Empty:
        return missing_state(slot.name, f"no answer in {READ_S:g} s: the driver hangs")
    finally:
        stop.set()


def _broker(
    found: DeviceFiles[AgentConfig], config: AgentConfig, site: SiteConfig
) -> Iterator[Item]:
    status = None if config.status_file is None else read_status(config.status_file)
    if is_running(status, time.monotonic()) and status.connected:
        yield from is_connected(site.broker, config.id, status.pid)
        return
    me = Client(site.site, config.id, _other_device(config.id, found.roster), is_agent=True)
    yield from check_broker(site.broker, config.credentials, me)


def _other_device(me: str, roster: Roster | None) -> str:
    others = [] if roster is None else [agent.id for agent in roster.agents if agent.id != me]
    return others[0] if others else "somebody.else"


def _clock() -> Item:
    now = dt.datetime.now(dt.UTC)
    text = f"{now:%Y-%m-%d %H:%M} UTC"
    if now < BUILT:
        return note("clock", f"{text}: wrong, and not needed: rounds have numbers, not times")
    return ok("clock", f"{text}; not needed: rounds have numbers, not times")
