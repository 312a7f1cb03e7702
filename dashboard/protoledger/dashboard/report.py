"""The page as one HTML file: the same views and charts, of a run or some days, to send to somebody.

All that the page would fetch is in the file, scripts and styles too, and its policy allows no
other: it says the hashes of what is in it, and no address at all. The modules of the page become
functions of one script, in the order of their imports; data stand in it as JSON that cannot end a
script.
"""

import base64
import hashlib
import json
import re
import time
from pathlib import Path
from typing import Any, Final

from protoledger.dashboard.reading.files import GatewayFiles
from protoledger.dashboard.reading.trust import explanation
from protoledger.dashboard.reading.views import VIEWS, view
from protoledger.runtime.key_files import write_secret

STATIC: Final = Path(__file__).parent / "static"
DAY_S: Final = 86_400.0
SCRIPTS: Final = re.compile(r'^import \{([^}]*)\} from "([^"]+)";\n', re.MULTILINE)
EXPORTS: Final = re.compile(r"^export (?=(?:async )?(?:const|function) (\w+))", re.MULTILINE)
HEAD: Final = re.compile(r"<link [^>]*>\n|<script [^>]*></script>\n")


def write_report(path: Path, stores: list[tuple[str, Path]], days: float | None = None) -> None:
    """Write the report of these gateways; a file that is there is replaced.

    Args:
        path: where; its folder is made.
        stores: each site's name and its gateway's store.
        days: how far back; None: all that the histories keep.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    text = make_report(stores, None if days is None else time.time() - days * DAY_S)
    write_secret(path, text.encode(), replace=True)


def make_report(stores: list[tuple[str, Path]], since: float | None = None) -> str:
    """Return the report's HTML.

    Args:
        stores: each site's name and its gateway's store.
        since: what is older is left out, seconds since 1970.
    """
    sites = [GatewayFiles(name, store) for name, store in stores]
    views = {name: json.loads(view(name, sites)) for name in VIEWS}
    if since is not None:
        for shown in views.values():
            _cut(shown, since)
    explanations: dict[str, dict[int, Any]] = {}
    for files, shown in zip(sites, views["explain"]["sites"], strict=True):
        numbers = [one["n"] for one in shown["predictions"]]
        explanations[shown["name"]] = {n: explanation(files, n) for n in numbers}
        files.close()
    return page({"views": views, "explanations": explanations})


def page(data: object) -> str:
    """Return the page with its scripts, styles and these data in it."""
    styles = [
        (STATIC / name).read_text(encoding="utf-8")
        for name in ("vendor/uPlot.css", "style/base.css", "style/parts.css")
    ]
    scripts = [(STATIC / "vendor/uPlot.js").read_text(encoding="utf-8"), bundle(STATIC / "script")]
    policy = (
        f"default-src 'none'; script-src {' '.join(map(_hash, scripts))}; "
        f"style-src {' '.join(map(_hash, styles))}; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="content-security-policy" content="{policy}">\n'
    head += "".join(f"<style>{style}</style>\n" for style in styles)
    body = f'<script type="application/json" id="report">{_as_text(data)}</script>\n'
    body += "".join(f"<script>{script}</script>\n" for script in scripts)
    html = HEAD.sub("", (STATIC / "index.html").read_text(encoding="utf-8"))
    return html.replace("</head>", head + "</head>").replace("</body>", body + "</body>")


def bundle(folder: Path) -> str:
    """Return the page's modules as one script.

    Raises:
        ValueError: a module could end the script, or imports in a circle.
    """
    made: dict[str, str] = {}
    _add(folder / "app.js", made, ())
    text = '"use strict";\nconst modules = {};\n' + "".join(made.values())
    if "</script" in text.lower() or "<!--" in text:
        raise ValueError("a module has the end of a script in it")
    return text


def _add(path: Path, made: dict[str, str], above: tuple[str, ...]) -> None:
    """Add a module after those that it imports."""
    if path.stem in made:
        return
    if path.stem in above:
        raise ValueError(f"modules import each other: {' → '.join((*above, path.stem))}")
    source = path.read_text(encoding="utf-8")
    for _, other in SCRIPTS.findall(source):
        _add((path.parent / other).resolve(), made, (*above, path.stem))
    source = SCRIPTS.sub(
        lambda found: f"const {{{found[1]}}} = modules.{Path(found[2]).stem};\n", source
    )
    names = EXPORTS.findall(source)
    source = EXPORTS.sub("", source)
    made[path.stem] = (
        f"modules.{path.stem} = (() => {{\n{source}\nreturn {{ {', '.join(names)} }};\n}})();\n"
    )


def _as_text(data: object) -> str:
    text = json.dumps(data, separators=(",", ":"))  # ASCII alone: no line ends of Unicode
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _cut(shown: dict[str, Any], since: float) -> None:
    """Leave out of a view what is older."""
    for holder in (shown, *shown["sites"]):
        for name in ("commits", "events", "predictions", "troubles", "dropped"):
            if isinstance(rows := holder.get(name), list):
                holder[name] = [row for row in rows if row.get("at") is None or row["at"] >= since]
        for name in ("curve", "gains"):
            if isinstance(curve := holder.get(name), dict):
                holder[name] = _later(curve, since)


def _later(curve: dict[str, Any], since: float) -> dict[str, Any]:
    places = [place for place, at in enumerate(curve["at"]) if at >= since]

    def later(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: later(some) for name, some in values.items()}
        return [values[place] for place in places]

    return {name: later(values) for name, values in curve.items()}
