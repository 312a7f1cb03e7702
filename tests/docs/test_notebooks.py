"""The notebooks of examples/notebooks run, offline and in an empty folder, and become pages."""

import importlib.util
import json
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[2]


def load():
    """The module of scripts/docs, which is run by path."""
    path = ROOT / "scripts/docs/notebooks.py"
    spec = importlib.util.spec_from_file_location("notebooks", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


notebooks = load()


def printed(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture
def nowhere(monkeypatch):
    """No network but this machine: whatever asks a proxy is refused."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.mark.usefixtures("nowhere")
@pytest.mark.timeout(1200)
def test_a_csv_becomes_a_deployment_and_its_report(tmp_path):
    told = printed(notebooks.run(notebooks.notebooks()["csv-to-deployment"], tmp_path))
    assert "column 'time' is left out" in told
    assert " completed, " in told
    assert "site-1: 5 agents, a gateway, a broker" in told
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["aggregate_sum_error_max"] == 0
    assert report["holdout_accuracy"] > 0.8
    assert "<html" in (tmp_path / "report.html").read_text()[:300]
    assert (tmp_path / "site-1/site.yaml").is_file()


@pytest.mark.long  # `make docs` runs it, too
@pytest.mark.usefixtures("nowhere")
def test_a_learner_is_written_and_compared_on_all_streams(tmp_path):
    told = printed(notebooks.run(notebooks.notebooks()["own-learner"], tmp_path))
    assert "BROKEN" not in told
    assert "mean of 27 streams" in told
    assert "['growing', 'improved', 'reference']" in told
    assert told.count("growing    together") == 3
    assert " completed, " in told


def test_no_notebook_brings_outputs():
    for name, path in notebooks.notebooks().items():
        cells = jupytext.read(path).cells
        assert sum(cell.cell_type == "code" for cell in cells) > 5, name
        assert not any(cell.get("outputs") for cell in cells), name


BAD = """# Fails

```python
print("so far")
```

```bash
false
```
"""


def test_a_command_that_fails_fails_the_notebook(tmp_path):
    source = tmp_path / "bad.md"
    source.write_text(BAD)
    with pytest.raises(CellExecutionError, match="non-zero exit status 1"):
        notebooks.run(source, tmp_path)


GOOD = """# Shows

Text with a [link](there.md).

```python
from pathlib import Path
from IPython.display import HTML, display

print("one ``` fence", end="")
Path("chart.html").write_text("<html></html>")
display(HTML("<b>bold</b>"))
```

```bash
echo "$((6 * 7))"; pwd
```

```python
import matplotlib.pyplot as plt

_ = plt.plot([1, 2])
```
"""


def test_a_page_shows_what_came_out(tmp_path):
    source = tmp_path / "good.md"
    source.write_text(GOOD)
    plain = notebooks.page("good", source, execute=False)
    assert (plain.text, plain.files) == (GOOD, {})
    made = notebooks.page("good", source, execute=True)
    assert "````text\none ``` fence\n````" in made.text
    assert "<b>bold</b>" in made.text
    assert "```bash\necho" in made.text
    assert "```text\n42\n" in made.text
    assert "](good-1.png)" in made.text
    assert made.files["good-1.png"].startswith(b"\x89PNG")
    assert made.files["chart.html"] == b"<html></html>"
    assert json.loads(made.files["good.ipynb"])["cells"][1]["outputs"]
