"""What a sensor that misses reads writes into the log of a year."""

import logging

from protoledger.edge.readings.gaps import LONG_S, OFTEN, WITHIN_S, GapLog

NAME = "protoledger.edge.readings.gaps"


def lines(caplog):
    found = [record.getMessage() for record in caplog.records if record.name == NAME]
    caplog.clear()
    return found


def test_a_sensor_that_often_misses_a_read_says_so_once_a_day_and_no_more(caplog):
    caplog.set_level(logging.INFO)
    log, now = GapLog("humidity"), 0.0
    for read in range(24 * 1800):  # a day, every two seconds, one read of twenty is missed
        now += 2.0
        log.missing("no pulses", now) if read % 20 == 0 else log.answers(now)
    found = lines(caplog)
    assert len(found) == 2 * OFTEN + 1
    assert "misses reads now and then" in found[-1]


def test_a_long_gap_is_told_even_of_such_a_sensor(caplog):
    caplog.set_level(logging.INFO)
    log, now = GapLog("humidity"), 0.0
    for _ in range(OFTEN):
        log.missing("no pulses", now)
        log.answers(now := now + 2.0)
    lines(caplog)
    began = now
    while now < began + 2 * LONG_S:
        log.missing("no pulses", now := now + 2.0)
    assert lines(caplog) == ["humidity: no reading: no pulses"]
    log.answers(now)
    assert lines(caplog) == ["humidity: the sensor answers again"]


def test_after_a_good_hour_each_gap_is_told_again(caplog):
    caplog.set_level(logging.INFO)
    log, now = GapLog("humidity"), 0.0
    for _ in range(OFTEN + 1):
        log.missing("no pulses", now)
        log.answers(now := now + 2.0)
    lines(caplog)
    log.missing("no pulses", now + WITHIN_S)
    assert lines(caplog) == ["humidity: no reading: no pulses"]


def test_rare_gaps_are_each_told(caplog):
    caplog.set_level(logging.INFO)
    log = GapLog("light")
    for hour in range(5):
        log.missing("dark", 2000.0 * hour)
        log.answers(2000.0 * hour + 2)
    assert len(lines(caplog)) == 10
