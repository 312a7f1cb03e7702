"""A site that measures what no kit of ours does: kits, channels and labels of one's own."""

import pytest
import yaml

from protoledger.emulator.sites.folder import SiteFolder
from protoledger.emulator.sites.kits import open_kit
from protoledger.runtime.exits import Exit
from tests.support.site_command import init, site_command

site = pytest.fixture(site_command)


def test_one_s_own_kit(site, tmp_path):
    kit = yaml.safe_load(open_kit("climate").text)
    kit["credentials"] = {"certificate_file": "/x/y.crt", "key_file": "/x/y.key"}
    (tmp_path / "own.yaml").write_text(yaml.dump(kit))
    code, text = site("init", "h", "--broker", "b", "--kit", "own.yaml")
    assert code == Exit.OK, text
    made = yaml.safe_load((tmp_path / "h/devices/h-1/agent.yaml").read_text())
    assert made["credentials"] == {"certificate_file": "tls.crt", "key_file": "tls.key"}
    kit["sensors"][0]["channel"] = "pressure"
    (tmp_path / "own.yaml").write_text(yaml.dump(kit))
    code, text = site("init", "g", "--broker", "b", "--kit", "own.yaml")
    assert code == Exit.CONFIGURATION
    assert "no range is known for 'pressure'" in text
    own = ("--channel", "pressure:hPa:900:1100:0.1", "--label", "off", "--label", "on")
    code, text = site("init", "g", "--broker", "b", "--kit", "own.yaml", *own)
    assert code == Exit.OK, text
    made = SiteFolder.read(tmp_path / "g").site
    assert [channel.name for channel in made.channels] == ["humidity", "pressure"]
    assert (made.channels[1].low, made.channels[1].unit) == (900, "hPa")
    assert made.labels == ("off", "on")
    code, text = site("init", "f", "--broker", "b", "--kit", "own.yaml", "--schema", "g/site.yaml")
    assert code == Exit.OK, text  # the two may share contracts
    assert SiteFolder.read(tmp_path / "f").site.schema_hash == made.schema_hash


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--channel", "temperature:°C:0:40"], "has 4 parts"),
        (["--channel", "temperature:°C:cold:40:1"], "low = 'cold' is no number"),
        (["--channel", "temperature:°C:nan:40:1"], "finite"),
        (["--channel", "temperature:°C:40:0:1"], "must exceed"),
        (["--channel", "temperature:°C:0:40:0"], "greater than 0"),
        (["--channel", "co2:ppm:0:9:1"], "'co2' is measured by no kit"),
        (["--channel", "temperature::0:1:1", "--channel", "temperature::0:2:1"], "more than once"),
        (["--label", "only"], "no label has this number"),
        (["--label", "a", "--label", "a"], "more than once: a"),
        (["--label", "a", "--label", ""], "labels.1"),
        (["--schema", "absent.yaml"], "cannot be read"),
        (["--schema", "."], "cannot be read"),
        (["--schema", "few.yaml"], "no range is known for 'humidity'"),
        (["--schema", "odd.yaml"], "channels.0.step"),
        (["--window", "1"], "read more often"),
    ],
)
def test_channels_and_labels_that_cannot_be(site, tmp_path, words, says):
    few = {"channels": [{"name": "temperature", "low": 0, "high": 40, "step": 1}]}
    (tmp_path / "few.yaml").write_text(yaml.dump(few))
    (tmp_path / "odd.yaml").write_text(yaml.dump({"channels": [{"name": "t", "low": 0}]}))
    code, text = init(site, "house", *words)
    assert code == Exit.CONFIGURATION, text
    assert says in text
    assert not any(tmp_path.glob("*house*"))
