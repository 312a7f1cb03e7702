"""Small logs as people have them: each is read, or refused with what to do about it.

The files are in `csv_cases/`: exports of ThingSpeak, InfluxDB and Home Assistant, R's
`write.table`, decimal commas, a sensor's −200 for "no reading", a power failure, a logger that was
restarted. Rows of public data sets (UCI "Occupancy Detection" and "Air Quality", CC BY 4.0) are
among them.
"""

from pathlib import Path

import pytest

from protoledger.emulator.errors import CsvError
from protoledger.emulator.sources.catalogue import open_source

CASES = Path(__file__).with_name("csv_cases")
READ = {
    "decimal_comma": (("temp", "hum"), ("a", "b"), ""),
    "pir_powerloss": (("pir", "lux"), ("busy", "empty"), "skipped as damaged"),
    "r_write_table": (
        ("Temperature", "Humidity", "Light", "CO2", "HumidityRatio"), ("0", "1"), "row names"
    ),
    "restarted_logger": (("temp", "hum"), ("a", "b"), "the header, which is repeated"),
    "minus200": (
        ("CO_GT", "PT08_S1_CO", "NMHC_GT", "C6H6_GT", "PT08_S2_NMHC", "NOx_GT", "PT08_S3_NOx",
         "NO2_GT", "PT08_S4_NO2", "PT08_S5_O3", "T", "RH", "AH"), ("no", "yes"), "--missing -200"
    ),
}  # fmt: skip
REFUSED = {
    "ha_history": "pivot_table(index='last_changed', columns='entity_id', values='state'",
    "influx": "pivot_table(index='_time', columns='_field', values='_value'",
    "iot_telemetry": "--label, perhaps device or light or motion",
    "semicolon_decimal_comma": "name the label column with --label",
    "thingspeak": "add one if there is none",
}


def of(name, label=None, **options):
    return open_source(str(CASES / f"{name}.csv"), label, **options)


def test_every_case_is_here():
    assert {path.stem for path in CASES.iterdir()} == READ.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name):
    channels, labels, notice = READ[name]
    source = of(name)
    assert tuple(channel.name for channel in source.channels) == channels
    assert source.labels == labels
    assert notice in "\n".join(source.notices)
    assert source.deal is not None


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_with_what_to_do(name):
    with pytest.raises(CsvError) as caught:
        of(name)
    assert REFUSED[name] in str(caught.value)
    assert "line " in str(caught.value)


def test_the_advice_helps():
    assert of("iot_telemetry", "motion").labels == ("false", "true")
    missing = of("minus200", missing=("-200",))
    low = {channel.name: channel.low for channel in missing.channels}
    assert low["CO_GT"] > -200
    kept = [channel.name for channel in of("minus200", ignore=("NMHC_GT",)).channels]
    assert "NMHC_GT" not in kept
