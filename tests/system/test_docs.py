"""What documentation, docstrings and comments name exists: modules, pages, targets, commands."""

import ast
import importlib
import importlib.util
import re
import shlex
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
import typer
import yaml
from pydantic import TypeAdapter
from typer.main import get_command

from protoledger.contracts.oracle.reporter import ReporterConfig
from protoledger.edge.config import AgentConfig
from protoledger.emulator.virtual.links import NetworkFile
from protoledger.experiments.benchmarks.cli import BENCHES
from protoledger.gateway.config import GatewayConfig
from protoledger.runtime.command import FILES, PARTS
from protoledger.runtime.site import SiteConfig

ROOT = Path(__file__).parents[2]
TEXT = {".cff", ".cfg", ".md", ".py", ".sh", ".sol", ".toml", ".yaml", ".yml"}
FOLDERS = (
    "ansible|contracts|docs|edge|emulator|examples|experiments|"
    "gateway|protocol|runtime|scripts|sensors|tests"
)


def tracked():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    found = [ROOT / name for name in listed if name]
    if not found:  # an archive without a repository
        found = [p for p in ROOT.rglob("*") if p.is_file() and "/." not in str(p.relative_to(ROOT))]
    texts = [p for p in found if p.is_file() and (p.suffix in TEXT or p.name == "Makefile")]
    assert len(texts) > 200
    return texts


FILES_OF_TEXT = tracked()
PAGES = [path for path in FILES_OF_TEXT if path.suffix == ".md"]


@cache
def read(path):
    return path.read_text(encoding="utf-8")


def collected(find, paths=FILES_OF_TEXT):
    """Return what `find` finds in each file, without the files in which it finds nothing."""
    found = {str(path.relative_to(ROOT)): sorted(set(find(path))) for path in paths}
    return {name: what for name, what in found.items() if what}


@cache
def names_in(origin):
    """Return what a module's source binds: name, Class.name, and name.* for imports."""
    found = set()

    def look(body, prefix):
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}{node.name}.")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + t.id for t in targets if isinstance(t, ast.Name))
            if isinstance(node, ast.ImportFrom | ast.Import):
                found.update(f"{prefix}{a.asname or a.name}.*" for a in node.names)

    look(ast.parse(read(Path(origin))).body, "")
    return found


def exists(dotted):
    """Whether `protoledger.a.b[.Name[.name]]` can be imported, without importing the last."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            spec = importlib.util.find_spec(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        if spec is None:
            continue
        rest = ".".join(parts[length:])
        if not rest or spec.origin is None:
            return not rest
        return not {rest, rest.partition(".")[0] + ".*"}.isdisjoint(names_in(spec.origin))
    return False


# names of files, services and groups that begin like a module
NOT_MODULES = re.compile(
    r"protoledger\.(service|db|json|slice|sock|list|timer|__path__"
    r"|learners|sharing|attacks|sources)\b"  # groups of entry points
)


def test_modules_that_are_named_exist():
    def missing(path):
        if path == Path(__file__):
            return []
        cited = set(re.findall(r"(?<![\w./-])protoledger(?:\.[A-Za-z_]\w*)+", read(path)))
        return [name for name in cited if not NOT_MODULES.match(name) and not exists(name)]

    assert collected(missing) == {}


def test_files_that_are_named_exist():
    name = rf"(?<![\w./<{{-])((?:{FOLDERS})/[\w./-]*\w\.(?:md|py|sh|sol|svg|png|ya?ml|json|toml))\b"

    def missing(path):
        for cited in re.findall(name, read(path)):
            known = [base / cited for base in (ROOT, path.parent)] + list(ROOT.glob(f"*/{cited}"))
            if not any(file.exists() for file in known) and not re.search(r"/[A-Z]+[/.]", cited):
                yield cited

    assert collected(missing) == {}


def test_nothing_cites_a_design_that_is_not_here():
    others = [path for path in FILES_OF_TEXT if path != Path(__file__)]
    cited = re.compile(r"\bDESIGN\b.{0,20}|design's section.{0,5}")
    assert collected(lambda path: cited.findall(read(path)), others) == {}


def slug(heading):
    """Return a heading's anchor, as GitHub makes it."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path):
    without_code = re.sub(r"^```.*?^```", "", read(path), flags=re.MULTILINE | re.DOTALL)
    return {slug(h) for h in re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)}


def test_links_lead_somewhere():
    def dead(path):
        text = re.sub(r"`[^`\n]*\]\([^`\n]*`", "", read(path))  # code that looks like a link
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, fragment = target.partition("#")
            to = (path.parent / name).resolve() if name else path
            if not to.exists() or (fragment and to.suffix == ".md" and fragment not in anchors(to)):
                yield target

    assert collected(dead, PAGES) == {}


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z][\w-]*):", read(ROOT / "Makefile"), re.MULTILINE))
    targets |= {f"bench-{name}" for name in BENCHES}

    def missing(path):
        cited = re.findall(r"(?:`|\$ |sudo )make ([a-z][a-z-]*)", read(path))
        return (name for name in cited if name not in targets)

    assert collected(missing) == {}


def commands_in(text):
    """Yield the words of each `protoledger …` that code shows, with placeholders and options."""
    code = re.findall(r"^```[^\n]*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in code for line in block.replace("\\\n", " ").splitlines()]
    lines += [f"$ {code}" for code in re.findall(r"`([^`\n]+)`", prose)]
    for line in lines:
        shown = re.match(
            r"(?:.*?[$=] ?|.*sudo )(?:\S*/)?protoledger ((?:[a-z-].*)?)$", line.strip()
        )
        if shown:
            words = shown[1].partition("  #")[0].rstrip("`…").strip()
            try:
                yield shlex.split(words, comments=True)
            except ValueError:
                yield words.split()


@cache
def typers(module):
    return get_command(importlib.import_module(module).app)


def wrong(words):
    """Return what of a command line does not exist."""
    if not words or words[0] in {"--version", "--help", "schema"}:
        known = len(words) < 2 or words[1] in FILES or words[1].endswith((".yaml", "FILE"))
        return "" if known else f"schema {words[1]}"
    if words[0] not in PARTS:
        return words[0]
    command, rest = typers(PARTS[words[0]][0]), words[1:]
    if words[0] == "bench" and rest[:1] and rest[0] in BENCHES:
        command, rest = typers(BENCHES[rest[0]][0]), rest[1:]
    while isinstance(command, typer.core.TyperGroup):
        if not rest or rest[0].startswith("-") or rest[0].isupper() or rest[0] in {"…", "..."}:
            return ""
        if rest[0] not in command.commands:
            return " ".join(words[: words.index(rest[0]) + 1])
        command, rest = command.commands[rest[0]], rest[1:]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "-h"}
    unknown = [w.split("=")[0] for w in rest if re.match(r"--?[a-z]", w)]
    return ", ".join(f"{command.name} {w}" for w in unknown if w not in known)


def test_commands_that_are_shown_exist():
    def missing(path):
        return (found for words in commands_in(read(path)) if (found := wrong(words)))

    assert collected(missing, PAGES) == {}


def test_a_command_that_does_not_exist_is_found():
    assert wrong(["emulatte"]) == "emulatte"
    assert wrong(["edge", "chek"]) == "edge chek"
    assert wrong(["edge", "check", "--mook"]) == "check --mook"
    assert wrong(["edge", "check", "--mock", "-c", "agent.yaml"]) == ""
    assert list(commands_in("`protoledger edge check -c a.yaml`")) == [
        ["edge", "check", "-c", "a.yaml"]
    ]


MODELS = [AgentConfig, GatewayConfig, SiteConfig, ReporterConfig, NetworkFile]


def samples():
    for path in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", read(path), re.MULTILINE | re.DOTALL):
            yield pytest.param(block, id=f"{path.relative_to(ROOT)}: {block.splitlines()[0]}")


@pytest.mark.parametrize("block", list(samples()))
def test_a_sample_of_configuration_fits_a_model(block):
    content = yaml.safe_load(block.replace("0x…", "0x" + 40 * "0"))
    if isinstance(content, list):  # entries of `sensors`
        content = {"sensors": content}
    fitting = [model for model in MODELS if content.keys() <= model.model_fields.keys()]
    assert fitting, f"no configuration has all of {', '.join(content)}"
    model = fitting[0]
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    if required <= content.keys():
        model.model_validate(content)
    for key, value in content.items():
        TypeAdapter(model.model_fields[key].annotation).validate_python(value)


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").rglob("*.??g")), ids=lambda p: p.name)
def test_every_picture_is_shown(picture):
    shown = [page for page in PAGES if picture.name in read(page)]
    assert shown
    if picture.parent.name == "results":
        assert f"`protoledger experiment {picture.stem}`" in read(picture.parent / "README.md")


def parsed(*names):
    return subprocess.run(
        ["node", "tests/support/parse_mermaid.cjs", *names],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_diagrams_can_be_drawn(tmp_path):
    drawn = [path for path in PAGES if "```mermaid" in read(path)]
    done = parsed(*map(str, drawn))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == sum(read(path).count("```mermaid") for path in drawn)
    (tmp_path / "bad.md").write_text("```mermaid\nsequenceDiagram\n  A->>>>B\n```\n")
    assert parsed(str(tmp_path / "bad.md")).returncode == 1


@pytest.mark.parametrize("folder", ["docs", "docs/images", "scripts", "."])
def test_a_folder_can_be_seen_at_a_glance(folder):
    children = {p.relative_to(ROOT / folder).parts[0] for p in FILES_OF_TEXT if under(p, folder)}
    most = {".": 24, "docs": 15}.get(folder, 12)  # of docs: a page a topic
    assert len(children) <= most, sorted(children)


def under(path, folder):
    return (ROOT / folder) in path.parents


def test_the_version_is_said_once():
    version = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["version"]
    assert yaml.safe_load(read(ROOT / "CITATION.cff"))["version"] == version
    assert re.search(r"^## \[(.*?)\]", read(ROOT / "CHANGELOG.md"), re.MULTILINE)[1] == version
