"""Avalanche's network, parted: in network namespaces of its own, so as root. Minutes; by hand.

`make validators`, then `pytest -m long tests/emulator/networks/test_parted.py -s`.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from protoledger.contracts.errors import ToolMissingError
from protoledger.emulator.processes.networks import program_of
from tests.support import houses
from tests.support.isolation import isolated

SCENARIO = Path(__file__).with_name("parted_avalanche.py")


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_parted_avalanche_loses_and_undoes_nothing() -> None:
    isolation = isolated()
    if isolation is None or not houses.possible():
        pytest.skip("needs root, unshare and ip")
    try:
        program_of("avalanche")
    except ToolMissingError as error:
        pytest.skip(str(error))
    options = ["-p", "no:cacheprovider", "-o", "timeout=900", "-v"]
    run = subprocess.run(
        [*isolation, sys.executable, "-m", "pytest", *options, SCENARIO],
        cwd=SCENARIO.parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout
    assert "2 passed" in run.stdout
