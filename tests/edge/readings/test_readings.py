"""The agent's own part: windows from live sensors and recordings, and its configuration."""

import math
import time

import numpy as np
import pytest
import yaml

from protoledger.edge.config import AgentConfig
from protoledger.edge.readings.averages import means, most_frequent
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import Slot
from protoledger.edge.readings.spent import SpentRows
from protoledger.edge.readings.windows import LiveWindows, RoundWindows
from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Member
from protoledger.protocol.wire.messages import Announce
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema
from protoledger.runtime.identity_files import (
    create_identity,
    load_identity,
    load_roster,
    write_roster,
)
from protoledger.runtime.site import load
from protoledger.sensors import FilterOptions, Probe, open_sensor
from protoledger.sensors.base import Reading, Sensor
from protoledger.sensors.errors import ReadFailed
from tests.support.agent_files import AGENT, SITE, write_site

SCHEMA = Schema((Channel("a", "", 0, 10, 0.1), Channel("b", "", 0, 10, 0.1)), ("no", "yes"))


def announce(round_id, kept=None):
    return Announce(
        round_id,
        b"s" * 16,
        b"r" * 32,
        b"t" * 32,
        b"\x07",
        bytes(48),
        (0, 1, 2),
        b"c" * 32,
        kept,
        (),
        (),
    )


class Script(Sensor):
    """Gives what it is told to, exceptions among it; the last for ever."""

    def __init__(self, *script):
        self._closed = False
        self.script = list(script)
        self.closes = 0

    def _measure(self):
        item = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(item, Exception):
            raise item
        return Reading(float(item))

    def _release(self):
        self.closes += 1


def kit_of(sensors, label=None):
    def slot(name, sensor):
        return Slot(name, lambda: Probe(sensor, FilterOptions()))

    slots = [slot(name, sensor) for name, sensor in sensors.items()]
    kit = Kit(SCHEMA, slots, None if label is None else slot("label", label))
    kit.open()
    return kit


def recording(tmp_path, text):
    path = tmp_path / "r.csv"
    path.write_text(text)
    return lambda column: open_sensor(
        "replay", {"path": str(path), "column": column, "pace": "seek"}
    )


def test_rows_of_a_recording_follow_the_round_and_are_given_once(tmp_path):
    replay = recording(tmp_path, "a,label\n" + "".join(f"{i},{i % 2}\n" for i in range(8)))
    windows = RoundWindows(kit_of({"a": replay("a")}, replay("label")), 2)
    first = windows.take(announce(2))
    assert first.values[:, 0].tolist() == [2, 3]
    assert np.isnan(first.values[:, 1]).all()
    assert first.labels.tolist() == [0, 1]
    for again in (2, 1):  # a gateway that counts from 1 again gets no reading a second time
        empty = windows.take(announce(again))
        assert np.isnan(empty.values).all()
        assert set(empty.labels.tolist()) == {NO_LABEL}
    assert windows.take(announce(4)).values[:, 0].tolist() == [6, 7]
    beyond = windows.take(announce(9))
    assert np.isnan(beyond.values).all()


def test_a_restart_gives_no_row_a_second_time(tmp_path):
    replay = recording(tmp_path, "a\n" + "".join(f"{i}\n" for i in range(8)))
    file = tmp_path / "agent.spent"

    def start():
        return RoundWindows(kit_of({"a": replay("a")}), 2, SpentRows(file))

    assert start().take(announce(2)).values[:, 0].tolist() == [2, 3]
    for round_id in (1, 2):
        assert np.isnan(start().take(announce(round_id)).values).all()
    assert start().take(announce(3)).values[:, 0].tolist() == [4, 5]
    assert file.read_text() == "6\n"


@pytest.mark.parametrize("sync", [True, False])
def test_a_row_is_marked_before_it_is_read(tmp_path, sync):
    """Whatever happens while it is read, it is gone."""
    replay = recording(tmp_path, "a\n0\n1\n2\n3\n")
    file = tmp_path / "agent.spent"
    kit = kit_of({"a": replay("a")})
    windows = RoundWindows(kit, 2, SpentRows(file, sync=sync))
    kit.rows = lambda *_: pytest.fail(f"spent until {SpentRows(file).next_row}")
    for round_id, until in ((1, 2), (2, 4)):
        with pytest.raises(pytest.fail.Exception, match=f"spent until {until}"):
            windows.take(announce(round_id))
    windows.close()


def test_rows_are_the_same_at_once_and_one_by_one(tmp_path):
    """Gaps, votes for no label and filters take the way of single reads."""
    rows = [("1", "1"), ("2", "0"), ("3", "9"), ("", "0.5"), ("5", ""), ("60", "1"), ("7", "0")]
    replay = recording(tmp_path, "a,l\n" + "".join(f"{a},{vote}\n" for a, vote in rows))
    windows = RoundWindows(kit_of({"a": replay("a")}, replay("l")), 2)
    taken = [windows.take(announce(round_id)) for round_id in (1, 2, 3, 4)]
    values = np.concatenate([window.values[:, 0] for window in taken])
    labels = np.concatenate([window.labels for window in taken])
    assert np.array_equal(values, [1, 2, 3, np.nan, 5, 60, 7, np.nan], equal_nan=True)
    assert labels.tolist() == [1, 0, *[NO_LABEL] * 3, 1, 0, NO_LABEL]
    slot = Slot("a", lambda: Probe(replay("a"), FilterOptions(high=50.0)))
    kit = Kit(SCHEMA, [slot])
    kit.open()
    filtered = RoundWindows(kit, 2).take(announce(3)).values[:, 0]
    assert np.array_equal(filtered, [5, np.nan], equal_nan=True)


def test_what_cannot_be_marked_is_not_given(tmp_path, caplog):
    replay = recording(tmp_path, "a\n0\n1\n")
    windows = RoundWindows(kit_of({"a": replay("a")}), 2, SpentRows(tmp_path / "no" / "folder"))
    for _ in range(2):
        assert np.isnan(windows.take(announce(1)).values).all()
    assert caplog.text.count("not contributed") == 1


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "9" * 30, "\N{SUPERSCRIPT TWO}"])
def test_a_damaged_mark_is_an_error_and_no_licence(tmp_path, text):
    (tmp_path / "agent.spent").write_text(text)
    with pytest.raises(ConfigurationError, match=r"agent\.spent"):
        SpentRows(tmp_path / "agent.spent")


def test_a_sensor_without_rows_cannot_follow_rounds():
    with pytest.raises(TypeError, match="by_round"):
        RoundWindows(kit_of({"a": Script(1)}), 1)


def test_a_dead_sensor_takes_no_other_with_it(caplog):
    dead = Script(ReadFailed("no answer"), 2, RuntimeError("a driver's own mistake"))
    kit = kit_of({"a": dead, "b": Script(5)}, Script(1))
    first, second, third = kit.read(), kit.read(), kit.read()
    assert math.isnan(first[0][0])
    assert second[0] == [2, 5]
    assert math.isnan(third[0][0])
    assert all(values[1] == 5 and label == 1 for values, label in (first, second, third))
    kit.read()
    assert len(caplog.records) == 2, "each change of state is told once"


@pytest.mark.parametrize("value", [-1, 2, 0.5, 1e9])
def test_a_label_that_is_none_is_no_vote(value):
    assert kit_of({}, Script(value)).read()[1] == NO_LABEL


def test_live_readings_are_cut_into_windows_and_given_once():
    clock = [0.0]
    kit = kit_of({"a": Script(1, 2, 3, 4, 5, 6, 7)}, Script(1))
    windows = LiveWindows(kit, 2.0, 1.0, 2, clock=lambda: clock[0])
    windows._stop.set()  # the test reads, not the thread
    windows._thread.join()
    windows._readings.clear()
    for second in range(6):
        clock[0] = float(second)
        values, label = kit.read()
        windows._readings.append((clock[0], values, label))
    clock[0] = 5.5
    taken = windows.take(announce(1))
    first, second = taken.values[:, 0]
    assert second == first + 2, "each window is two readings after the one before"
    assert taken.labels.tolist() == [1, 1]
    assert np.isnan(windows.take(announce(2)).values).all()
    windows.close()


def test_the_sampler_reads_by_itself_and_stops_when_closed():
    sensor = Script(3)
    windows = LiveWindows(kit_of({"a": sensor}), 0.4, 0.02, 1)
    deadline = time.monotonic() + 60
    while not windows._readings and time.monotonic() < deadline:
        time.sleep(0.01)
    assert windows.take(announce(1)).values[0, 0] == 3
    windows.close()
    windows.close()
    assert sensor.closes == 1
    assert not windows._thread.is_alive()


def test_means_leave_out_what_is_missing_and_ties_are_no_label():
    nan = math.nan
    found = means(np.array([[1.0, nan, nan], [3.0, 4.0, nan]]))
    assert found[:2] == [2, 4]
    assert math.isnan(found[2])
    assert most_frequent([1, 1, 0]) == 1
    assert most_frequent([1, 0, NO_LABEL]) == NO_LABEL
    assert most_frequent([NO_LABEL]) == NO_LABEL


def test_all_that_is_wrong_with_a_file_is_told_at_once(tmp_path):
    path = tmp_path / "agent.yaml"
    broken = {**AGENT, "id": "No Name", "colour": "red", "sampling": {"read_every_s": -1}}
    path.write_text(yaml.safe_dump(broken))
    with pytest.raises(ConfigurationError) as caught:
        load(path, AgentConfig)
    text = str(caught.value)
    for named in ("id", "No Name", "colour", "read_every_s", "-1"):
        assert named in text


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"sensors": [{"channel": "c", "driver": "mock"}]}, "channel = 'c'"),
        ({"sensors": [{"channel": "a", "driver": "mock"}]}, "measures b"),
        ({"id": "pi-9"}, "pi-9"),
        ({"label": {"driver": "mock"}}, "no label source"),
    ],
)
def test_an_agent_that_does_not_fit_the_site_is_told_why(tmp_path, change, named):
    site, roster = write_site(tmp_path)
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump({**AGENT, **change}))
    with pytest.raises(ConfigurationError, match=named):
        load(path, AgentConfig).check_against(site, roster)


@pytest.mark.parametrize(
    ("change", "roster", "named"),
    [
        ({"aggregation": {"minimum_contributors": 3, "collusion": 2}}, {"agents": 6}, "collusion"),
        ({"aggregation": {"minimum_contributors": 5}}, {}, "exceeds"),
        ({"aggregation": {"dropouts": 2}}, {}, "dropouts 2"),
        ({}, {"channels": ("a",)}, "channel 'b' is measured by 0"),
        ({"round": {"windows": 4096}, "channels": [
            {"name": f"c{i}", "low": 0, "high": 1, "step": 1, "private": False} for i in range(1024)
        ]}, {}, "round.windows"),
        ({"channels": [{"name": "a", "low": 0, "high": 1, "step": 1e-9}]}, {}, "raise its step"),
    ],
)  # fmt: skip
def test_a_site_that_cannot_work_names_the_knobs(tmp_path, change, roster, named):
    site, found = write_site(tmp_path, {**SITE, **change}, **roster)
    with pytest.raises(ConfigurationError, match=named):
        site.terms(found)


def test_too_few_voters_are_told(tmp_path):
    fleet = create_identity(tmp_path / "f.key")
    site, roster = write_site(tmp_path)
    members = tuple(
        Member(m.id, m.public_key, m.channels, votes=m.id == "pi-0") for m in roster.agents
    )
    write_roster(tmp_path / "two.json", "hut", roster.gateway, members, fleet)
    with pytest.raises(ConfigurationError, match="1 agents have a label source"):
        site.terms(load_roster(tmp_path / "two.json", fleet.public_key))


def test_a_roster_that_another_key_signed_is_refused(tmp_path):
    write_site(tmp_path)
    stranger = create_identity(tmp_path / "stranger.key")
    with pytest.raises(ConfigurationError, match="not signed by the fleet's key"):
        load_roster(tmp_path / "roster.json", stranger.public_key)
    text = (tmp_path / "roster.json").read_text()
    fleet = load_identity(tmp_path / "fleet.key").public_key
    (tmp_path / "roster.json").write_text(text.replace('"votes": false', '"votes": true', 1))
    with pytest.raises(ConfigurationError, match="not signed"):
        load_roster(tmp_path / "roster.json", fleet)


def test_a_key_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "open.key"
    create_identity(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        create_identity(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_identity(path)
