"""Noise in rounds: where an agent adds it, and how the gateway says around what values are clipped.

A centre is sealed for each agent, with the announce: it is the site's last mean, noise included,
which tells no more of any agent than the sums did, but it is nothing that the broker should read.
"""

import math
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from protoledger.protocol.code import field
from protoledger.protocol.code.field import Symbols
from protoledger.protocol.code.layout import Contribution
from protoledger.protocol.errors import DecodeError
from protoledger.protocol.noise.mechanism import Noise
from protoledger.protocol.rounds.states import Opening
from protoledger.protocol.wire.messages import Announce, CentredAnnounce
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms

Charge = Callable[[int], bool]
"""Takes a round's units of ρ off an agent's budget, on disk; False if it must not contribute."""
PACE = 0.5
"""Live rounds that follow a paid one within this part of their windows' length are not paid."""


class Purse:
    """Pays for an agent's contributions, at a site's pace.

    A gateway that opens rounds faster, as one does that is restarted again and again, would spend
    its agents' budgets on minutes instead of hours. Windows of an outage may come as they like:
    there are no more of them than time has passed.

    Args:
        charge: takes a round's cost off the budget.
    """

    def __init__(self, charge: Charge) -> None:
        self._charge = charge
        self._paid_at = -math.inf

    def pay(self, terms: Terms, opening: Opening, units: int, now: float) -> bool:
        """Pay for a round; False if it must not be contributed to."""
        live = opening.announce.kept is None
        pace_s = PACE * terms.windows * terms.window_ms / 1000
        if (live and now < self._paid_at + pace_s) or not self._charge(units):
            return False
        if live:
            self._paid_at = now
        return True


def blinded(
    terms: Terms, given: Contribution, opening: Opening, purse: Purse, now: float
) -> Contribution:
    """Return what an agent shares; for a site without privacy just what was given.

    What declares something private is paid for, whatever becomes of the round; what cannot be paid
    for is not shared.
    """
    noise = terms.noise
    if noise is None:
        return given
    if noise.hides(given) and not purse.pay(terms, opening, noise.privacy.cost, now):
        return noise.nothing
    return noise.blind(given, opening.centre)


def first_centre(terms: Terms, kept: tuple[int, ...]) -> tuple[int, ...]:
    """Return around what a gateway begins to clip: what it kept, or the middle of each range."""
    if terms.noise is None:
        return ()
    return kept if terms.noise.fits(kept) else terms.noise.first_centre


def next_centre(terms: Terms, centre: tuple[int, ...], sums: Symbols) -> tuple[int, ...]:
    """Return around what values of the next round are clipped; see `Noise.next_centre`."""
    return () if terms.noise is None else terms.noise.next_centre(centre, sums)


def with_centres(
    session: Session, announce: Announce, marks: Mapping[int, bytes], centre: tuple[int, ...]
) -> Announce:
    """Seal a centre for each of those present, if there is one.

    Args:
        session: the gateway's.
        announce: without centres.
        marks: of the hellos of those present, by number, ascending.
        centre: by channel, in steps.
    """
    if not centre:
        return announce
    plain = field.to_bytes(np.array(centre, dtype=np.uint32))
    agents = session.roster.agents
    centres = session.seal_boxes(
        ((agents[number].id, mark, plain) for number, mark in marks.items()),
        announce.round_id,
        epoch=announce.session,
        bound=announce.commitment,
    )
    return CentredAnnounce(**msgspec.structs.asdict(announce), centres=tuple(centres))


def open_centre(
    session: Session, opening: Opening, me: int, noise: Noise | None
) -> tuple[int, ...]:
    """Open an agent's own centre; empty where nothing is clipped.

    Raises:
        DecodeError: if there is none for each of those present, or it is beyond a range.
        AuthenticationError: if its seal does not hold.
    """
    announce = opening.announce
    if noise is None or not isinstance(announce, CentredAnnounce):
        return ()
    present = sorted(opening.present)
    if len(announce.centres) != len(present):
        raise DecodeError(f"{len(announce.centres)} centres for {len(present)} agents")
    plain = session.open_box(
        session.roster.gateway.id,
        announce.session,
        announce.round_id,
        announce.centres[present.index(me)],
        epoch=announce.session,
        bound=announce.commitment,
    )
    centre = tuple(field.from_bytes(plain, len(noise.plain.steps)).tolist())
    if not noise.fits(centre):
        raise DecodeError("a centre beyond its channel's range")
    return centre
