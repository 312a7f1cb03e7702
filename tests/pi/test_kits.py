"""Every kit and every driver on the emulated Pi, under the unit that the playbooks write for it.

What is wired to the pins is simulated as far as the kernel can: buttons, a motion sensor, a light
sensor, an SPI bus and a fan read for good. Nothing answers on the I2C bus and as a DHT, and 1-wire
has no bus at all; there the driver's own message of that is the proof that the unit let it ask.
"""

import json
import re

import pytest

from protoledger.sensors import driver_names
from tests.pi.pi_kits import KITS

pytestmark = pytest.mark.pi

ANSWERS = "$"
DHT = "does not answer|full buffer|has not answered"
NO_1_WIRE = "no thermometer in /sys/bus/w1/devices"
PINS_HELD = "MCP3008 .*GPIO busy"  # without spidev gpiozero takes the pins, which the kernel holds
WANTED = {
    "climate": {"temperature": DHT, "humidity": DHT, "label": ANSWERS},
    "plant": {"soil_moisture": ANSWERS, "soil_temperature": NO_1_WIRE},
    "room-occupancy": {
        "temperature": DHT, "humidity": DHT, "light": ANSWERS, "label": ANSWERS,
    },
    "smart-home": {"temperature": ANSWERS, "humidity": ANSWERS, "label": ANSWERS},
    "drivers": {
        "am2302": DHT, "dht11": DHT,
        "circuitpython": "Silent on I2C does not answer",
        "cpu_temperature": "thermal_zone0",
        "derived": ANSWERS, "digital": ANSWERS, "http": ANSWERS, "hwmon": ANSWERS,
        "mock": ANSWERS, "replay": ANSWERS,
        "distance": "no echo",
        "iio": "in_temp_input",
    },
}  # fmt: skip
NODES = {"char-gpiochip": "/dev/gpiochip0", "char-spi": "/dev/spidev0.0", "char-i2c": "/dev/i2c-1"}
GROUPS = {"gpio": "990", "i2c": "991", "spi": "992"}  # as `pi_system` has them
UNAVAILABLE = 69


def matches(wanted, problems):
    return wanted.keys() == problems.keys() and all(
        re.search(rf"^{pattern}" if pattern == ANSWERS else pattern, problems[name])
        for name, pattern in wanted.items()
    )


def run(guest, name, wanted, instead=()):
    """Run a kit's service until its sensors' problems are as wanted; returns what was told."""
    step = f"kit {name}" + "".join(f", {line} -> {other.strip()}" for line, other in instead)

    def seen():
        statuses = [event for event in guest.told if event.get("id") == name]
        return statuses and statuses[-1]["connected"] and matches(wanted, statuses[-1]["sensors"])

    guest.told.clear()
    guest.order(step, kit=name, instead=instead)
    guest.wait(f"the sensors of {name} to be as wanted", lambda: step in guest.ended or seen())
    guest.order("stop")
    told = guest.wait_for_end(step)
    assert seen(), f"it ended before: {told}"
    print(json.dumps(guest.told[-1]["sensors"], ensure_ascii=False))
    return told


def test_each_driver_is_in_a_kit(deployment):
    kits = deployment.kits.kits
    assert KITS.keys() < kits.keys() == WANTED.keys()
    used = {
        sensor["driver"]
        for kit in kits.values()
        for sensor in (*kit["sensors"], *([kit["label"]] if "label" in kit else []))
    }
    assert used == set(driver_names())


@pytest.mark.parametrize("name", WANTED)
def test_a_kit_reads_what_is_there_under_its_unit(deployment, name):
    wanted, needs = WANTED[name], deployment.kits.needs(name)
    told = run(deployment.guest, name, wanted)
    assert told["code"] == 0, "systemd says that it is not ready"
    assert (told["ActiveState"], told["NRestarts"]) == ("active", "0")
    assert told["stopped"] == "success"
    assert told["checked"] == (0 if set(wanted.values()) == {ANSWERS} else UNAVAILABLE)

    opened = {node for node, result in told["nodes"].items() if result == "open"}
    assert opened == {NODES[device] for device in needs["devices"]}
    assert len(told["nodes"]) > len(NODES)
    refusals = set(told["nodes"].values()) - {"open"}
    assert refusals == ({"EPERM"} if needs["devices"] else {"ENOENT"})

    user = told["user"]
    assert user["Uid"][0] != "0"
    assert set(user["Groups"]) - {user["Uid"][0]} == {GROUPS[group] for group in needs["groups"]}
    assert (user["NoNewPrivs"], user["Seccomp"]) == (["1"], ["2"])
    assert int(user["CapEff"][0], 16) == 0


def test_a_unit_with_the_class_misspelt_is_found_out(guest):
    # units had this once: the kernel knows spidev's nodes by another name
    changed = [("DeviceAllow=char-spi rw", "DeviceAllow=char-spidev rw\n")]
    told = run(guest, "plant", {**WANTED["plant"], "soil_moisture": PINS_HELD}, changed)
    assert told["nodes"][NODES["char-spi"]] == "EPERM"
    assert told["checked"] == UNAVAILABLE
