"""Runs are written down, compared and replayed."""

import json
import os
from dataclasses import replace

import msgspec
import pytest
from typer.testing import CliRunner

from protoledger.experiments import cli
from protoledger.experiments.experiment import carry_out, markdown, write
from protoledger.experiments.running import claim
from protoledger.experiments.running.records import RecordError, compare, read_record
from protoledger.gateway.learner import load_kernels

runner = CliRunner()


@pytest.fixture(scope="module", autouse=True)
def kernels(request):
    """The tests' compiled kernels, not the user's."""
    assert load_kernels(request.config.cache.mkdir("kernels"))


@pytest.fixture(scope="module")
def tiny():
    """An experiment of two jobs a seed."""
    whole = cli.load("accuracy")
    return replace(whole, jobs=lambda seed, quick: list(whole.jobs(seed, quick))[:2])


@pytest.fixture(scope="module")
def written(tiny, tmp_path_factory):
    """A run's record, and its table."""
    table = carry_out(tiny, [1, 2], quick=True)
    return write(tiny, table, tmp_path_factory.mktemp("run"))[-1], table


def test_a_record_says_what_was_run_and_what_it_gave(written, tiny):
    path, table = written
    record = read_record(path)
    assert (record.experiment, record.seeds, record.quick) == ("accuracy", [1, 2], True)
    assert record.rows == table.rows
    assert record.code.versions["numpy"]
    assert record.machine.cores >= 1
    assert os.uname().nodename not in path.read_text()
    assert [job.job for job in record.jobs] == [
        str(job) for seed in (1, 2) for job in tiny.jobs(seed, True)
    ]


def test_two_seeds_show_no_interval(written, tiny):
    assert "±" not in markdown(tiny, written[1])
    assert "| 0." in markdown(tiny, written[1])


def test_every_site_is_told_and_the_worst_is_not_the_mean(written):
    for row in written[1].rows:
        assert 0 <= row["worst_site"] <= row["own"] <= 1
        assert 0 < row["accuracy"] <= 1


def compared(*files):
    return runner.invoke(cli.app, ["compare", *map(str, files)])


def test_compare_says_what_changed(written, tmp_path):
    path, _ = written
    record = read_record(path)
    assert compared(path, path).output == "nothing differs\n"
    content = json.loads(path.read_text())
    content["seeds"] = [1]
    content["code"]["versions"]["numpy"] = "1.0"
    content["jobs"][0]["rows"][0]["accuracy"] += 1e-9
    content["jobs"].pop()
    (tmp_path / "other.json").write_text(json.dumps(content))
    told = compared(path, tmp_path / "other.json").output
    assert "seeds: [1, 2] → [1]" in told
    assert f"version of numpy: {record.code.versions['numpy']} → 1.0" in told
    assert "accuracy at data phishing" in told
    assert "run → not run" in told
    assert len(compare(record, read_record(tmp_path / "other.json"))) == 4


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 9}', "\xff"])
def test_what_is_no_record_is_refused(written, tmp_path, text):
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    assert compared(written[0], bad).exit_code == 65
    assert runner.invoke(claim.app, [str(bad)]).exit_code == 65
    assert runner.invoke(claim.app, [str(tmp_path / "none.json")]).exit_code == 65
    assert compared(bad).exit_code == 2


def test_a_claim_is_replayed_bit_for_bit(written, tiny, tmp_path, monkeypatch):
    path, _ = written
    monkeypatch.setattr(claim, "load", lambda _: tiny)
    told = runner.invoke(claim.app, [str(path), "--seeds", "1"])
    assert "2 of 4 jobs were run again; every number is the same" in told.output
    assert told.exit_code == 0
    content = json.loads(path.read_text())
    content["jobs"][1]["rows"][0]["commits"] += 1
    (tmp_path / "false.json").write_text(json.dumps(content))
    told = runner.invoke(claim.app, [str(tmp_path / "false.json"), "--seeds", "1"])
    assert told.exit_code == 1
    assert "1 numbers differ" in told.output


def test_a_claim_of_times_or_of_other_jobs_is_refused(written, tiny, monkeypatch):
    record = read_record(written[0])
    monkeypatch.setattr(claim, "load", lambda _: replace(tiny, alone=True))
    with pytest.raises(RecordError, match="measures times"):
        claim.replay(record, [1])
    monkeypatch.setattr(claim, "load", lambda _: tiny)
    with pytest.raises(RecordError, match="another version's jobs"):
        claim.replay(msgspec.structs.replace(record, jobs=[]), [1])
    with pytest.raises(RecordError, match="another version's jobs"):
        claim.replay(record, [3])
