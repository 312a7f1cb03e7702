"""CSV files as loggers and programs write them: read whole, or refused with a remedy."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.emulator.errors import CsvError, DataSourceError
from protoledger.emulator.sources.catalogue import TableSource, deal, open_source
from protoledger.emulator.sources.csv_source import parse_csv
from protoledger.emulator.sources.recordings import write_recordings

ROWS = 24


def parse(text, label=None, **more):
    return parse_csv(text if isinstance(text, bytes) else text.encode(), "f.csv", label, **more)


def rows(line, header, count=ROWS, end="\n"):
    return end.join([header, *(line(i) for i in range(count))]) + end


def state(i):
    return ("empty", "busy")[i % 3 == 0]


def plain(i):
    return f"{20 + i % 5}.5,{40 + i % 7},{state(i)}"


PLAIN = rows(plain, "temp,hum,state")
SEMICOLONS = rows(
    lambda i: f"{20 + i % 5},5;{40 + i % 7};{state(i)};;", "temp;hum;state;;", end="\r\n"
)
QUOTED_COMMAS = rows(lambda i: f'"{20 + i % 5},5","{40 + i % 7}",{state(i)}', "temp,hum,state")
R_TABLE = rows(lambda i: f'"{i + 1}",{plain(i)}', '"temp","hum","state"')
R_BLANKS = rows(
    lambda i: f'"{i + 1}" {20 + i % 5}.5 {40 + i % 7} "{state(i)}"', '"temp" "hum" "state"'
)
TABS = PLAIN.replace(",", "\t")
RESTARTED = PLAIN + PLAIN.splitlines()[0] + "\n"
COMMENTED = "# logger v2, GPIO17\n" + PLAIN.replace("busy\n", "busy\n# restart\n", 1)
COMMENT_HEADER = "# logger v2\n#" + PLAIN
TRAILING = PLAIN.replace("\n", ",\n")
TRAILING_ROWS_ONLY = "temp,hum,state\n" + "".join(plain(i) + ",\n" for i in range(ROWS))
TRAILING_HEADER_ONLY = PLAIN.replace("state\n", "state,\n", 1)
POWER_LOSS = PLAIN + "21.5,4" + "\0" * 300
CUT_OFF = PLAIN + "21.5,4"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN, SEMICOLONS, QUOTED_COMMAS, R_TABLE, R_BLANKS, TABS, RESTARTED, COMMENTED,
        COMMENT_HEADER, TRAILING, TRAILING_ROWS_ONLY, TRAILING_HEADER_ONLY, POWER_LOSS, CUT_OFF,
        PLAIN.encode("utf-16"), "\ufeff" + PLAIN, PLAIN.replace("\n", "\r\n"),
    ],
)  # fmt: skip
def test_all_ways_of_writing_the_same_readings_give_the_same_table(text):
    table = parse(text)
    assert table.channels == ("temp", "hum")
    assert table.labels == ("busy", "empty")
    assert table.values.tolist() == [[20.5 + i % 5, 40 + i % 7] for i in range(ROWS)]
    assert table.classes.tolist() == [int(i % 3 != 0) for i in range(ROWS)]


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        (R_TABLE, "row names"),
        (RESTARTED, "header, which is repeated in 1"),
        (POWER_LOSS, "power failure.*26"),
        (CUT_OFF, "last line, 26, which was cut off"),
        (COMMENT_HEADER, "comment in line 2"),
        (PLAIN, "label column is 'state', the last"),
        (rows(lambda i: f"{i},{plain(i)}", "entry_id,temp,hum,state"), "entry_id.*a row number"),
        (rows(lambda i: f"{i},{plain(i)}", ",temp,hum,state"), "column_1.*a row number"),
        (rows(lambda i: f"{1594512094 + 4 * i},{plain(i)}", "ts,temp,hum,state"), "ts.*time stamp"),
        (rows(lambda i: f"{1594512094000 + i},{plain(i)}", "t,temp,hum,state"), "t.*time stamp"),
        (rows(lambda i: f"{8.5 + i * i / 7},{plain(i)}", "kwh,a,b,state"), "--ignore kwh"),
        (rows(lambda i: f",{plain(i)}", "lat,temp,hum,state"), "lat.*100 % of its cells"),
        (PLAIN.replace("22.5", "-200"), "--missing -200"),
        (PLAIN.replace("20.5", "-127.0"), "--missing -127"),
    ],
)
def test_what_is_skipped_or_doubtful_is_said(text, notice):
    assert any(re.search(notice, said) for said in parse(text).notices), parse(text).notices


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        (PLAIN.partition("\n")[2], "line 1 looks like data.*such as x1,x2,label"),
        (rows(lambda i: f"{i % 4},{i % 9},{i % 2}", "3,1,0"), "looks like data"),
        (
            rows(lambda i: f"sensor.{i % 3},{20 + i % 3},10:{i}", "entity_id,state,last_changed"),
            "pivot_table.*last_changed.*entity_id.*state",
        ),
        (
            "#datatype,string,dateTime\n#default,_result,,\n"
            + rows(lambda i: f",10:{i},{i % 5},temperature", ",_time,_value,_field"),
            "line 3.*pivot_table.*_time.*_field.*_value",
        ),
        (
            rows(lambda i: f"on,{i % 2},{20 + i % 3}.5", "light,motion,temp"),
            "--label, perhaps motion",
        ),
        (rows(lambda i: f"{20 + i % 5},5,{i % 7},{state(i)}", "t,h,state"), "all 24 rows have 4"),
        (rows(lambda i: f'"{i + 1},250",{state(i)}', "co2,state"), "thousands: write decimal"),
        (PLAIN.encode("latin-1") + "21.5,40,für\n".encode("latin-1"), "0xfc.*iconv"),
        (PLAIN.replace("hum", "h\0m"), "looks like data"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(text, remedy):
    with pytest.raises(CsvError, match=remedy) as caught:
        parse(text)
    assert caught.value.total == 1, "one cause is one error"


def test_missing_readings_are_gaps_and_not_values():
    gaps = {0: "", 3: "NA", 5: "unavailable", 7: "-200", 9: "-200.0", 11: "err"}
    text = rows(lambda i: f"{gaps.get(i, 20 + i % 5)},{i % 7},{state(i)}", "t,h,state")
    table = parse(text, missing=("-200", "ERR"))
    assert np.flatnonzero(np.isnan(table.values[:, 0])).tolist() == sorted(gaps)
    assert not np.isnan(table.values[:, 1]).any()
    with pytest.raises(CsvError, match=r"line 13, column 't': 'err'.*--missing 'err'"):
        parse(text, missing=("-200",))


def test_booleans_are_channels_of_one_and_zero():
    text = rows(lambda i: f"{('TRUE', 'false', '')[i % 3]},{i % 7},{state(i)}", "open,h,state")
    values = parse(text).values[:, 0]
    assert values[:2].tolist() == [1.0, 0.0]
    assert np.isnan(values[2])


def test_columns_are_ignored_by_name_and_names_are_checked():
    table = parse(PLAIN, ignore=("temp",))
    assert (table.channels, table.left_out) == (("hum",), ("temp",))
    assert parse(PLAIN, ignore=("state",), label="hum").channels == ("temp",)
    with pytest.raises(CsvError, match="--ignore tem: did you mean 'temp'"):
        parse(PLAIN, ignore=("tem",))
    with pytest.raises(DataSourceError, match="--missing, --ignore: for CSV files"):
        open_source("bananas", missing=("-1",))


def test_gaps_reach_the_agents_and_not_the_held_out_rows(tmp_path):
    text = rows(lambda i: f"{'' if i % 4 == 0 else i % 5},{i % 7},{state(i)}", "t,h,state", 60)
    dealt = deal(TableSource("f", parse(text)), sites=2, agents=3, rounds=None)
    assert np.isfinite(dealt.holdout_values).all()
    assert any(np.isnan(site.observed[:, :, 0]).all(axis=0).any() for site in dealt.sites)
    assert all(np.isfinite(site.observed[:, :, 1]).all() for site in dealt.sites)
    written = write_recordings(dealt, tmp_path)[0][0].read_text()
    assert "nan" not in written
    assert "\n," in written


CELL = st.sampled_from(
    ["1", "2,5", "-3.5", "nan", "", "x", "on", "1.234,5", "#", '"', "-200", "é", "\0", "1594512094"]
)
TEXT = st.builds(
    lambda sign, lines, end: "\n".join(sign.join(line) for line in lines) + end,
    st.sampled_from(",;\t| "),
    st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=8),
    st.sampled_from(["", "\n", "\r\n"]),
)


@settings(deadline=None, max_examples=300)
@given(TEXT.map(str.encode), st.sampled_from([(), ("-200",), ("x",)]))
def test_any_table_is_read_whole_or_refused(data, missing):
    try:
        table = parse_csv(data, "f.csv", missing=missing)
        source = TableSource("f", table)
    except DataSourceError:
        return
    assert not np.isinf(table.values).any()
    assert table.values.shape == (len(table.classes), len(source.channels))
    used = len(table.classes) + sum("skipped" in notice for notice in table.notices)
    assert used <= data.count(b"\n") + 1
