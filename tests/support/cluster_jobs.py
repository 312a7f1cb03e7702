"""What the tests of clusters let workers run: an experiment's jobs, and what befalls them."""

import os
import time
from pathlib import Path

import psutil

from protoledger.experiments.studies import accuracy

FOLDER = "CLUSTER_TEST_FOLDER"


def run(job):
    """Run a job and note that it began; the one that `stops` names stops, the first time."""
    folder = Path(os.environ[FOLDER])
    with (folder / "begun").open("a") as file:
        file.write(f"{job}\n")
    if (folder / "stops").read_text() == str(job) and not (folder / "stopped").exists():
        started = " ".join(str(child.pid) for child in psutil.Process().children())
        (folder / "new").write_text(f"{os.getpid()} {started}")
        (folder / "new").rename(folder / "stopped")
        time.sleep(600)
    return accuracy.run(job)


def end_worker(_):
    """End the process that runs this job."""
    os._exit(9)
