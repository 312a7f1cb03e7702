"""`edge calibrate`: two references in, lines for the agent's file out."""

import pytest
import yaml
from typer.testing import CliRunner

from protoledger.edge.cli import app
from protoledger.edge.config import AgentConfig
from protoledger.runtime.exits import Exit
from protoledger.sensors import open_probe


@pytest.fixture
def agent(tmp_path):
    """An agent whose sensor reads 1 V three times, then 3 V."""
    (tmp_path / "probe.csv").write_text("v\n1.0\n0.9\n1.0\n3.0\n3.0\n9.0\n")
    replay = {"driver": "replay", "options": {"path": "probe.csv", "column": "v"}}
    derived = {"driver": "derived", "options": {"expression": "moisture * 2"}}
    content = {
        "id": "pi-0",
        "site_file": "site.yaml",
        "roster_file": "roster.json",
        "identity_file": "pi-0.identity",
        "sampling": {"read_every_s": 0.01},
        "sensors": [{"channel": "moisture", **replay}, {"channel": "twice", **derived}],
    }
    path = tmp_path / "agent.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def calibrate(agent, *words):
    shown = ["calibrate", "-c", str(agent), *words]
    return CliRunner().invoke(app, shown, input="\n\n")


def test_two_references_give_lines_that_calibrate_the_sensor(agent):
    words = ["moisture", "--reference", "0", "--reference", "100", "--samples", "3"]
    result = calibrate(agent, *words, "--unit", "%")
    assert result.exit_code == 0, result.output
    lines = result.output.partition("agent.yaml:\n")[2]
    found = yaml.safe_load("\n".join(line[4:] for line in lines.strip("\n").splitlines()))
    assert found["calibration"]["unit"] == "%"
    content = yaml.safe_load(agent.read_text())
    content["sensors"][0] |= found
    sensor = AgentConfig.model_validate(content).sensors[0]
    with open_probe("mock", {"level": 2.0}, calibration=sensor.calibration) as probe:
        assert probe.read().value == pytest.approx(50.0)


def test_one_reference_gives_the_offset_alone(agent):
    result = calibrate(agent, "moisture", "--reference", "1.5", "--samples", "3")
    assert "scale: 1\n" in result.output
    assert "offset: 0.5\n" in result.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["moistur", "--reference", "0"], Exit.CONFIGURATION, "there are moisture"),
        (["twice", "--reference", "0"], Exit.CONFIGURATION, "computed from others"),
        (["moisture", *["--reference", "0"] * 3], Exit.USAGE, "give one or two"),
        (["moisture", *["--reference", "0"] * 2, "--samples", "2"], Exit.UNAVAILABLE, "same"),
        (["moisture", "--reference", "0", "--samples", "99"], Exit.UNAVAILABLE, "ends after"),
    ],
)
def test_what_cannot_be_calibrated_is_told(agent, words, code, said):
    result = calibrate(agent, *words)
    assert result.exit_code == code
    assert said in result.output
