"""The documentation's tables are what was recorded, and what was recorded is not run again."""

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from matplotlib.figure import Figure

from protoledger.experiments.cli import EXPERIMENTS, load
from protoledger.experiments.experiment import Table, carry_out, write
from protoledger.experiments.running import records
from protoledger.experiments.running.journal import Journal
from protoledger.experiments.running.records import (
    CodeVersion,
    code_here,
    machine_here,
    read_record,
    same_code,
)
from tests.docs.loading import blocks, figures

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs/results"


@pytest.mark.parametrize("page", blocks.pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_stands_between_markers_is_what_was_recorded(page):
    text = page.read_text(encoding="utf-8")
    assert text == blocks.filled(text), "run `make figures ARGS=--write`"


def test_every_table_is_shown_and_every_marker_is_closed():
    texts = [path.read_text(encoding="utf-8") for path in blocks.pages()]
    shown = [match["name"] for text in texts for match in blocks.MARKED.finditer(text)]
    assert sorted(shown) == sorted(blocks.BLOCKS)
    opened = ("<!-- figures: ", "<!-- unrecorded: ")
    assert sum(text.count(mark) for text in texts for mark in opened) == len(shown)


def changed_study(study, **changes):
    return type(study)(**{name: getattr(study, name) for name in study.__slots__} | changes)


def unlike(study, record_file, folder):
    """Return which of the files beside a record are not what it gives."""
    record, nan = read_record(record_file), float("nan")
    rows = [{k: nan if v is None else v for k, v in row.items()} for row in record.rows]
    made = write(study, Table(record.keys, record.measures, rows), folder)
    return [p.name for p in made[:2] if p.read_text() != (record_file.parent / p.name).read_text()]


def test_a_table_is_what_its_record_gives(tmp_path):
    for path in sorted(RESULTS.glob("*.json")):
        assert unlike(load(path.stem), path, tmp_path / path.stem) == [], path.name


def test_a_table_that_is_not_what_its_record_gives_is_found(tmp_path):
    study = changed_study(load("gas"), draw=lambda _table: Figure())
    rows = [dict.fromkeys(study.keys, "a") | dict.fromkeys(study.measures, 1 / 3)]
    record = records.Record(
        format=records.FORMAT, experiment="gas", quick=True, seeds=[1], keys=list(study.keys),
        measures=list(study.measures), jobs=[records.DoneJob(job="a", rows=rows)],
        code=code_here(), machine=machine_here(), seconds=1.0,
    )  # fmt: skip
    *_, kept = write(study, Table(study.keys, tuple(study.measures), rows, record), tmp_path / "a")
    assert unlike(study, kept, tmp_path / "b") == []
    table = kept.with_suffix(".csv")
    table.write_text(table.read_text().replace("0.333333", "0.4"))
    assert unlike(study, kept, tmp_path / "b") == ["gas.csv"]


PAGE = """Before.

<!-- figures: two -->
| typed | by hand |
<!-- /figures -->

After.
"""


def test_a_figure_typed_by_hand_is_found_and_replaced(tmp_path, monkeypatch):
    (tmp_path / "two.csv").write_text(
        "data,way,runs,accuracy,accuracy_half_width\n"
        "a,union,3,0.9312,0.01\na,learn,3,-0.5,nan\nb,union,2,nan,nan\n"
    )

    def two():
        columns = [
            blocks.Column("union", blocks.share("accuracy"), {"way": "union"}),
            blocks.Column("learn", blocks.number("accuracy", half=True), {"way": "learn"}),
        ]
        return blocks.table(blocks.recorded("two", tmp_path), ("data",), columns)

    monkeypatch.setattr(blocks, "BLOCKS", {"two": two})
    made = blocks.filled(PAGE)
    assert made != PAGE
    assert "\n| data | union | learn |\n|---|---|---|\n| a | .931 | −0.5 |\n| b | – | – |\n" in made
    assert (made.startswith("Before."), made.endswith("After.\n")) == (True, True)
    assert blocks.filled(made) == made
    with pytest.raises(KeyError):
        blocks.filled(PAGE.replace("two", "three"))
    (tmp_path / "two.csv").unlink()
    assert blocks.filled(PAGE, lenient=True) == PAGE, "it is filled once it was recorded"
    with pytest.raises(FileNotFoundError):
        blocks.filled(PAGE)


@pytest.fixture
def code():
    """This code, as if it were committed as it is."""
    here = code_here()
    return msgspec.structs.replace(here, changed=False)


def test_code_is_the_same_until_it_changes(code):
    assert not records.holds(msgspec.structs.replace(code, changed=True))
    assert not records.holds(msgspec.structs.replace(code, commit=""))
    assert not same_code("0" * 40)
    head = ["git", "rev-list", "--max-parents=0", "HEAD"]
    first = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not same_code(first.split()[0])


def test_an_interrupted_experiment_goes_on_by_the_job(tmp_path, monkeypatch):
    monkeypatch.setattr("protoledger.experiments.running.journal.holds", bool)
    study, path = load("difference"), tmp_path / "runs/difference.jsonl"
    ran = []

    def run(job):
        ran.append(job)
        if len(ran) == 3:
            raise KeyboardInterrupt
        keys = {"data": "a", "difference": str(len(ran))}
        return [keys | {name: len(ran) / 7 for name in study.measures} | {"kappa": float("nan")}]

    def here(run, jobs, **_how):
        return ((at, run(job)) for at, job in enumerate(jobs))

    monkeypatch.setattr("protoledger.experiments.experiment.run_here", here)
    study = changed_study(study, run=run, jobs=lambda seed, quick: [seed, seed + 100])  # noqa: ARG005
    with pytest.raises(KeyboardInterrupt):
        carry_out(study, [1, 2], quick=False, journal=Journal(path, "difference", quick=False))
    with path.open("a") as file:
        file.write('{"job": "2", "ro')  # the power went
    journal = Journal(path, "difference", quick=False)
    assert len(journal) == 2
    table = carry_out(study, [1, 2], quick=False, journal=journal)
    assert ran == [1, 101, 2, 2, 102]
    assert [job.job for job in table.record.jobs] == ["1", "101", "2", "102"]
    assert table.record.jobs[1].rows[0]["alone"] == 2 / 7
    assert table.record.jobs[1].rows[0]["kappa"] is None
    assert len(Journal(path, "difference", quick=False)) == 4
    assert len(Journal(path, "difference", quick=True)) == 0, "another version begins again"


def test_a_journal_of_other_code_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr("protoledger.experiments.running.journal.holds", bool)
    path = tmp_path / "gas.jsonl"
    Journal(path, "gas", quick=False).keep("job", [{"a": 1}])
    assert len(Journal(path, "gas", quick=False)) == 1
    monkeypatch.setattr("protoledger.experiments.running.journal.holds", lambda code: not code)
    assert len(Journal(path, "gas", quick=False)) == 0
    path.write_text("not JSON\n")
    assert len(Journal(path, "gas", quick=False)) == 0


def test_everything_that_makes_a_figure_is_run(capsys):
    known = figures.parts()
    assert set(EXPERIMENTS) < set(known)
    assert {"learner", "aggregation", "ledger", "emulate-bananas"} < set(known)
    assert all(part.minutes() > 0 for part in known.values())
    assert figures.main(["--list", "gas", "emulate-house"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        "gas",
        "emulate-house",
    ]
    with pytest.raises(SystemExit, match="2"):
        figures.main(["fish"])


SLOW = """
import sys, time
try:
    open(sys.argv[1], "w").write("begun")
    time.sleep(600)
except KeyboardInterrupt:
    open(sys.argv[1], "w").write("ended")
    sys.exit(130)
"""


def test_what_is_interrupted_may_end_what_it_started(tmp_path, monkeypatch):
    """An experiment's own processes would outlive it if it were killed."""
    monkeypatch.setattr(figures, "PATIENCE_S", 0.1)
    real = subprocess.Popen.wait
    asked = []

    def wait(self, timeout=None):
        asked.append(timeout)
        if len(asked) == 1:
            while not begun.exists() or begun.read_text() != "begun":
                time.sleep(0.01)
            raise KeyboardInterrupt
        return real(self, timeout)

    begun = tmp_path / "begun"
    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    with pytest.raises(KeyboardInterrupt):
        figures.run_command([sys.executable, "-c", SLOW, str(begun)])
    assert begun.read_text() == "ended"
    with pytest.raises(subprocess.CalledProcessError):
        figures.run_command([sys.executable, "-c", "raise SystemExit(3)"])


def test_what_is_recorded_is_not_run_again(tmp_path, monkeypatch, capsys, code):
    monkeypatch.setattr(figures, "JOURNALS", tmp_path / "journals")
    monkeypatch.setattr(figures.blocks, "write", list)
    monkeypatch.setattr(figures, "code_here", lambda: code)
    monkeypatch.setattr(figures, "holds", lambda one: one == code)
    ran = []

    def run(command):
        ran.append(command[3:])
        if "fails" in command:
            raise subprocess.CalledProcessError(3, command)
        if "stopped" in command:
            raise KeyboardInterrupt
        Path(command[-1]).write_text('{"µs": 1.5}')

    monkeypatch.setattr(figures, "run_command", run)
    part = figures.Part("one", ("bench", "one"), tmp_path / "measured/one.json")
    monkeypatch.setitem(figures.MINUTES, "one", 200)
    assert figures.carry_out([part]) == 0
    assert "[1 of 1] one: 3.3 h; all that is left: 3.3 h" in capsys.readouterr().out
    told = json.loads(part.record.read_text())
    assert told["result"] == {"µs": 1.5}
    assert told["command"] == ["protoledger", "bench", "one"]
    assert msgspec.convert(told["code"], CodeVersion) == code
    assert msgspec.convert(told["machine"], type(machine_here())) == machine_here()
    assert part.minutes() < 1
    assert figures.carry_out([part]) == 0
    assert len(ran) == 1
    for word, ended in (("fails", 1), ("stopped", 130)):
        bad = figures.Part(word, ("bench", word), tmp_path / f"{word}.json")
        assert figures.carry_out([part, bad, part]) == ended
        assert not bad.record.exists()
        assert "`make figures`" in capsys.readouterr().out
