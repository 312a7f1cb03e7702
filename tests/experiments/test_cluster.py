"""Experiments on a real scheduler of dask.distributed with real workers, in processes of their own.

The numbers are those of a local run bit for bit, whatever happens to workers.
"""

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from protoledger.experiments import cli
from protoledger.experiments.experiment import carry_out
from protoledger.experiments.running import cluster, worker
from protoledger.experiments.running.cluster import Cluster, ClusterError
from protoledger.experiments.running.records import read_record
from protoledger.experiments.studies import accuracy
from protoledger.gateway.learner import load_kernels
from protoledger.runtime.pki.certificates import private_pem
from tests.support import cluster_jobs
from tests.support.dask_cluster import DaskCluster
from tests.support.ports import free_port

runner = CliRunner()


@pytest.fixture(scope="module", autouse=True)
def kernels(request):
    """The tests' compiled kernels, not the user's."""
    folder = request.config.cache.mkdir("kernels")
    assert load_kernels(folder)
    return folder


@pytest.fixture(scope="module")
def two_workers(kernels, tmp_path_factory):
    """A scheduler and two workers."""
    with DaskCluster(tmp_path_factory.mktemp("dask"), kernels) as started:
        started.add_worker()
        started.add_worker()
        yield started


def ask(*words):
    return runner.invoke(cli.app, [str(word) for word in words])


def told(answer):
    return " ".join(answer.output.replace("│", "").split())


def test_the_numbers_are_those_of_a_local_run(two_workers, tmp_path):
    words = ("accuracy", "--quick", "--seeds", 1, "--out")
    here = ask(*words, tmp_path / "here")
    there = ask(*words, tmp_path / "there", "--cluster", two_workers.address)
    assert here.exit_code == there.exit_code == 0, there.output
    assert "not encrypted" not in there.output
    table = (tmp_path / "here/accuracy.csv").read_bytes()
    assert table.count(b"\n") == 5
    assert (tmp_path / "there/accuracy.csv").read_bytes() == table
    records = [tmp_path / place / "accuracy.json" for place in ("here", "there")]
    assert ask("compare", *records).output == "nothing differs\n"
    assert read_record(records[0]).jobs == read_record(records[1]).jobs


def test_jobs_that_need_a_node_get_one_there(two_workers):
    gas = cli.load("gas")
    two = replace(gas, jobs=lambda seed, quick: list(gas.jobs(seed, quick))[::2])
    there = carry_out(two, [1], quick=True, cluster=Cluster(two_workers.address))
    here = carry_out(two, [1], quick=True)
    assert there.rows == here.rows
    assert all(row["gas_k"] > 0 for row in there.rows)


class Asking(threading.Thread):
    """Runs an experiment on a cluster whose first job stops, and waits until it has."""

    def __init__(self, experiment, started):
        super().__init__()
        self.job = next(iter(experiment.jobs(1, True)))
        self.experiment, self.where = experiment, Cluster(started.address)
        self.table = self.error = None
        (started.folder / "stops").write_text(str(self.job))
        self.start()
        while not (started.folder / "stopped").exists() and self.is_alive():
            time.sleep(0.02)
        self.worker, *self.its = map(int, (started.folder / "stopped").read_text().split())

    def run(self):
        try:
            self.table = carry_out(self.experiment, [1], quick=True, cluster=self.where)
        except ClusterError as error:
            self.error = error


def test_a_worker_that_is_killed_costs_its_job_only(kernels, tmp_path):
    # each job has a node, which has to end with its worker
    some = replace(cli.load("accuracy"), run=cluster_jobs.run, chain=True)
    with DaskCluster(tmp_path, kernels, **{cluster_jobs.FOLDER: str(tmp_path)}) as started:
        workers = [started.add_worker(), started.add_worker()]
        asking = Asking(some, started)
        its = [psutil.Process(child) for child in asking.its]
        assert asking.worker in [process.pid for process in workers]
        assert "anvil" in [child.name() for child in its]
        os.kill(asking.worker, signal.SIGKILL)
        asking.join()
    assert psutil.wait_procs(its, timeout=60)[1] == []
    begun = (tmp_path / "begun").read_text().splitlines()
    jobs = list(some.jobs(1, True))
    assert sorted(begun) == sorted([*map(str, jobs), str(asking.job)])
    assert asking.table.rows == [row for job in jobs for row in accuracy.run(job)]


def test_a_scheduler_that_is_killed_is_told(kernels, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 5.0)
    some = replace(cli.load("accuracy"), run=cluster_jobs.run)
    with DaskCluster(tmp_path, kernels, **{cluster_jobs.FOLDER: str(tmp_path)}) as started:
        started.add_worker()
        asking = Asking(some, started)
        started.processes[0].kill()
        asking.join()
    assert f"the scheduler at {started.address} is gone" in str(asking.error)


def test_a_job_that_ends_every_worker_is_named(kernels, tmp_path):
    ends = replace(cli.load("accuracy"), run=cluster_jobs.end_worker)
    setting = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with DaskCluster(tmp_path, kernels, **setting) as started:
        started.add_worker()
        with pytest.raises(ClusterError, match=r"Job\(data='phishing'.* was given up"):
            carry_out(ends, [1], quick=True, cluster=Cluster(started.address))


def certificate(folder, name):
    """A certificate that is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(made.public_bytes(Encoding.PEM))
    files[1].write_bytes(private_pem(key))
    return files


def test_over_tls_only_who_has_a_certificate_of_the_cluster_is_served(
    kernels, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster, "CONNECT_S", 3.0)
    own, key = certificate(tmp_path, "cluster")
    other, other_key = certificate(tmp_path, "other")
    tls = ["--tls-ca-file", str(own), "--tls-cert", str(own), "--tls-key", str(key)]
    words = ("accuracy", "--quick", "--seeds", "1", "--cluster")
    with DaskCluster(tmp_path, kernels, tls) as started:
        named = ("--cluster-ca", own, "--cluster-cert", other, "--cluster-key", other_key)
        refused = ask(*words, started.address, *named)
        assert refused.exit_code == 69
        assert f"no scheduler answers at {started.address}" in told(refused)
        plain = ask(*words, started.address.replace("tls", "tcp"))
        assert plain.exit_code == 69
        assert "no scheduler answers at tcp:" in told(plain)
        monkeypatch.undo()
        started.add_worker()
        named = ("--cluster-ca", own, "--cluster-cert", own, "--cluster-key", key)
        served = ask(*words, started.address, *named)
        assert served.exit_code == 0, served.output
        assert "accuracy: 1 seeds" in served.output


def test_a_worker_with_other_code_is_refused_by_name(two_workers, monkeypatch):
    here = {**worker.traits_here(), "numpy": "1.0", "sources": "0123456789ab"}
    monkeypatch.setattr(cluster, "traits_here", lambda: here)
    answer = ask("accuracy", "--quick", "--cluster", two_workers.address)
    assert answer.exit_code == 69
    assert "has other code than this process" in told(answer)
    assert f"numpy: {worker.traits_here()['numpy']} there, 1.0 here" in told(answer)
    assert "there, 0123456789ab here" in told(answer)


def test_a_worker_that_comes_later_is_refused_too(two_workers, monkeypatch):
    here = {**worker.traits_here(), "numpy": "1.0"}
    monkeypatch.setattr(cluster, "traits_here", lambda: here)
    monkeypatch.setattr(cluster, "check_workers", lambda *_: None)
    with pytest.raises(ClusterError, match=r"a worker of tcp.* numpy: .* there, 1\.0 here"):
        carry_out(cli.load("accuracy"), [1], quick=True, cluster=Cluster(two_workers.address))


def test_no_scheduler_no_worker_no_extra(kernels, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    nobody = f"tcp://127.0.0.1:{free_port()}"
    answer = ask("accuracy", "--quick", "--cluster", nobody)
    assert answer.exit_code == 69
    assert f"no scheduler answers at {nobody}" in told(answer)
    with DaskCluster(tmp_path, kernels) as started:
        monkeypatch.setattr(cluster, "CONNECT_S", 3.0)
        answer = ask("accuracy", "--quick", "--cluster", started.address)
        assert answer.exit_code == 69
        assert f"has no workers; start some: dask worker {started.address}" in told(answer)
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = ask("accuracy", "--quick", "--cluster", nobody)
    assert answer.exit_code == 69
    assert "install protoledger[cluster]" in told(answer)


ALL_FILES = ["--cluster-ca", "none.crt", "--cluster-cert", "b", "--cluster-key", "c"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cluster", "http://localhost:1"], "is no scheduler's address"),
        (["--cluster", "localhost"], "is no scheduler's address"),
        (["--cluster", "tls://localhost:1"], "needs --cluster-ca, --cluster-cert and"),
        (["--cluster", "localhost:1", "--cluster-key", "a"], "tcp://localhost:1 is not encrypted"),
        (["--cluster-ca", "a"], "no use without --cluster"),
        (["--cluster", "tls://h:1", *ALL_FILES], "none.crt: there is no such file"),
    ],
)
def test_addresses_that_are_none(words, said):
    answer = ask("accuracy", "--quick", *words)
    assert answer.exit_code == 2
    assert said in told(answer)


def test_what_takes_times_stays_here(two_workers):
    answer = ask("consensus", "--quick", "--cluster", two_workers.address)
    assert answer.exit_code == 69
    assert "consensus takes times" in told(answer)


@pytest.mark.parametrize(
    ("address", "is_open"),
    [
        ("tcp://localhost:1", False),
        ("tcp://127.0.0.2:1", False),
        ("tcp://[::1]:1", False),
        ("tcp://192.0.2.1:1", True),
        ("tcp://head:1", True),
    ],
)
def test_an_open_address_is_warned_of(address, is_open):
    assert Cluster(address).open_to_others == is_open
