"""Import Ethereum's libraries without the recursion limit that they leave behind.

py_ecc, which eth_account and so web3 load, raises Python's limit to 100,000. With that, a node's
answer of so many brackets overflows the C stack: the process dies of a segmentation fault where it
should have refused the answer.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def limit_kept() -> Iterator[None]:
    """Set the recursion limit back to what it was, whatever is imported inside.

    >>> import sys
    >>> before = sys.getrecursionlimit()
    >>> with limit_kept():
    ...     sys.setrecursionlimit(before + 1)
    >>> sys.getrecursionlimit() == before
    True
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
