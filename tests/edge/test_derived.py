"""Channels that are computed from other readings of the agent, and what a file may name."""

import pytest
import yaml

from protoledger.edge.config import AgentConfig
from protoledger.edge.readings.kit import Kit
from protoledger.edge.readings.slots import slot_for
from protoledger.protocol.wire.schema import Channel, Schema
from protoledger.sensors import SimulatedMachine
from tests.edge.readings.test_readings import AGENT

SCHEMA = Schema(tuple(Channel(name, "", -100.0, 1000.0, 1.0) for name in "abc"), ("x", "y"))


def test_a_computed_channel_is_read_last_with_the_good_readings_of_the_others():
    config = AgentConfig.model_validate(
        {
            **AGENT,
            "sensors": [
                {"channel": "a", "driver": "dht22", "options": {"pin": 4, "quantity": "humidity"}},
                {
                    "channel": "b",
                    "driver": "dht22",
                    "options": {"pin": 4, "quantity": "temperature"},
                },
                {"channel": "c", "driver": "derived", "options": {"expression": "a - out"}},
            ],
            "inputs": [{"name": "out", "driver": "mock", "options": {"level": 3.0}}],
            "label": {"driver": "button", "options": {"pin": 5}},
        }
    )
    assert config.problems() == []
    with SimulatedMachine() as machine:
        slots = [slot_for(sensor.channel, sensor, machine) for sensor in config.sensors]
        inputs = [slot_for(sensor.name, sensor, machine) for sensor in config.inputs]
        kit = Kit(SCHEMA, slots, slot_for("label", config.label, machine), inputs)
        kit.open()
        for read in (kit.read, kit.sample):
            values, label = read()
            assert values[2] == pytest.approx(values[0] - 3.0)
            assert label in {0, 1}
        assert kit.states()[0].name == "out"
        kit.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"inputs": [{"name": "co2", "driver": "mock"}]},
            "inputs.0.name = 'co2': the name is used",
        ),
        ({"label": {"driver": "derived", "options": {"expression": "co2"}}}, "only a channel"),
        (
            {
                "sensors": [
                    {"channel": "a", "driver": "derived", "options": {"expression": "b + c"}}
                ]
            },
            "'b' is neither a channel",
        ),
        (
            {
                "sensors": [
                    {"channel": "a", "driver": "derived", "options": {"expression": "a + 1"}}
                ]
            },
            "'a' is neither a channel",
        ),
    ],
)
def test_names_that_lead_nowhere_are_told(change, said):
    config = AgentConfig.model_validate(yaml.safe_load(yaml.safe_dump({**AGENT, **change})))
    if "inputs" in change:
        channel = config.sensors[0].channel
        config = AgentConfig.model_validate(
            {**AGENT, "inputs": [{"name": channel, "driver": "mock"}]}
        )
        said = said.replace("co2", channel)
    assert any(said in problem for problem in config.problems())
