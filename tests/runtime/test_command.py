"""The command's root: every part is listed, loaded only when asked for, and told apart."""

import json
import subprocess
import sys

import pytest

from protoledger.runtime.command import FILES, PARTS


def run(*arguments, code="from protoledger.runtime.command import main; main()"):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_help_lists_every_part_and_loads_none():
    code = "import sys; from protoledger.runtime.command import main\n"
    code += "try: main()\nfinally: print(sorted(sys.modules))"
    ended = run("--help", code=code)
    assert ended.returncode == 0
    help_text, _, modules = ended.stdout.rpartition("[")
    for part in PARTS:
        assert part in help_text
        assert f"'{PARTS[part][0]}'" not in modules


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_answers_help(part):
    ended = run(part, "--help")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_agent_loads_nothing_heavy():
    code = "import protoledger.edge.cli, protoledger.edge.agent, sys\n"
    code += "print([m for m in sys.modules if m in %r])"
    heavy = {"web3", "galois", "numba", "scipy", "starlette", "rich.live", "eth_hash", "pandas"}
    ended = run(code=code % sorted(heavy))
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("name", sorted(FILES))
def test_schemas_describe_every_key(name):
    ended = run("schema", name)
    schema = json.loads(ended.stdout)
    for key, field in schema["properties"].items():
        described = "description" in field or "$ref" in str(field)
        assert described or key in {"channels", "labels"}, key


def test_an_unknown_word_is_a_usage_error():
    ended = run("emulatte")
    assert ended.returncode == 64
    assert "emulatte" in ended.stderr
