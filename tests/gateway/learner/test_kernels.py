"""Compiled kernels give numpy's bits, whenever they come, and their cache may be in any state."""

import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protoledger.gateway.errors import KernelError
from protoledger.gateway.learner import MODES, Warmup, load_kernels, make_learner, restore_learner
from protoledger.gateway.learner.compilation import compile as compiling
from protoledger.gateway.learner.compilation import compiled
from protoledger.gateway.learner.own import PrototypeLearner
from protoledger.gateway.union.union import Union
from tests.gateway.learner.test_learner import blobs

modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(scope="module")
def cache(request):
    """A folder with compiled kernels, kept between runs; this process has them loaded."""
    folder = request.config.cache.mkdir("kernels")
    assert load_kernels(folder)
    return folder


@pytest.fixture
def unloaded(cache, monkeypatch):
    """As in a fresh process: nothing loaded, and compiling is only allowed to a test's own."""

    def refuse(_warmup, _folder):
        raise KernelError("this test compiles nothing")

    monkeypatch.setattr(compiled, "_loaded", {})
    monkeypatch.setattr(Warmup, "_compile", refuse)
    return cache


def pair(mode, d, classes, capacity=16):
    plain, fast = (make_learner(mode, d, classes, capacity=capacity) for _ in range(2))
    plain.engine = "numpy"
    return plain, fast


def stream(seed, n, d, classes):
    """Labelled samples that repeat, contradict each other, drift, and leave a feature constant."""
    rng = np.random.default_rng(seed)
    xs, ys = blobs(n, d=d, classes=classes, seed=seed, spread=rng.choice([0.2, 1.0, 3.0]))
    again = rng.random(n) < 0.1
    xs[again] = xs[rng.integers(n, size=again.sum())]
    if rng.random() < 0.3:
        xs[:, 0] = 5.0
    ys = np.array(ys)
    if rng.random() < 0.5:
        ys[n // 2 :] = (ys[n // 2 :] + 1) % classes
    return xs * 10.0 ** rng.integers(-3, 4, size=d), ys


@pytest.mark.usefixtures("cache")
@modes
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    d=st.integers(1, 12),
    classes=st.integers(1, 6),
    capacity=st.integers(6, 20),
)
def test_the_same_bits_after_every_sample(mode, seed, d, classes, capacity):
    plain, fast = pair(mode, d, classes, capacity)
    xs, ys = stream(seed, 330, d, classes)
    if plain.takes_missing and d > 1:  # a flaky channel, and one that dies
        rng = np.random.default_rng(seed)
        xs[rng.random(330) < 0.2, 0] = np.nan
        xs[200:, d - 1] = np.nan
        xs[np.isnan(xs).all(axis=1)] = 0.0
    for x, y in zip(xs, ys, strict=True):
        assert plain.predict_one(x) == fast.predict_one(x)
        assert plain.predict_proba_one(x).tobytes() == fast.predict_proba_one(x).tobytes()
        assert plain.distances(x).tobytes() == fast.distances(x).tobytes()
        for model in (plain, fast):
            model.learn_one(x, int(y), margin=0.6)
        assert plain.state() == fast.state()
        assert plain.revision == fast.revision


@pytest.mark.usefixtures("cache")
@modes
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 100_000), cuts=st.lists(st.integers(0, 400), max_size=4))
def test_a_switch_in_the_middle_changes_nothing(mode, seed, cuts):
    xs, ys = stream(seed, 400, 4, 3)
    plain, switched = pair(mode, 4, 3)
    for i, (x, y) in enumerate(zip(xs, ys.tolist(), strict=True)):
        if i in cuts:  # between the prediction and the learning of a sample, too
            assert plain.predict_one(x) == switched.predict_one(x)
            switched.engine = "numpy" if switched.engine == "auto" else "auto"
        assert plain.predict_one(x) == switched.predict_one(x)
        plain.learn_one(x, y)
        switched.learn_one(x, y)
    assert plain.state() == switched.state()


@pytest.mark.usefixtures("cache")
@modes
@pytest.mark.parametrize("engine", ["numpy", "auto"])
def test_many_at_once_are_the_same_as_one_by_one(mode, engine):
    xs, ys = stream(7, 700, 3, 4)  # enough for the reference's arrays to grow
    one, many = (make_learner(mode, 3, 4, capacity=20) for _ in range(2))
    one.engine = many.engine = engine
    found = []
    for x, y in zip(xs, ys.tolist(), strict=True):
        predicted = one.predict_one(x)
        found.append(-1 if predicted is None else predicted)
        one.learn_one(x, y)
    parts = [many.learn_many(xs[a:b], ys[a:b]) for a, b in ((0, 1), (1, 1), (1, 500), (500, 700))]
    assert np.concatenate(parts).tolist() == found
    assert one.state() == many.state()
    assert many.predict_many(xs).tolist() == [one.predict_one(x) for x in xs]


@pytest.mark.usefixtures("cache")
@modes
def test_a_model_saved_by_numpy_goes_on_in_kernels(mode):
    xs, ys = stream(3, 600, 5, 3)
    plain, _ = pair(mode, 5, 3)
    plain.learn_many(xs[:300], ys[:300])
    fast = restore_learner(mode, plain.state())
    assert fast.learn_many(xs[300:], ys[300:]).tolist() == plain.learn_many(
        xs[300:], ys[300:]
    ).tolist()  # fmt: skip
    assert fast.state() == plain.state()


@pytest.mark.usefixtures("cache")
@modes
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000), d=st.integers(1, 3))
def test_the_same_bits_at_the_edge_of_what_floats_hold(mode, seed, d):
    rng = np.random.default_rng(seed)
    values = [0.0, -0.0, 1.0, 5e-324, 1e-300, 1e-160, 1e-8, 1e8, 1e99, 1e100, -1e100]
    xs = rng.choice(values, size=(200, d))
    plain, fast = pair(mode, d, 2, 6)
    for x, y in zip(xs, rng.integers(2, size=200).tolist(), strict=True):
        assert plain.predict_one(x) == fast.predict_one(x)
        assert plain.predict_proba_one(x).tobytes() == fast.predict_proba_one(x).tobytes()
        plain.learn_one(x, y)
        fast.learn_one(x, y)
        assert plain.state() == fast.state()


@pytest.mark.usefixtures("cache")
@modes
def test_samples_of_any_layout(mode):
    """Strided, read-only, of other types: the kernels get none of that."""
    xs, ys = stream(5, 200, 3, 3)
    plain, fast = pair(mode, 3, 3)
    wide = np.repeat(xs, 2, axis=1)[:, ::2].astype(">f8")
    wide.setflags(write=False)
    for x, strange, y in zip(xs, wide, ys, strict=True):
        assert plain.predict_one(x.tolist()) == fast.predict_one(strange)
        plain.learn_one(x.tolist(), int(y))
        fast.learn_one(strange, y)
    assert plain.state() == fast.state()
    assert (plain.predict_many(xs) == fast.predict_many(np.asfortranarray(wide))).all()


class Memory(PrototypeLearner):
    """A learner of a third party: it keeps all samples, a row a prototype."""

    def _learn(self, x, y, margin):  # noqa: ARG002
        self.add(x, y)


@pytest.mark.usefixtures("cache")
def test_a_learner_of_ones_own_votes_with_others_in_kernels():
    """Its arrays have gaps: it keeps prototypes as rows, and kernels take columns."""
    xs, ys = stream(8, 60, 3, 3)
    model = Memory(3, 3)
    model.learn_many(xs, ys)
    live, metric = model.live(), model.metric()
    plain, fast = Union(3, 3), Union(3, 3)
    plain.engine = "numpy"
    for x in xs[:20]:
        asked = (x, live, metric)
        assert plain.shares_anywhere(*asked).tobytes() == fast.shares_anywhere(*asked).tobytes()
        told = (x, model.distances(x)[::-1], live, metric)
        assert plain.shares(*told).tobytes() == fast.shares(*told).tobytes()


def test_nothing_heavy_is_loaded_before_it_is_asked_for():
    script = "import sys, protoledger.gateway.service\n"
    script += "print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


# The cache


def test_a_compiled_cache_is_loaded(unloaded, caplog):
    caplog.set_level(logging.INFO)
    with Warmup(unloaded) as warmup:
        warmup.start()
        warmup.wait()
    assert compiled.kernels() is not None
    assert "compiled kernels" in caplog.text


def test_a_little_learning_loads_nothing(unloaded):
    with Warmup(unloaded) as warmup:
        for _ in range(3):
            warmup.spent(compiled.WORTH_IT_S / 4)
        assert warmup._thread.ident is None
        warmup.spent(compiled.WORTH_IT_S / 4)
        warmup.wait()
        warmup.spent(1.0)
    assert compiled.kernels() is not None


def test_a_warmup_that_was_never_started_closes(unloaded):
    with Warmup(unloaded):
        pass
    assert compiled.kernels() is None


def damaged(cache, tmp_path, damage):
    """Return a root whose one cache is as `damage` left a good one."""
    folder = tmp_path / "root" / compiled.fingerprint()
    copy(cache, folder)
    damage(folder)
    return folder


def copy(cache, folder):
    good = cache / compiled.fingerprint()
    assert compiled.is_intact(good)
    for file in good.rglob("*"):
        if file.is_file():
            to = folder / file.relative_to(good)
            to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            to.write_bytes(file.read_bytes())


def flip(folder):
    file = next(folder.rglob("*.nbc"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGES = {
    "a bit": flip,
    "a truncated file": lambda folder: os.truncate(next(folder.rglob("*.nbi")), 10),
    "a missing file": lambda folder: next(folder.rglob("*.nbc")).unlink(),
    "a file too many": lambda folder: (folder / "more.nbc").write_bytes(b"x"),
    "no manifest": lambda folder: (folder / compiled.MANIFEST).unlink(),
    "a manifest of nothing": lambda folder: (folder / compiled.MANIFEST).write_text("{}"),
    "a manifest that is none": lambda folder: (folder / compiled.MANIFEST).write_text("[1"),
    "open to others": lambda folder: folder.chmod(0o777),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_compiled_anew_and_never_run(unloaded, tmp_path, monkeypatch, damage):
    folder = damaged(unloaded, tmp_path, DAMAGES[damage])
    assert not compiled.is_intact(folder)
    asked = []

    def compile_again(_warmup, where):
        asked.append(where)
        for file in [*where.rglob("*")]:
            if file.is_file():
                file.unlink()
        where.chmod(0o700)
        copy(unloaded, where)

    monkeypatch.setattr(Warmup, "_compile", compile_again)
    assert load_kernels(folder.parent)
    assert asked == [folder]


@pytest.mark.usefixtures("unloaded")
def test_a_compiler_that_fails_leaves_numpy(tmp_path, caplog):
    assert not load_kernels(tmp_path)
    assert "this test compiles nothing" in caplog.text
    model = make_learner("improved", 2, 2)
    assert model.learn_many([[0.0, 1.0], [0.1, 1.0]], [1, 1]).tolist() == [-1, 1]


def test_the_compilers_last_words_are_told(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "_loaded", {})
    (tmp_path / "python").write_text("#!/bin/sh\necho no LLVM here >&2; exit 3\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert not load_kernels(tmp_path)
    assert "the compiler ended with 3: no LLVM here" in caplog.text


def test_a_folder_that_cannot_be_written(unloaded, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    used = []

    def compile_here(_warmup, where):
        used.append(where)
        copy(unloaded, where)

    monkeypatch.setattr(Warmup, "_compile", compile_here)
    assert load_kernels(tmp_path / "file" / "cache")
    assert "for this run only" in caplog.text
    assert not used[0].exists()


def test_a_folder_that_others_can_write_is_not_used(unloaded, tmp_path, caplog):
    folder = damaged(unloaded, tmp_path, lambda _: None)
    folder.parent.chmod(0o777)
    assert not load_kernels(folder.parent)
    assert "others may write" in caplog.text


def test_kernels_that_disagree_are_not_used(unloaded, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "_agree", lambda: False)
    assert not load_kernels(unloaded)
    assert "numpy's results" in caplog.text
    assert compiled.kernels() is None


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("name", ["get_host_cpu_name", "get_host_cpu_features"])
def test_another_processor_has_another_cache(monkeypatch, name):
    binding = importlib.import_module("llvmlite.binding")
    here = compiled.fingerprint()
    other = "other" if name.endswith("name") else binding.FeatureMap()
    monkeypatch.setattr(binding, name, lambda: other)
    assert compiled.fingerprint() != here


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/protoledger"}, "/var/cache/protoledger/kernels"),
        ({"CACHE_DIRECTORY": "/a:/b", "XDG_CACHE_HOME": "/c"}, "/a/kernels"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/protoledger/kernels"),
        ({"HOME": "/home/pi"}, "/home/pi/.cache/protoledger/kernels"),
    ],
)
def test_where_the_cache_is(monkeypatch, environment, folder):
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert compiled.cache_folder() == Path(folder)


def is_running(pid):
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_until_gone(pid):
    for _ in range(100):
        if not is_running(pid):
            return True
        time.sleep(0.05)
    return False


linux = pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="asks Linux who is running")


@linux
def test_closing_ends_the_compiler(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(compiled, "_loaded", {})
    with Warmup(tmp_path) as warmup:
        warmup.start()
        while warmup._compiler is None:
            time.sleep(0.01)
        assert is_running(warmup._compiler.pid)
    assert warmup._compiler.returncode is not None
    assert not caplog.text


@linux
def test_a_killed_gateway_leaves_no_compiler(tmp_path):
    script = f"""
import json, time, pathlib
from protoledger.gateway.learner import Warmup
with Warmup(pathlib.Path({str(tmp_path)!r})) as warmup:
    warmup.start()
    while warmup._compiler is None:
        time.sleep(0.01)
    print(json.dumps(warmup._compiler.pid), flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as gateway:
        compiler = json.loads(gateway.stdout.readline())
        assert is_running(compiler)
        gateway.send_signal(signal.SIGKILL)
    assert wait_until_gone(compiler)


def test_a_compiler_that_was_ended_is_gone_on_with(tmp_path, monkeypatch):
    """A gateway that runs for less than compiling takes has kernels one day all the same."""
    folder, built = tmp_path / "kernels", []

    def build(begun):
        built.append(sorted(file.name for file in begun.iterdir()))
        if len(built) == 2:
            (begun / "broken").touch()
            raise OSError("no space left")
        (begun / "second").touch()
        (begun / compiled.MANIFEST).write_bytes(msgspec.json.encode(compiled.digests(begun)))

    monkeypatch.setattr(compiling, "_build", build)
    monkeypatch.setattr(compiling, "_end_with_parent", lambda: None)
    begun = tmp_path / "begun-kernels"
    begun.mkdir()
    (begun / "first").touch()  # and then its gateway ended
    compiling.main(folder, 0)
    assert compiled.is_intact(folder)
    assert sorted(compiled.digests(folder)) == ["first", "second"]
    assert not begun.exists()
    (folder / "first").write_text("damaged")
    with pytest.raises(OSError, match="no space"):
        compiling.main(folder, 0)
    compiling.main(folder, 0)
    assert built == [["first"], [], []]
    assert sorted(compiled.digests(folder)) == ["second"]
