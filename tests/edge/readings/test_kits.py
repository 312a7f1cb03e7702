"""The kits: file, wiring table and drawing say the same, and each runs on simulated pins."""

import contextlib
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from gpiozero.pins.mock import MockFactory
from typer.testing import CliRunner

from protoledger.edge.cli import app as cli
from protoledger.edge.config import AgentConfig
from protoledger.protocol.wire.identity import Member
from protoledger.runtime.identity_files import create_identity, write_roster
from protoledger.runtime.site import SiteConfig, load
from protoledger.sensors import Quality, SimulatedMachine, WantedSensor, find_problems, open_probe
from protoledger.sensors.registry import check_options

ROOT = Path(__file__).parents[3]
KITS = ["climate", "room-occupancy", "plant"]
PAGE = (ROOT / "docs/hardware.md").read_text(encoding="utf-8")
SITE = load(ROOT / "edge/protoledger/edge/kits/site.yaml", SiteConfig)


@pytest.fixture(params=KITS)
def kit(request):
    return request.param


def agent(kit):
    return load(ROOT / f"edge/protoledger/edge/kits/{kit}.yaml", AgentConfig)


def wanted(kit):
    """Return the kit's sensors by the key that they have in its file."""
    config = agent(kit)
    found = [
        WantedSensor(f"sensors.{i}", sensor.driver, sensor.options, sensor.filters)
        for i, sensor in enumerate(config.sensors)
    ]
    if config.label is not None:
        label = config.label
        found.append(WantedSensor("label", label.driver, label.options, label.filters))
    return found


def section(kit):
    heading = kit.replace("-", " ").capitalize()
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def wiring(kit):
    """Return the rows of the kit's wiring table: from, to, signal, wire."""
    table = section(kit).partition("| from | to pin | signal | wire |\n|---|---|---|---|\n")[2]
    lines = table.partition("\n\n")[0].splitlines()
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def drawing(kit):
    return ET.fromstring((ROOT / f"docs/images/wiring-{kit}.svg").read_text(encoding="utf-8"))


def test_every_kit_file_is_tried_here():
    files = {path.stem for path in (ROOT / "edge/protoledger/edge/kits").iterdir()}
    assert files == {*KITS, "smart-home", "site"}


def test_the_kit_without_wires_fits_the_site_and_reads_simulated_messages():
    kit = "smart-home"
    test_a_kit_has_no_problems_and_fits_its_site(kit)
    test_a_kit_on_simulated_pins_reads_what_its_site_can_take(kit)
    label = agent(kit).label
    with SimulatedMachine() as pi, open_probe(label.driver, label.options, {}, pi) as probe:
        assert probe.read().value in range(len(SITE.labels))


def test_a_kit_has_no_problems_and_fits_its_site(kit):
    assert find_problems(wanted(kit)) == []
    channels = {channel.name for channel in SITE.channels}
    assert {sensor.channel for sensor in agent(kit).sensors} <= channels


def test_every_channel_of_the_site_is_in_a_kit():
    filled = {sensor.channel for kit in KITS for sensor in agent(kit).sensors}
    assert filled == {channel.name for channel in SITE.channels}


def test_a_kit_on_simulated_pins_reads_what_its_site_can_take(kit):
    channels = {channel.name: channel for channel in SITE.channels}
    with SimulatedMachine() as pi:
        for sensor in agent(kit).sensors:
            channel = channels[sensor.channel]
            with open_probe(sensor.driver, sensor.options, sensor.filters, pi) as probe:
                reading = probe.read()
                assert probe.unit == channel.unit
            assert reading.quality is Quality.GOOD, reading
            assert channel.low <= reading.value <= channel.high


def test_two_simulated_pis_have_pins_of_their_own(kit):
    config = agent(kit)
    sensors = [*config.sensors, *([config.label] if config.label else [])]
    with SimulatedMachine() as pi, SimulatedMachine() as other, contextlib.ExitStack() as stack:
        for machine in (pi, other):
            for sensor in sensors:
                opened = open_probe(sensor.driver, sensor.options, {}, machine)
                assert stack.enter_context(opened).read().quality is Quality.GOOD
        stack.close()
        pi.close()  # does not take the other's pins along
        sensor = config.sensors[0]
        with open_probe(sensor.driver, sensor.options, {}, other) as probe:
            assert probe.read().quality is Quality.GOOD


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Make a site of three agents of each kit, as the page says: copy the files, give them ids."""
    folder = tmp_path_factory.mktemp("house")
    fleet = create_identity(folder / "fleet.key")
    members = []
    for kit in KITS:
        config = agent(kit)
        for number in range(1, 4):
            name = config.id.replace("-1", f"-{number}")
            home = folder / name
            home.mkdir()
            text = (ROOT / f"edge/protoledger/edge/kits/{kit}.yaml").read_text(encoding="utf-8")
            (home / "agent.yaml").write_text(text.replace(f"id: {config.id}", f"id: {name}"))
            key = create_identity(home / "identity.pem").public_key.hex()
            channels = tuple(sensor.channel for sensor in config.sensors)
            members.append(Member(name, key, channels, config.label is not None))
    gateway = Member("gateway", create_identity(folder / "gateway.key").public_key.hex())
    for member in members:
        home = folder / member.id
        write_roster(home / "roster.json", SITE.site, gateway, tuple(members), fleet)
        text = (ROOT / "edge/protoledger/edge/kits/site.yaml").read_text(encoding="utf-8")
        (home / "site.yaml").write_text(text.replace("0" * 64, fleet.public_key.hex()))
        for name in ("ca.pem", "agent.pem", "agent.key"):
            (home / name).touch(mode=0o600)
    return folder


@pytest.mark.parametrize("name", ["climate-3", "room-2", "plant-1"])
def test_a_kit_beside_a_sites_files_passes_its_check(house, name):
    config = ["-c", str(house / name / "agent.yaml")]
    done = CliRunner().invoke(cli, ["check", *config, "--mock", "--no-broker"])
    assert done.exit_code == 0, done.output
    assert "pins" in done.output


def test_a_kits_label_source_votes_for_labels_of_the_site(kit):
    label = agent(kit).label
    if label is None:
        assert kit == "plant"
        return
    votes = {label.options["idle_value"], label.options["active_value"]}
    assert votes == set(range(len(SITE.labels)))
    with (
        SimulatedMachine() as pi,
        open_probe(label.driver, label.options, label.filters, pi) as probe,
    ):
        assert probe.read().value in votes


def test_the_wiring_table_has_the_pins_of_the_file(kit):
    in_file = {
        resource.name
        for sensor in wanted(kit)
        for found, options in [check_options(sensor.driver, sensor.options)]
        for resource in found.resources(options)
        if resource.name.startswith("GPIO")
    }
    in_table = {signal for _, _, signal, _ in wiring(kit) if signal.startswith("GPIO")}
    assert in_table == in_file


def test_the_wiring_table_knows_the_header(kit):
    header = MockFactory(revision="c03112").board_info.headers["J8"].pins
    used = [int(to) for _, to, _, _ in wiring(kit) if to.isdecimal()]
    assert len(used) == len(set(used)), "a pin of the header takes one wire"
    for _, to, signal, _ in wiring(kit):
        if to.isdecimal():
            assert header[int(to)].name == signal


def test_the_drawing_has_the_wires_of_the_table(kit):
    drawn = {
        (
            wire.get("data-from"),
            wire.get("data-to").removeprefix("pin "),
            wire.get("data-colour"),
        )
        for wire in drawing(kit).iter()
        if wire.get("class") == "wire"
    }
    assert drawn == {(start, to, wire) for start, to, _, wire in wiring(kit)}


def test_the_drawing_labels_the_pins_that_it_uses(kit):
    texts = {text.text for text in drawing(kit).iter("{http://www.w3.org/2000/svg}text")}
    for _, to, signal, _ in wiring(kit):
        if to.isdecimal():
            assert f"{to} · {signal}" in texts


def test_the_drawing_stands_alone(kit):
    text = (ROOT / f"docs/images/wiring-{kit}.svg").read_text(encoding="utf-8")
    assert not re.search(r"<script|<image|href=|url\(", text)
    assert f"wiring-{kit}.svg" in section(kit)
    assert drawing(kit).find("{http://www.w3.org/2000/svg}desc").text


def test_the_page_names_the_files_and_its_parts_are_counted(kit):
    assert f"edge/protoledger/edge/kits/{kit}.yaml" in section(kit)
    assert "| part | number | note |" in section(kit)


def test_the_kernel_can_read_the_climate_kit_instead():
    block = re.search(r"^```yaml\n(.*?)^```", section("climate"), re.MULTILINE | re.DOTALL)
    found = [
        WantedSensor(f"sensors.{i}", s["driver"], s["options"], s["filters"])
        for i, s in enumerate(yaml.safe_load(block[1]))
    ]
    label = wanted("climate")[-1]
    assert find_problems([*found, label]) == []
    assert len(found) == len(agent("climate").sensors)


def test_what_the_page_says_that_is_said_is_said():
    table = PAGE.partition("| what it says | what it mostly is |\n|---|---|\n")[2].partition("\n\n")
    said = re.findall(r"`([^`]+)`", " ".join(row.split("|")[1] for row in table[0].splitlines()))
    source = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "sensors").rglob("*.py"))
    others = {"A full buffer was not returned", "Checksum did not validate", "GPIO busy"}
    for text in set(said) - others:
        fixed = text.removeprefix("DHT22 ").removesuffix(" …")
        assert fixed in source, f"{text!r} is said nowhere"
