"""CSV files as sources: what becomes a channel, and what is refused by line and column."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.emulator.errors import CsvError, DataSourceError, UnknownSourceError
from protoledger.emulator.sources.catalogue import TableSource, filled, open_source
from protoledger.emulator.sources.channels import MOST_STEPS, plan_channel
from protoledger.emulator.sources.csv_source import parse_csv
from protoledger.protocol.wire.schema import Schema

GOOD = "time,a,b,state\n09:00,1,2.5,on\n09:01,2,3.5,off\n09:02,3,4.5,on\n"


def parse(text, label=None, **more):
    return parse_csv(text if isinstance(text, bytes) else text.encode(), "f.csv", label, **more)


def test_numeric_columns_are_channels_and_others_are_named():
    table = parse(GOOD)
    assert table.channels == ("a", "b")
    assert table.left_out == ("time",)
    assert table.labels == ("off", "on")
    assert table.classes.tolist() == [1, 0, 1]
    assert table.values.tolist() == [[1, 2.5], [2, 3.5], [3, 4.5]]


def test_any_column_may_be_the_label():
    table = parse(GOOD, "a")
    assert table.labels == ("1", "2", "3")
    assert table.channels == ("b", "state")
    assert table.values[:, 1].tolist() == [1, 0, 1], "on and off are numbers"
    assert table.left_out == ("time",)


def test_spellings_that_people_and_programs_use():
    table = parse(b'\xef\xbb\xbf , "a",l\r\n0, 1 ,10\r\n\r\n1,+2e1,9\r\n2,.5,9 \r\n\r\n')
    assert table.channels == ("column_1", "a")
    assert table.values[:, 1].tolist() == [1, 20, 0.5]
    assert table.labels == ("9", "10"), "labels that are numbers are sorted as such"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the file is empty"),
        (" \n\n ", "empty"),
        ("\ufeff", "empty"),
        ("a,b,l\n", "header but no rows"),
        ("a\n1\n2\n", "only one column"),
        ("a,b,a\n1,2,x\n", "line 1: columns 1, 3 are all called 'a'"),
        ("a,l\n1,x\n2\n3,y,z\n4,y\n", "(?s)2 problems.*line 3: 1 fields.*line 4: 3 fields"),
        ("a,l\n1,x\nbad,y\n", "line 3, column 'a': 'bad' is not.*--missing 'bad'"),
        ("a,l\n1,x\n-inf,y\n", "line 3, column 'a': '-inf'"),
        ("a,l\n1,x\n1e999,y\n", "line 3, column 'a': '1e999'"),
        ("a,l\n1,x\n2,y\n1_0,y\n", "line 4, column 'a': '1_0'"),
        ("a,l\n1,x\n2,\n3,y\n", "line 3, column 'l': the label is empty"),
        ("a,l\n1,x\n2,x\n", "column 'l': every row is 'x'"),
        ("a,l\ntext,x\nmore,y\n", "no column but the label 'l' has numbers"),
        ('a,l\n1,x\n"2,y\n3,x\n', "line 3.*not read"),
        (b"a,l\n1,x\n2,\xff\n", "line 3: byte 0xff is not UTF-8"),
        ("a,l\n" + "".join(f"1,{i}\n" for i in range(300)), "300 different labels"),
        ("a,l\n" + "".join(f"1,{i / 7}\n" for i in range(200)), "look like readings"),
        ('a,l\n"1\n",x\n2,y\n"\n\n3x",y\n5,x\n', "line 5, column 'a'"),
    ],
)
def test_a_broken_file_is_refused_by_line_and_column(text, told):
    with pytest.raises(CsvError, match=told) as caught:
        parse(text)
    assert str(caught.value).startswith("f.csv")


def test_all_problems_are_told_at_once_in_order():
    with pytest.raises(CsvError) as caught:
        parse("a,b,l\n1,1,x\nbad,1,x\n1,1\n1,inf,\n2,2,x\n")
    assert caught.value.total == 5
    lines = [problem.split(",")[0].split(":")[0] for problem in caught.value.problems]
    assert lines == ["column 'l'", "line 3", "line 4", "line 5", "line 5"]


def test_problems_are_capped_with_their_number():
    with pytest.raises(CsvError, match="400 problems, the first 20") as caught:
        parse("a,l\n" + "1,x\n2,y\n" * 400 + "inf,x\n" * 400)
    assert len(caught.value.problems) == 20


def test_a_missing_label_column_suggests():
    with pytest.raises(CsvError, match="--label stat: did you mean 'state'"):
        parse(GOOD, "stat")


def test_files_and_names_that_are_not_there(tmp_path):
    with pytest.raises(DataSourceError, match="directory"):
        open_source(str(tmp_path))
    with pytest.raises(DataSourceError, match="no file"):
        open_source(str(tmp_path / "none.csv"))
    with pytest.raises(UnknownSourceError, match="did you mean 'phishing'"):
        open_source("fishing")
    with pytest.raises(DataSourceError, match="its own labels"):
        open_source("bananas", "x")
    path = tmp_path / "good.csv"
    path.write_text(GOOD)
    source = open_source(str(path), "state")
    assert (source.name, source.left_out) == ("good.csv", ("time",))


CELL = st.sampled_from(["1", "2.5", "-3e2", "nan", "", "x", "1e999", '"', "a,b", "é", "\0", " 7 "])
TEXT = st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=6).map(
    lambda rows: "a,b,l\n" + "\n".join(",".join(row) for row in rows)
)


@settings(deadline=None, max_examples=300)
@given(TEXT.map(str.encode) | st.binary(max_size=80), st.none() | st.sampled_from(["a", "l", ""]))
def test_any_bytes_are_a_source_or_a_source_error(data, label):
    try:
        table = parse_csv(data, "f.csv", label)
        source = TableSource("f", table)
    except DataSourceError:
        return
    assert not np.isinf(table.values).any()
    assert (2 * np.isnan(table.values).sum(axis=0) <= len(table.values)).all()
    assert np.isfinite(filled(table.values)).all()
    assert len(table.labels) >= 2
    assert table.values.shape == (len(table.classes), len(source.channels))
    Schema(source.channels, source.labels).check_sums(1000)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-1e90, 1e90), st.sampled_from("xyz")), min_size=2, max_size=30))
def test_what_is_written_is_what_is_read(rows):
    rows += [(0.0, "x"), (1.0, "y")]
    table = parse("v,l\n" + "".join(f"{value!r},{label}\n" for value, label in rows))
    assert table.values[:, 0].tolist() == [value for value, _ in rows]
    assert [table.labels[c] for c in table.classes] == [label for _, label in rows]


FINITE = st.floats(-1e100, 1e100).filter(lambda v: v == 0 or abs(v) > 1e-100)


@given(FINITE, FINITE)
def test_a_channel_covers_its_data_with_a_fitting_step(one, two):
    low, high = min(one, two), max(one, two)
    channel = plan_channel("c", "", low, high)
    assert channel.low < low
    assert high < channel.high
    assert 2**14 <= channel.steps <= MOST_STEPS
    assert channel.low + channel.step > channel.low
    steps = (channel.high - channel.low) / channel.step
    assert abs(steps - round(steps)) < 1e-3
    mantissa = f"{channel.step:e}".split("e")[0]
    assert float(mantissa) in {1.0, 2.0, 5.0}


@pytest.mark.parametrize("value", [0.0, 1.0, -40.0, 1e17])
def test_a_constant_channel_has_a_range(value):
    channel = plan_channel("c", "", value, value)
    assert channel.low < value < channel.high


@pytest.mark.parametrize(("low", "high"), [(-1e308, 1e308), (0.0, 5e-324)])
def test_a_scale_that_cannot_be_computed_with_is_refused(low, high):
    with pytest.raises(DataSourceError, match="another unit"):
        plan_channel("c", "", low, high)
