"""Tries to open device nodes, where the agent's unit has systemd start it: in the agent's place.

Writes for each node `open`, or the name of the error: EPERM is the unit's device policy, EACCES the
node's mode, ENOENT a /dev without it.
"""

import errno
import json
import os
import sys
from pathlib import Path


def _opened(node):
    try:
        os.close(os.open(node, os.O_RDWR | os.O_NONBLOCK))
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"


if __name__ == "__main__":
    result, *nodes = sys.argv[1:]
    Path(result).write_text(json.dumps({node: _opened(node) for node in nodes}))
