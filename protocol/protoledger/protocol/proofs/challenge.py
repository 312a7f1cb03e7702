"""The challenge: coefficients that nobody knew while contributions were shared.

The gateway draws 32 bytes ρ, commits to them in its announce and shows them once all boxes are
here. From ρ and the announce's digest come four independent rows of coefficients, the same for all
holders and contributors. The same, because different challenges to different holders would give
away every secret that the masks hide; committed, because a gateway that chose it later could
choose one under which nothing is masked; and four rows of 31 bits, because one row lets a cheat
pass with probability 2/p.

Soundness: a contribution that breaks a condition passes with probability about 2⁻¹²⁴, unless its
owner knew ρ beforehand. Only the gateway could have given it away, against its own sum.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from protoledger.protocol.code.field import Floats, P, Symbols
from protoledger.protocol.code.layout import Layout
from protoledger.protocol.code.points import limbs

ROWS = 4
RHO_BYTES = 32
_COMMITMENT_DOMAIN = b"protoledger commitment v3\0"
_CHALLENGE_DOMAIN = b"protoledger challenge v3\0"


@dataclass(frozen=True)
class Challenge:
    """Coefficients, uint32 below p, `ROWS` rows each.

    Attributes:
        bits: S, one column a bit or vote.
        conditions: Q, one column a condition: each bit is 0 or 1, each window's votes are as many
            as declared.
        masks: U, one column an opened coordinate's mask.
        parted: S, Q and U side by side, ready for `points.times`.
    """

    bits: Symbols = field(repr=False)
    conditions: Symbols = field(repr=False)
    masks: Symbols = field(repr=False)
    parted: Floats = field(repr=False)


def commitment(rho: bytes) -> bytes:
    """Return what the announce carries of ρ."""
    return hashlib.sha256(_COMMITMENT_DOMAIN + rho).digest()


def challenge(layout: Layout, announce_digest: bytes, rho: bytes) -> Challenge:
    """Derive the challenge by SHAKE128; four bytes a coefficient, the top bit dropped, p as 0.

    >>> layout = Layout(windows=1, steps=(6,), labels=2, private=(True,))
    >>> found = challenge(layout, bytes(32), bytes(32))
    >>> found.bits.shape, found.conditions.shape, found.masks.shape
    ((4, 5), (4, 6), (4, 3))
    """
    sizes = layout.bit_length, layout.bit_length + layout.windows, layout.length
    width = sum(sizes)
    stream = hashlib.shake_128(_CHALLENGE_DOMAIN + announce_digest + rho)
    raw = np.frombuffer(stream.digest(4 * ROWS * width), dtype="<u4") & np.uint32(P)
    rows = (raw % np.uint32(P)).reshape(ROWS, width)  # 0 twice as likely as others: 2⁻³¹
    first, second = sizes[0], sizes[0] + sizes[1]
    return Challenge(rows[:, :first], rows[:, first:second], rows[:, second:], limbs(rows))
