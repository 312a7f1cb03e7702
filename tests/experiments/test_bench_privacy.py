"""`protoledger bench privacy`: the table for a site file, small."""

import json

import numpy as np
import yaml
from typer.testing import CliRunner

from protoledger.experiments.benchmarks import privacy
from protoledger.experiments.benchmarks.privacy import app
from protoledger.protocol.wire.schema import Channel, Schema

SITE = {
    "site": "hut",
    "fleet_key": "0" * 64,
    "channels": [
        {"name": "co2", "unit": "ppm", "low": 350, "high": 1850, "step": 1},
        {"name": "sound", "unit": "dB", "low": 30, "high": 90, "step": 0.1},
    ],
    "labels": ["empty", "occupied"],
    "round": {"window_s": 3600, "every_s": 3600},
    "privacy": {"epsilon": 2.0, "budget": 20.0, "delta": 1e-6, "clip": 0.1},
    "broker": {"host": "localhost", "port": 1883, "plaintext": True},
}


def run(folder, *args):
    found = folder / "found.json"
    options = ["--rounds", "50", "--rooms", "1", "--json", str(found), *args]
    result = CliRunner().invoke(app, options, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output, json.loads(found.read_text())


def test_a_site_file_s_parameters_are_those_of_the_table(tmp_path):
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(SITE))
    output, rows = run(tmp_path, str(tmp_path / "site.yaml"), "--agents", "10", "--agents", "12")
    assert [(row["agents"], row["epsilon"], row["clip"]) for row in rows] == [
        (10, 2.0, 0.1), (12, 2.0, 0.1),
    ]  # fmt: skip
    assert rows[0]["spread"] > rows[1]["spread"]
    assert rows[0]["composed"]["1"] <= 2.0 < rows[0]["composed"]["24"]
    assert "δ = 1e-06" in output
    assert "±10 %" in output
    assert all(0 <= row[name] <= 1 for row in rows for name in ("noisy", "plain"))


def test_without_noise_sums_are_what_a_gateway_decodes():
    """Two channels that are the house's by name and by turn, in a site's own ranges."""
    channels = (Channel("co2", "ppm", 350, 1850, 1), Channel("sound", "dB", 30, 90, 0.1))
    schema = Schema(channels, ("empty", "occupied"))
    (room,) = privacy._deal(10, 50, 1, 6, schema)
    samples = list(privacy._samples(room, schema))
    wanted = np.nanmean(np.clip(room.observed, [350, 30], [1850, 90]), axis=0)
    assert np.allclose([s.values for s in samples], wanted, atol=[0.5, 0.05])
    right = [s.label == y for s, y in zip(samples, room.labels, strict=True) if s.label >= 0]
    assert np.mean(right) > 0.9
