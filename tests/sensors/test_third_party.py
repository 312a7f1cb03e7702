"""What docs/drivers.md says: its driver, its configuration, its tables."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from protoledger.sensors import WantedSensor, find_problems
from protoledger.sensors.registry import _BUILT_IN, find_driver

PAGE = (Path(__file__).parents[2] / "docs/drivers.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


DRIVER = next(block for block in blocks("python") if "class WifiSignal" in block)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build and install the page's driver as a package, into a folder of its own."""
    source, target = (tmp_path_factory.mktemp(name) for name in ("source", "target"))
    (source / "wifi_signal.py").write_text(DRIVER)
    (source / "pyproject.toml").write_text(blocks("toml")[0])
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps",
         "--no-build-isolation", "--target", target, source],
        check=True,
    )  # fmt: skip
    return target


def run(installed, program):
    done = subprocess.run(
        [sys.executable, "-c", "from protoledger.sensors import *\n" + program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    return done.stdout.splitlines()


def test_the_driver_of_the_page_is_short():
    assert len(DRIVER.splitlines()) <= 31
    ast.parse(DRIVER)


def test_the_driver_of_the_page_works_when_installed(installed, tmp_path):
    table = tmp_path / "wireless"
    table.write_text(
        "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n"
        " face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n"
        " wlan0: 0000   60.  -50.  -256        0      0      0      0      0        0\n"
    )
    out = run(
        installed,
        f"options = {{'table': {str(table)!r}}}\n"
        "print('wifi_signal' in driver_names())\n"
        "print(find_problems([WantedSensor('x', 'wifi_signal', options)]))\n"
        "with open_probe('wifi_signal', options) as probe:\n"
        "    print(probe.read().value, probe.unit)\n"
        f"    open({str(table)!r}, 'w').close()\n"
        "    print(probe.read().reason)\n"
        "print(find_problems([WantedSensor('x', 'wifi_signal', {'interfase': 'a'})])[0])\n"
        "print(find_problems([WantedSensor('x', 'wifi_signl')])[0])\n",
    )
    assert out[:4] == ["True", "[]", "-50.0 dBm", "wlan0 is not connected: it may come back"]
    assert "did you mean 'interface'" in out[4]
    assert "did you mean 'wifi_signal'" in out[5]


def test_the_example_configuration_has_no_problems():
    content = yaml.safe_load(blocks("yaml")[0])
    wanted = [
        WantedSensor(f"sensors.{i}", s["driver"], s["options"], s.get("filters", {}))
        for i, s in enumerate(content["sensors"])
    ]
    label = content["label"]
    assert find_problems([*wanted, WantedSensor("label", label["driver"], label["options"])]) == []


def test_the_example_on_a_simulated_machine_runs(capsys):
    program = next(block for block in blocks("python") if "SimulatedMachine" in block)
    exec(program, {})  # the page's own text
    assert "Quality.GOOD" in capsys.readouterr().out


def test_the_table_names_every_driver_and_all_its_options():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith("| `") and line.count("|") == 5
    ]
    told = {}
    for names, _, _, options in rows:
        for name in re.findall(r"`(\w+)`", names):
            told[name] = set(re.findall(r"`(\w+)`", options))
    assert told == {name: set(find_driver(name).Options.model_fields) for name in _BUILT_IN}
