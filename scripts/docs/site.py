"""What `make docs` adds to mkdocs: pages from outside docs/, and a check of what was built.

- README, CONTRIBUTING, SECURITY and CHANGELOG stand at the root of the repository, where people
  look for them; here they become pages.
- What others build upon (drivers, learners, clients, configuration) gets pages of reference.
- The notebooks of examples/notebooks become pages, too. With NOTEBOOKS=run, as `make docs` has it,
  they are run, and what came out stands below each cell; a cell that fails ends the build.
- A link to a file outside docs/ gets a copy of that file; one to a folder becomes plain text.
- Material would load Mermaid from another host, unless it is there already: so the copy that npm
  installed is laid into the site. A content security policy in each page forbids everything else.
- After the build every page is read again: each link leads somewhere, nothing is loaded from
  another host, and the reference shows each public name, which it does if there is a docstring.
"""

import ast
import os
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import notebooks  # beside this file
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]
FROM_ROOT = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "changelog.md": "CHANGELOG.md",
    "notebooks/index.md": "examples/notebooks/README.md",
}
NOTEBOOKS = {
    f"notebooks/{name}.md": path.relative_to(ROOT).as_posix()
    for name, path in notebooks.notebooks().items()
}
# page → its title, and the files whose modules it shows, in folders `FOLDER/protoledger/FOLDER/`
REFERENCE = {
    "configuration": (
        "Configuration",
        ["runtime: site.py", "edge: config.py", "gateway: config.py", "gateway: ledger/config.py"],
    ),
    "sensors": ("Sensors and drivers", ["sensors: **/*.py"]),
    "learner": ("Learners", ["gateway: learner/base.py", "gateway: learner/*/classifier.py"]),
    "plug-ins": (
        "Sharing, attacks and sources",
        [
            "experiments: variants/sharing.py",
            "experiments: variants/attacks.py",
            "emulator: sources/dealing.py",
        ],
    ),
    "protocol": ("Protocol", ["protocol: **/*.py"]),
    "contracts": ("Contracts", ["contracts: client/*.py"]),
}
MERMAID = ROOT / "node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
POLICY = (
    "default-src 'self' file:; script-src 'self' file: 'unsafe-inline'; "
    "style-src 'self' file: 'unsafe-inline'; img-src 'self' file: data:; worker-src 'self' blob:"
)
LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
# element → the attribute by which a browser loads something without being asked
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and the script that docs/ does not hold."""
    if not MERMAID.is_file():
        raise PluginError(f"{MERMAID.relative_to(ROOT)} is missing: run `make setup`")
    pages = {
        name: (ROOT / source).read_text(encoding="utf-8") for name, source in FROM_ROOT.items()
    }
    pages |= {f"reference/{page}.md": reference(page) for page in REFERENCE}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    add_notebooks(files, config)
    files.append(File.generated(config, "assets/mermaid.tiny.js", abs_src_path=str(MERMAID)))
    return files


def add_notebooks(files: Files, config: MkDocsConfig) -> None:
    """Add the notebooks' pages and what they show; run them first if that is asked for."""
    for name, source in NOTEBOOKS.items():
        path = ROOT / source
        try:
            made = notebooks.page(path.stem, path, execute=os.environ.get("NOTEBOOKS") == "run")
        except CellExecutionError as error:
            raise PluginError(f"{source}: {error}") from error
        files.append(File.generated(config, name, content=made.text))
        for shown, content in made.files.items():
            files.append(File.generated(config, f"notebooks/{shown}", content=content))


def modules(page: str) -> dict[str, Path]:
    """Return the public modules of a page of reference and their files, packages first."""
    found = {}
    for pattern in REFERENCE[page][1]:
        folder, _, files = pattern.partition(": ")
        paths = sorted((ROOT / folder / "protoledger" / folder).glob(files))
        if not paths:
            raise PluginError(f"{pattern} names no file any more: see REFERENCE in {__file__}")
        for path in paths:
            parts = path.relative_to(ROOT).with_suffix("").parts[1:]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if "._" not in name:
                found[name] = path
    return dict(sorted(found.items()))


def reference(page: str) -> str:
    """Return the source of a page of reference."""
    return f"# {REFERENCE[page][0]}\n\n" + "\n".join(f"::: {name}\n" for name in modules(page))


def public_names(module: str, path: Path) -> list[str]:
    """Return the classes, functions and methods that a module offers, itself among them."""
    found = [module]

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                found.append(f"{prefix}.{node.name}")
                if isinstance(node, ast.ClassDef):
                    look(node.body, found[-1])

    look(ast.parse(path.read_text(encoding="utf-8")).body, module)
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links reach what lies outside docs/."""
    uri = page.file.src_uri
    source = (FROM_ROOT | NOTEBOOKS).get(uri, f"docs/{uri}")

    def lead(match: re.Match[str]) -> str:
        text, target = match.groups()
        parts = urlsplit(target)
        if parts.scheme or not parts.path:
            return match[0]
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), parts.path))
        if (ROOT / wanted).is_dir():
            return text
        found = place(wanted, config, files)
        if found is None:
            return match[0]  # mkdocs says so
        path = posixpath.relpath(found, posixpath.dirname(uri) or ".")
        return f"[{text}]({path}{'#' + parts.fragment if parts.fragment else ''})"

    pieces = FENCED.split(markdown)
    return "".join(p if p.startswith("```") else LINK.sub(lead, p) for p in pieces)


def place(wanted: str, config: MkDocsConfig, files: Files) -> str | None:
    """Return where a file of the repository is in the site, copied there if need be."""
    for name, source in (FROM_ROOT | NOTEBOOKS).items():
        if wanted == source:
            return name
    if wanted.startswith("docs/"):
        return wanted.removeprefix("docs/")
    if wanted.startswith("..") or not (ROOT / wanted).is_file():
        return None
    name = f"files/{wanted}"
    if files.get_file_from_path(name) is None:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / wanted)))
    return name


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - mkdocs calls it with these
    """Forbid browsers to load anything from elsewhere."""
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return output.replace("<head>", f"<head>{policy}", 1)


class Links(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = {"", "__comments", "__drawer"}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        values = dict(attrs)
        self.places.update(v for key in ("id", "name") if (v := values.get(key)))
        if target := values.get(LOADS.get(tag, "")):
            self.loaded.append(target)
        if target := values.get("href"):
            self.targets.append(target)


def read(path: Path) -> Links:
    """Return the links of a built page."""
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


def undocumented(site: Path, pages: dict[Path, Links]) -> list[str]:
    """Return the public names that no page of reference shows."""
    return [
        f"{name} has no docstring"
        for page in REFERENCE
        for module, path in modules(page).items()
        for name in public_names(module, path)
        if name not in pages[site / f"reference/{page}.html"].places
    ]


def problems(site: Path) -> list[str]:
    """Return what is wrong with a built site, a line each."""
    pages = {path: read(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}
    found = undocumented(site, pages)
    for path, links in pages.items():
        shown = path.relative_to(site)
        found += [f"{shown} loads {t}" for t in links.loaded if urlsplit(t).netloc]
        for target in links.targets + links.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            to = to / "index.html" if to.is_dir() else to
            nowhere = to in pages and unquote(parts.fragment) not in pages[to].places
            if nowhere or not to.exists():
                found.append(f"{shown} names {target}, which does not exist")
    for sheet in sorted(site.rglob("*.css")):
        outside = re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]+", sheet.read_text())
        found += [f"{sheet.relative_to(site)} loads {what}" for what in outside]
    return found


def on_post_build(config: MkDocsConfig) -> None:
    """Read the built site once more."""
    if found := problems(Path(config.site_dir).resolve()):
        raise PluginError("the site is not sound:\n  " + "\n  ".join(found))
