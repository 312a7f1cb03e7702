"""Makes what an emulated Pi needs and keeps it: `prepare.py`, before the tests, which then wait for
nothing that is loaded.
"""

import sys

from tests.pi.pi_packages import packages
from tests.pi.pi_system import system
from tests.pi.pi_tools import BuildError

if __name__ == "__main__":
    try:
        system()
        packages()
    except BuildError as error:
        sys.exit(f"test-pi: {error}")
