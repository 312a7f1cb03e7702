"""`gateway explain` and `gateway predict --probabilities`, on what a gateway left."""

import subprocess
import sys

import numpy as np
import pytest

from protoledger.gateway.commands.explain import as_text, kept
from protoledger.gateway.training.history.explanation import explain
from protoledger.gateway.training.history.provenance import Provenance
from tests.support.recorded import OTHER, TX, Recorded


@pytest.fixture
def site(tmp_path):
    recorded = Recorded(tmp_path / "attic")
    recorded.learn(40)
    recorded.join()
    recorded.learn(40)
    yield recorded
    recorded.close()


def test_a_kept_prediction_is_explained_for_people(site):
    found = kept(site.store_file, None)
    assert found["n"] == 80
    text = "\n".join(as_text(found, site.labels))
    assert text.startswith(f"sample {found['n']}: ")
    assert "share" in text
    shares = [voter["share"] for voter in found["nearest"]]
    assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_where_a_prototype_came_from_is_said(site):
    model = site.trainer.model
    model.settle()
    provenance = Provenance(site.store_file, model.form)
    found = {"line": 2, **explain(model, np.array([0.63, 0.71]), provenance)}
    text = "\n".join(as_text(found, site.labels))
    assert f"{OTHER}, version 1, block 41, {TX}" in text
    assert "without all others" in text


def test_what_is_not_kept_says_what_is(site, tmp_path):
    with pytest.raises(ValueError, match=r"sample 9999 is not explained; kept are some of \d+ to"):
        kept(site.store_file, 9999)
    with pytest.raises(ValueError, match="has the gateway run with a history"):
        kept(tmp_path / "nothing.db", None)


def test_a_row_without_any_value_is_unknown():
    assert list(as_text({"line": 3}, ["a"])) == [
        "unknown: the model has no prototypes that could vote"
    ]


def test_the_page_s_process_imports_what_it_needs_alone():
    """What it does not load takes no memory of a Pi."""
    code = "import sys, protoledger.dashboard.server.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "uvicorn" in loaded
    assert not loaded & {"numpy", "pydantic", "scipy", "galois", "numba", "web3", "cryptography",
                         "paho", "yaml", "httptools", "uvloop", "watchfiles", "websockets",
                         "rich", "typer", "jinja2"}  # fmt: skip
