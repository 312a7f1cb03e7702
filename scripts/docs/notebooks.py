"""Runs the notebooks of examples/notebooks, and makes pages of them.

    .venv/bin/python scripts/docs/notebooks.py [NAME …]

runs them, each in an empty folder, and fails where a cell does. A notebook is a Markdown file as
Jupytext reads it: fences of python and bash are its cells. `make docs` asks for `pages`.
"""

import base64
import os
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples/notebooks"
PATIENCE_S = 900
"""Of a cell; the slowest takes a minute."""
HEAD = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
CELL_MAGIC = re.compile(r"%%(bash)\n")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class NotebookPage:
    """A notebook in Markdown, and the files that it shows, by their names."""

    text: str
    files: dict[str, bytes] = field(default_factory=dict)


def notebooks() -> dict[str, Path]:
    """Return all notebooks by their names."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.md")) if path.stem != "README"}


def run(source: Path, folder: Path) -> NotebookNode:
    """Run a notebook in a folder, by a kernel that leaves nothing behind elsewhere.

    Raises:
        CellExecutionError: a cell failed; the message has it, and where.
    """
    notebook = jupytext.read(source)
    with tempfile.TemporaryDirectory() as own:
        kernel = {"transport": "ipc", "connection_file": f"{own}/kernel.json"}
        client = NotebookClient(
            notebook,
            kernel_name="python3",
            timeout=PATIENCE_S,
            coalesce_streams=True,
            resources={"metadata": {"path": str(folder)}},
            config=Config({"KernelManager": kernel}),
        )
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        client.execute(env=os.environ | {"PATH": path, "IPYTHONDIR": own})
    return notebook


def page(name: str, source: Path, *, execute: bool) -> NotebookPage:
    """Return a notebook as a page, with what came out of its cells if it is to be run."""
    if not execute:
        return NotebookPage(HEAD.sub("", source.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        made = shown(name, run(source, Path(folder)))
        for written in Path(folder).glob("*.html"):  # what a cell links to
            made.files[written.name] = written.read_bytes()
    return made


def shown(name: str, notebook: NotebookNode) -> NotebookPage:
    """Return a notebook that was run as a page; it offers the notebook itself, too."""
    made = NotebookPage("", {f"{name}.ipynb": nbformat.writes(notebook).encode()})
    parts = [part for cell in notebook.cells for part in _cell(cell, name, made.files)]
    parts.append(f'<a href="{name}.ipynb" download>This page as the notebook that was run</a>')
    made.text = "\n\n".join(parts) + "\n"
    return made


def _cell(cell: NotebookNode, name: str, files: dict[str, bytes]) -> list[str]:
    if cell.cell_type != "code":
        return [cell.source]
    magic = CELL_MAGIC.match(cell.source)
    language = magic[1] if magic else "python"
    parts = [_fenced(language, CELL_MAGIC.sub("", cell.source, count=1))]
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append(_fenced("text", COLOURS.sub("", output.text)))
        elif output.output_type in {"display_data", "execute_result"}:
            parts.append(_result(output.data, name, files))
    return parts


def _result(data: NotebookNode, name: str, files: dict[str, bytes]) -> str:
    if "image/png" in data:
        picture = f"{name}-{len(files)}.png"
        files[picture] = base64.b64decode(data["image/png"])
        return f"![What the cell above draws]({picture})"
    if "text/html" in data:
        return str(data["text/html"])
    return _fenced("text", str(data["text/plain"]))


def _fenced(language: str, text: str) -> str:
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.strip()}\n{fence}"


def main(names: list[str]) -> None:
    """Run the notebooks that are named, or all."""
    known = notebooks()
    if unknown := set(names) - known.keys():
        sys.exit(f"notebooks: no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in names or known:
        with tempfile.TemporaryDirectory() as folder:
            cells = len(run(known[name], Path(folder)).cells)
        sys.stdout.write(f"{name}: {cells} cells ran\n")


if __name__ == "__main__":
    main(sys.argv[1:])
