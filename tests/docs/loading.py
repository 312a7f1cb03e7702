"""The scripts that write the documentation's tables, which import each other by their folder."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def script(name):
    path = ROOT / f"scripts/docs/{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables, benches, blocks, figures = map(script, ("tables", "benches", "blocks", "figures"))
