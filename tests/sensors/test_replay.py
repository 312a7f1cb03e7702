"""Recordings: what is read back, what is refused with its line, and what it costs."""

import contextlib
import csv
import io
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.sensors import errors, open_sensor
from protoledger.sensors.synthetic.recording import load_recording


def replay(path, column="x", **options):
    return open_sensor("replay", {"path": str(path), "column": column, **options})


def drain(sensor):
    got = []
    while True:
        try:
            got.append(sensor.read().value)
        except errors.MissingValue:
            got.append(None)
        except errors.EndOfRecording:
            return got


@pytest.fixture
def file(tmp_path):
    def write(text, name="r.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_rows_come_in_order_with_gaps_and_then_the_end(file):
    path = file('time,"x, y",x\r\n10:00,1,0.5\r\n10:01,2,\r\n\r\n10:02,3,  \r\n10:03,4,-1e3\r\n')
    with replay(path) as sensor:
        assert len(sensor) == 4
        assert drain(sensor) == [0.5, None, None, -1000.0]
        with pytest.raises(errors.EndOfRecording, match="4 rows"):
            sensor.read()
    with replay(path, "x, y") as sensor:
        assert drain(sensor) == [1, 2, 3, 4]


def test_paced_by_seek_a_row_is_read_again_and_again(file):
    with replay(file("x\n1\n2\n3\n"), pace="seek") as sensor:
        assert [sensor.read().value for _ in range(3)] == [1, 1, 1]
        sensor.seek(2)
        assert [sensor.read().value for _ in range(2)] == [3, 3]
        sensor.seek(3)
        with pytest.raises(errors.EndOfRecording):
            sensor.read()
        sensor.seek(0)
        assert sensor.read().value == 1


def test_a_loop_has_no_end(file):
    with replay(file("x\n1\n2\n"), loop=True) as sensor:
        assert [sensor.read().value for _ in range(5)] == [1, 2, 1, 2, 1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("x,y\n", "no rows"),
        ("x,x\n1,2\n", "twice: x"),
        ("x,y\n1,2\n3\n4,5,6\n", "2 problems.*line 3: 1 fields.*line 4: 3 fields"),
        ("y,z\n1,2\n", "no column 'x'.*y, z"),
        ("x,y\n1,2\nnan,2\n3,4\ninf,1\n1_0,1\n", "3 problems.*line 3.*line 5.*line 6, column 'x'"),
        ("x\n1\n1e999\n", "line 3, column 'x': '1e999'"),
        ('y,x\n"a\nb",1\n"c",oops\n', "line 4, column 'x': 'oops'"),
        ('x\n"1\n', "line 2"),
        (b"x\n\xff\n", "UTF-8"),
    ],
)
def test_what_is_no_recording_is_refused_with_its_line(file, text, told):
    with pytest.raises(errors.BadRecording, match=f"(?s){told}"):
        replay(file(text))


def test_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(errors.SensorMissing, match="no recording"):
        replay(tmp_path / "none.csv")
    with pytest.raises(errors.BadRecording, match="directory"):
        replay(tmp_path)


def test_many_problems_are_counted_and_the_first_told(file):
    with pytest.raises(errors.BadRecording, match="5000 problems, the first 20") as caught:
        replay(file("x\n" + "bad\n" * 5000))
    assert len(str(caught.value).splitlines()) == 21


def test_other_columns_may_hold_anything(file):
    path = file("when,x,note\n2026-01-01,1,fine\n2026-01-02,2,nan\n")
    assert drain(replay(path)) == [1, 2]
    with pytest.raises(errors.BadRecording, match="column 'when'"):
        replay(path, "when")


def test_sensors_share_a_file_until_it_changes(file):
    path = file("x,y\n1,2\n")
    assert load_recording(path) is load_recording(path)
    file("x,y\n7,8\n9,9\n")
    assert drain(replay(path)) == [7, 9]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(*[st.none() | st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1
    )
)
def test_every_float_reads_back_bit_by_bit(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("r") / "r.csv"
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["x", "y"])
        writer.writerows(["" if v is None else repr(v) for v in row] for row in rows)
    for index, column in enumerate("xy"):
        got = drain(replay(path, column))
        assert list(map(repr, got)) == [repr(row[index]) for row in rows]


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text('x,y\n\r"1.e- \0;é', max_size=60).map(str.encode))
def test_any_bytes_are_a_recording_or_an_error_of_the_tree(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("r") / "r.csv"
    path.write_bytes(data)
    with contextlib.suppress(errors.SensorError):
        drain(replay(path))


def test_a_large_recording_is_small_in_memory(file):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(f"c{i}" for i in range(20))
    writer.writerows([(row * 7919 + i) / 977 for i in range(20)] for row in range(3000))
    path = file(out.getvalue())
    tracemalloc.start()
    recording = load_recording(path)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert recording.rows == 3000
    assert kept < 1.2 * 8 * 3000 * 20 + 50_000
    assert peak < 5_000_000
