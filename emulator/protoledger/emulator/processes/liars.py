"""Agents that lie on purpose, for emulations: what a broken or captured device could send.

The state machine is the real one; its code does not do what it should. What each attack is to show:
an invalid contribution is caught and its owner named; false reports and sums are corrected and
their holder named; a lie within a channel's range moves a mean by its share of the range.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from protoledger.edge.agent import Agent
from protoledger.protocol.code import field
from protoledger.protocol.code.field import P, Symbols
from protoledger.protocol.code.layout import Contribution, Flags
from protoledger.protocol.code.points import points
from protoledger.protocol.plans import Code
from protoledger.protocol.proofs.challenge import Challenge
from protoledger.protocol.proofs.proven import ProvenCode, Secret
from protoledger.protocol.wire.terms import Terms

Attack = Literal["range", "beyond", "votes", "mask", "noise", "reports", "sums"]
ATTACKS: tuple[str, ...] = get_args(Attack)
WITHIN_RANGE = "range"
"""The one attack that proofs let through: every value at the top, and a vote for the last label."""


def as_read(
    values: NDArray[np.float64], tops: NDArray[np.float64], agents: int, liars: int
) -> NDArray[np.float64]:
    """Return what a site reads of rows, float64 (n, C), if so many always say the top.

    >>> as_read(np.array([[10.0]]), np.array([90.0]), agents=8, liars=1)
    array([[20.]])
    """
    moved: NDArray[np.float64] = values + (tops - values) * liars / agents
    return moved


@dataclass(frozen=True)
class LyingCode(ProvenCode):
    """A proven code whose owner lies.

    Args:
        attack: how.
    """

    attack: Attack = "beyond"

    def secret(self, given: Contribution) -> Secret:
        """Draw the polynomials, of other readings if these are the lie."""
        if self.attack == WITHIN_RANGE:
            steps = np.array(self.layout.steps, dtype=np.int64)
            values = np.where(given.values >= 0, steps, -1)
            votes = np.where(given.votes >= 0, self.layout.labels - 1, -1)
            given = Contribution(values, votes)
        return super().secret(given)

    def shares(self, secret: Secret) -> Symbols:
        """Share what is not valid."""
        true = super().shares(secret)
        bits = self.layout.bit_length
        match self.attack:
            case "beyond":  # a first bit of 1,000: far beyond the channel's range
                return self._shifted(true, 0, 1000)
            case "votes":
                return self._shifted(true, bits - 1, 4)
            case "mask":  # moves the sum itself, and leaves every bit as it is
                return self._shifted(true, bits + 4, 1000)
            case "noise":
                return field.uniform(true.size).reshape(true.shape)
            case _:
                return true

    def _shifted(self, shares: Symbols, column: int, by: int) -> Symbols:
        changed = shares.astype(np.int64)
        for position in range(len(points(self.positions))):
            changed[position, column] = (changed[position, column] + by) % P
        return changed.astype(np.uint32)

    def reports(self, shares: Symbols, declared: Flags, asked: Challenge) -> Symbols:
        """Report falsely on everybody."""
        true = super().reports(shares, declared, asked)
        if self.attack != "reports":
            return true
        return (true.astype(np.int64) + 1).astype(np.uint32) % np.uint32(P)

    def answer(self, shares: Symbols, declared: Flags, minimum: int) -> Symbols:
        """Add wrongly."""
        true = super().answer(shares, declared, minimum)
        if self.attack != "sums":
            return true
        return (true.astype(np.int64) + 1000).astype(np.uint32) % np.uint32(P)


@dataclass(frozen=True)
class _LyingTerms(Terms):
    """Terms as everybody's, whose codes lie."""

    attack: Attack = "beyond"

    def code(self, positions: int) -> Code:
        """Return a lying code where there are proofs."""
        true = super().code(positions)
        if not isinstance(true, ProvenCode):
            return true
        return LyingCode(self.layout, positions, self.plan.collusion, self.attack)


def corrupt(agent: Agent, attack: Attack) -> Agent:
    """Make an agent lie from its next round on."""
    agent.change_terms(lambda terms: _lying(terms, attack))
    return agent


def _lying(terms: Terms, attack: Attack) -> Terms:
    names = "schema", "plan", "minimum", "windows", "window_ms", "share_ms", "answer_ms"
    return _LyingTerms(**{name: getattr(terms, name) for name in names}, attack=attack)
