"""Makes what an emulated Pi needs and keeps it: `prepare.py`, before the tests, which then wait for
nothing that is loaded.
"""

import sys

from tests.pi.system.pi_disk import base
from tests.pi.system.pi_tools import BuildError

if __name__ == "__main__":
    try:
        base()
    except BuildError as error:
        sys.exit(f"test-pi: {error}")
