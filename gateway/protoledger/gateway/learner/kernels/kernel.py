"""How a kernel is compiled: at import, for one signature, cached on disk."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function for numba's `signature`, division by zero as numpy has it.

    Without fastmath and without contraction: a kernel must give its numpy twin's bits.
    """

    def compiled(function: Callable[P, R]) -> Callable[P, R]:
        made = numba.njit(signature, cache=True, error_model="numpy")(function)
        return cast("Callable[P, R]", made)

    return compiled
