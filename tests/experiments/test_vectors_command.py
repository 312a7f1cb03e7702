"""`protoledger vectors`: what it writes it accepts, and where another file differs it says."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from protoledger.experiments.vectors.cli import app
from protoledger.runtime.exits import Exit

RECORDED = Path(__file__).parents[1] / "protocol" / "vectors"
NAMES = ("field", "code", "schema", "members", "messages", "noise", "bad")
FILES = {f"{name}.json" for name in NAMES}


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.long
def test_it_writes_the_recorded_files_and_accepts_them(tmp_path):
    made = run("make", tmp_path / "new" / "folder")
    assert made.exit_code == Exit.OK, made.output
    written = {path.name: path.read_bytes() for path in (tmp_path / "new/folder").iterdir()}
    assert written == {name: (RECORDED / name).read_bytes() for name in FILES}
    checked = run("check", tmp_path / "new" / "folder")
    assert checked.exit_code == Exit.OK, checked.output
    assert checked.output.count(": ok") == len(FILES)


@pytest.mark.parametrize("name", ["schema.json", "members.json", "messages.json", "bad.json"])
def test_what_a_client_does_differently_is_named(tmp_path, name):
    """Change one leaf of a file, the last, by its type."""
    content = json.loads((RECORDED / name).read_text())
    at = content
    while True:
        key = list(at)[-1] if isinstance(at, dict) else len(at) - 1
        if not isinstance(at[key], dict | list):
            break
        at = at[key]
    at[key] = {str: "00", int: 7, bool: None}.get(type(at[key]), 1)
    file = tmp_path / name
    file.write_text(json.dumps(content))
    checked = run("check", file)
    assert checked.exit_code == Exit.DATA
    assert checked.output.count(" here, ") == 1
    assert str(key) in checked.output.splitlines()[1]


@pytest.mark.parametrize(
    ("name", "text", "code", "said"),
    [
        ("schema.json", "{", Exit.DATA, "no JSON"),
        ("schema.json", "[" * 100_000, Exit.DATA, "no JSON"),
        ("schema.json", "[]", Exit.DATA, "no JSON object"),
        ("schema.json", '{"digest":true}', Exit.DATA, "channels: missing"),
        ("other.json", "{}", Exit.USAGE, "none of field.json"),
        ("field.json/x", None, Exit.IO, "No such file"),
    ],
)
def test_what_is_no_vector_file_is_refused(tmp_path, name, text, code, said):
    file = tmp_path / name
    if text is not None:
        file.write_text(text)
    checked = run("check", file)
    assert checked.exit_code == code, checked.output
    assert said in checked.output
