"""What drivers declare to need, and what the agent's unit, packages and config.txt make of it."""

import importlib.util
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from protoledger.runtime.systemd.units import StateOfSystem, unit_text
from protoledger.sensors import Needs, driver_names
from protoledger.sensors.registry import needs

ROOT = Path(__file__).parents[2]
KITS = sorted(
    p
    for p in (ROOT / "edge/protoledger/edge/kits").glob("*.yaml")
    if p.stem not in {"site", "smart-home"}
)
# The names under which the kernel registers its character devices: drivers/gpio/gpiolib-cdev.c,
# drivers/spi/spidev.c, drivers/i2c/i2c-dev.c.
REGISTERED = {"char-gpiochip", "char-spi", "char-i2c"}
OPTIONS = {
    "am2302": {"pin": 4, "quantity": "temperature"},
    "dht11": {"pin": 4, "quantity": "temperature"},
    "dht22": {"pin": 4, "quantity": "temperature"},
    "distance": {"echo": 23, "trigger": 24},
    "iio": {"name": "bme280", "channel": "temp"},
    "mcp3008": {"channel": 0},
    "cpu_temperature": {},
    "ds18b20": {},
    "mock": {},
    "circuitpython": {"chip": "adafruit_sht4x.SHT4x", "quantity": "temperature"},
    "derived": {"expression": "a - b"},
    "http": {"url": "http://192.0.2.1/"},
    "hwmon": {"name": "sht4x", "channel": "temp1"},
    "mqtt": {"host": "broker", "topic": "t"},
    "replay": {"path": "x.csv", "column": "a"},
}


@pytest.fixture(scope="module")
def fleet_needs():
    path = ROOT / "ansible/plugins/filter/fleet.py"
    spec = importlib.util.spec_from_file_location("fleet_filters", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded.FilterModule().filters()["fleet_needs"]


def unit(wanted: dict) -> dict[str, list[str]]:
    text = unit_text(
        "edge", "pi", StateOfSystem({"tls.key": "/etc/x/tls.key"}),
        command="/opt/x", config="/etc/x", devices=wanted["devices"], groups=wanted["groups"],
    )  # fmt: skip
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def of_kit(path: Path) -> list[dict]:
    content = yaml.safe_load(path.read_text())
    label = [content["label"]] if "label" in content else []
    return [*content["sensors"], *content.get("inputs", []), *label]


@pytest.mark.parametrize("driver", driver_names())
def test_a_driver_names_devices_as_the_kernel_registers_them(driver):
    told = needs(driver, OPTIONS.get(driver, {"pin": 17}))
    assert isinstance(told, Needs)
    assert set(told.devices) <= REGISTERED
    assert len(told.groups) == len(told.devices)


@pytest.mark.parametrize("kit", KITS, ids=lambda path: path.stem)
def test_the_unit_of_a_kit_opens_what_its_drivers_need_and_nothing_else(kit, fleet_needs):
    wanted = fleet_needs(of_kit(kit))
    settings = unit(wanted)
    assert settings["DevicePolicy"] == ["closed"]
    assert settings["DeviceAllow"] == [f"{device} rw" for device in wanted["devices"]]
    assert settings["SupplementaryGroups"] == [" ".join(wanted["groups"])]
    assert "PrivateDevices" not in settings


def test_the_plant_kit_gets_its_bus_its_chip_and_their_overlays(fleet_needs):
    wanted = fleet_needs(of_kit(ROOT / "edge/protoledger/edge/kits/plant.yaml"))
    assert wanted == {
        "devices": ["char-gpiochip", "char-spi"],
        "groups": ["gpio", "spi"],
        "packages": ["python3-lgpio"],
        "modules": [],
        "config": ["dtparam=spi=on", "dtoverlay=w1-gpio,gpiopin=4"],
    }


def test_a_unit_without_devices_sees_none(fleet_needs):
    settings = unit(fleet_needs([{"driver": "mock"}, {"driver": "ds18b20"}]))
    assert settings["PrivateDevices"] == ["yes"]
    assert "DeviceAllow" not in settings
    assert "SupplementaryGroups" not in settings


def test_overlays_follow_from_the_options(fleet_needs):
    bme280 = {"name": "bme280", "channel": "temp", "at": "1-0077"}
    wanted = fleet_needs(
        [
            {"driver": "iio", "options": {"name": "dht11", "channel": "temp", "pins": [22]}},
            {"driver": "iio", "options": bme280},
            {"driver": "iio", "options": {**bme280, "channel": "pressure"}},
            {"driver": "ds18b20", "options": {"pin": 5}},
        ]
    )
    assert wanted["config"] == [
        "dtoverlay=dht11,gpiopin=22",
        "dtparam=i2c_arm=on",
        "dtoverlay=i2c-sensor,bme280,addr=0x77",
        "dtoverlay=w1-gpio,gpiopin=5",
    ]


class Untemplated(list):
    """As Ansible hands out a list: items are templated when Python looks at them, and only then."""

    def __init__(self, items: list) -> None:
        super().__init__([object() for _ in items])
        self._items = items

    def __iter__(self):
        return iter(self._items)


def test_options_may_have_lists(fleet_needs):
    options = {"name": "dht11", "channel": "temp", "pins": Untemplated([22])}
    assert list(options["pins"]) == [22]
    wanted = fleet_needs([{"driver": "iio", "options": options}])
    assert wanted["config"] == ["dtoverlay=dht11,gpiopin=22"]


def test_the_inventory_may_add_needs_and_misspells_none(fleet_needs):
    extra = {"devices": ["char-i2c"], "packages": ["python3-smbus2"]}
    wanted = fleet_needs([{"driver": "mock"}], extra)
    assert wanted["devices"] == ["char-i2c"]
    assert wanted["packages"] == ["python3-smbus2"]
    with pytest.raises(AnsibleFilterError, match=r"fleet_extra_needs\.device: unknown key"):
        fleet_needs([], {"device": ["char-i2c"]})
    with pytest.raises(AnsibleFilterError, match="must be installed on the controller too"):
        fleet_needs([{"driver": "lidar"}])
    with pytest.raises(AnsibleFilterError, match=r"options\.channel"):
        fleet_needs([{"driver": "mcp3008", "options": {}}])
