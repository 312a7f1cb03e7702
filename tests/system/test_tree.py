"""The tree is one in which a person finds their way: small files and folders, one namespace.

A file over its limit is two ideas; a folder with more entries than a dozen hides what it holds.
"""

import ast
import subprocess
import sys
import zipfile
from collections import defaultdict
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "sensors", "protocol", "runtime", "edge", "contracts", "gateway", "dashboard", "emulator",
    "experiments",
)  # fmt: skip
MOST_LINES, MOST_TEST_LINES, MOST_ENTRIES = 400, 500, 12
CODE = {".py", ".sh", ".sol", ".js", ".css"}
NOT_COUNTED = {"__init__.py", "py.typed"}
"""What every package has, and nobody looks for."""
LARGE_FOLDERS = {
    "": "the top of a repository: its folders, and the files that tools look for there",
    "ansible/playbooks": "a playbook a command; where they are says where the checkout is",
    "ansible/roles": "a role a job; Ansible looks for them in one folder",
    "docs": "a page a topic",
    "docs/results": "written by the experiments: three files each",
    "tests": "mirrors the tree, and adds whole systems, machines and support",
    "tests/support": "a helper a file, for tests of all folders",
}
ALWAYS_SO_CALLED = {
    "Job": "what an experiment runs: one in each study, as each has its `jobs`, `run` and `draw`",
}


@pytest.fixture(scope="module")
def tracked():
    """All files that belong to the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_long(tracked):
    long = {}
    for path in tracked:
        if path.suffix in CODE and "vendor" not in path.parts:
            lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
            is_test = path.parts[0] == "tests" or path.parts[:2] == ("contracts", "test")
            if lines > (MOST_TEST_LINES if is_test else MOST_LINES):
                long[str(path)] = lines
    assert long == {}


def test_no_folder_is_large(tracked):
    entries = defaultdict(set)
    for path in tracked:
        for parent in path.parents:
            name = path.relative_to(parent).parts[0]
            entries["" if parent == Path() else str(parent)].add(name)
    sizes = {folder: len(names - NOT_COUNTED) for folder, names in entries.items()}
    large = {folder: size for folder, size in sizes.items() if size > MOST_ENTRIES}
    assert {name: size for name, size in large.items() if name not in LARGE_FOLDERS} == {}


def modules():
    for folder in FOLDERS:
        yield from sorted((ROOT / folder / "protoledger").rglob("*.py"))


def test_every_package_and_module_says_what_it_is():
    mute = []
    for path in modules():
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        if not text:
            mute.append(str(path.relative_to(ROOT)))
    assert mute == []
    for folder in FOLDERS:
        for parent in (ROOT / folder / "protoledger").rglob("*/"):
            if any(parent.glob("*.py")):
                assert (parent / "__init__.py").is_file(), f"{parent} has no __init__.py"


def test_a_package_tells_in_a_paragraph_what_flows_through_it():
    short = {}
    for path in modules():
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            if len(text.splitlines()) < 3:
                short[str(path.relative_to(ROOT))] = text
    assert short == {}


def test_the_namespace_has_no_module_of_its_own():
    """PEP 420: an `__init__.py` in one folder would hide the others."""
    for folder in FOLDERS:
        assert not (ROOT / folder / "protoledger/__init__.py").exists()
        assert not (ROOT / folder / "__init__.py").exists()


def test_one_name_is_one_thing():
    places = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert {name: found for name, found in twice.items() if name not in ALWAYS_SO_CALLED} == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The distribution, built as pip builds it; needs no network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.namelist(), message_from_string(archive.read(info).decode())


def test_the_wheel_takes_one_name_of_site_packages(wheel):
    """Generic names there break other packages: PySensors, say, brings a module `sensors`."""
    names, metadata = wheel
    version = metadata["Version"]
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"protoledger", f"protoledger-{version}.dist-info"}
    assert metadata["Name"] == "protoledger"


def test_the_wheel_brings_types_and_what_the_code_reads(wheel):
    names, _ = wheel
    for folder in FOLDERS:
        assert f"protoledger/{folder}/py.typed" in names
    assert "protoledger/contracts/abi/PrototypeBuffer.json" in names
    assert "protoledger/edge/kits/climate.yaml" in names
    assert "protoledger/__main__.py" in names


def test_the_wheel_brings_no_tests_and_no_build_files(wheel):
    names, _ = wheel
    inside = [name for name in names if name.startswith("protoledger/")]
    page = "protoledger/dashboard/static/"
    kinds = {Path(name).suffix for name in inside if not name.startswith(page)}
    assert kinds == {".py", ".json", ".yaml", ".typed"}
    kinds = {Path(name).suffix for name in inside if name.startswith(page)}
    assert kinds == {".html", ".css", ".js", ".svg", ".txt"}
    parts = {part for name in inside for part in Path(name).parts}
    assert not parts & {"tests", "test", "out", "cache", "__pycache__", "node_modules", "src"}


def exits_with_a_number(tree):
    """Yield the lines that end the process with a code of their own instead of `Exit`'s."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            code = node.args[0]
            if name in {"exit", "_exit", "Exit"} and isinstance(code, ast.Constant):
                yield node.lineno
        for keyword in getattr(node, "keywords", []):
            if keyword.arg == "exit_code" and isinstance(keyword.value, ast.Constant):
                yield keyword.value.lineno


def test_exit_codes_stand_in_one_place():
    found = {}
    for path in modules():
        lines = list(exits_with_a_number(ast.parse(path.read_text(encoding="utf-8"))))
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}
