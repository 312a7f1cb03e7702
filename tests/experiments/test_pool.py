"""Jobs in processes of this machine: what happens to these when the one that asked is killed."""

import os
import subprocess
import sys
import time

import psutil

ASKING = """
import sys, time
from pathlib import Path
from protoledger.experiments.running import pool

pool.compiled.load = lambda: None  # these jobs learn nothing

def job(number):
    (Path(sys.argv[1]) / f"job-{number}").touch()
    time.sleep(600)

list(pool.run_here(job, range(2), chain=True, processes=2))
"""


def test_workers_and_nodes_end_with_a_process_that_is_killed(tmp_path):
    command = [sys.executable, "-c", ASKING, str(tmp_path)]
    with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path)}) as asking:
        while len(list(tmp_path.glob("job-*"))) < 2:
            assert asking.poll() is None
            time.sleep(0.05)
        its = psutil.Process(asking.pid).children(recursive=True)
        names = sorted(child.name() for child in its)
        asking.kill()
    left = psutil.wait_procs(its, timeout=60)[1]
    for process in left:
        process.kill()
    assert left == []
    assert names.count("anvil") == 2
    assert len(names) == 5, "two workers, two nodes, and what watches these"
