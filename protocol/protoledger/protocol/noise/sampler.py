"""The discrete Gaussian, sampled exactly: integers only, no float decides anything.

Source: Canonne, Kamath, Steinke, "The Discrete Gaussian for Differential Privacy" (NeurIPS 2020,
arXiv 2004.00010), algorithms 1 to 3. Randomness is the operating system's, by `secrets`; nothing
here is rounded, so that no low bits of a float tell what the noise hides (Mironov, CCS 2012).

How long a draw takes depends on what is drawn. It happens on the agent, once a round, and nobody
sees its time but as a part of when the boxes leave, beside the sealing of all of them.
"""

import math
import secrets
from collections.abc import Callable

Below = Callable[[int], int]
"""Draws an integer uniformly from 0 … n − 1."""


def discrete_gaussian(variance: int, below: Below = secrets.randbelow) -> int:
    """Draw an integer x with probability proportional to exp(−x²/2σ²); algorithm 3.

    Args:
        variance: σ², at least 1.
        below: where randomness comes from; tests pass what they can repeat.

    >>> import random
    >>> seeded = random.Random(1)
    >>> [discrete_gaussian(100, seeded.randrange) for _ in range(6)]
    [2, 7, -6, 3, 0, 6]
    """
    scale = math.isqrt(variance) + 1
    while True:
        drawn = _discrete_laplace(scale, below)
        # (|Y| − σ²/t)² / 2σ², times t² above and below
        excess = abs(drawn) * scale - variance
        if _bernoulli_exp(excess * excess, 2 * variance * scale * scale, below):
            return drawn


def _discrete_laplace(scale: int, below: Below) -> int:
    """Draw an integer x with probability proportional to exp(−|x|/scale); algorithm 2."""
    while True:
        low = below(scale)
        if not _bernoulli_exp(low, scale, below):
            continue
        high = 0
        while _bernoulli_exp(1, 1, below):
            high += 1
        magnitude, negative = low + scale * high, below(2)
        if magnitude or not negative:  # zero would come twice as often
            return -magnitude if negative else magnitude


def _bernoulli_exp(above: int, under: int, below: Below) -> bool:
    """Return True with probability exp(−above/under); algorithm 1."""
    while above > under:
        if not _bernoulli_exp(1, 1, below):
            return False
        above -= under
    count = 1
    while below(count * under) < above:
        count += 1
    return count % 2 == 1
