"""What rounds cost: zero-concentrated differential privacy (zCDP), which adds up, and ε, which not.

A mechanism is ρ-zCDP if, for all α > 1, the Rényi divergence of order α between its outputs for two
neighbours is at most ρ·α (Bun and Steinke, TCC 2016, arXiv 1605.02065); the ρ of rounds add up,
also where what is asked next depends on what was answered. It implies (ε, δ) with, for any α > 1,

    ε = ρα + (ln(1/δ) + (α − 1) ln(1 − 1/α) − ln α) / (α − 1)

(Canonne, Kamath, Steinke, arXiv 2004.00010, proposition 12). Every α gives a true statement, so
that a search for the best one can only be too careful. All is computed with `decimal`, whose
results are the same on every machine: a site's parties derive the same noise from the same file.
"""

from collections.abc import Callable
from decimal import Context, Decimal, localcontext

UNIT = 10**9
"""ρ is counted in units of 10⁻⁹, in integers: on disk, too."""
_DIGITS, _STEPS = 30, 80
_LEAST, _MOST = Decimal(-12), Decimal(30)  # of ln(α − 1)


def epsilon_of(units: int, delta: Decimal) -> Decimal:
    """Return the ε of so many units of ρ.

    >>> units = units_of(Decimal(1), Decimal("1e-5"))
    >>> [round(float(epsilon_of(n * units, Decimal("1e-5"))), 2) for n in (1, 24, 100)]
    [1.0, 5.9, 13.93]
    """
    if not units:
        return Decimal(0)
    with localcontext(Context(prec=_DIGITS)):
        rho = Decimal(units) / UNIT
        return _smallest(lambda alpha: rho * alpha + _conversion(alpha, delta))


def units_of(epsilon: Decimal, delta: Decimal) -> int:
    """Return the most units of ρ that imply no more than ε."""
    with localcontext(Context(prec=_DIGITS)):
        rho = -_smallest(lambda alpha: (_conversion(alpha, delta) - epsilon) / alpha)
        return max(0, int(rho * UNIT))


def _conversion(alpha: Decimal, delta: Decimal) -> Decimal:
    rest = -delta.ln() + (alpha - 1) * (1 - 1 / alpha).ln() - alpha.ln()
    return rest / (alpha - 1)


def _smallest(of: Callable[[Decimal], Decimal]) -> Decimal:
    """Search for the α with the smallest value, by thirds of ln(α − 1)."""
    low, high = _LEAST, _MOST
    for _ in range(_STEPS):
        third = (high - low) / 3
        if of(1 + (low + third).exp()) < of(1 + (high - third).exp()):
            high -= third
        else:
            low += third
    return of(1 + low.exp())
