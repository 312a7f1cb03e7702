"""Who holds a position in a round: those that answer, in an order that rotates."""

from protoledger.protocol.plans import Plan
from protoledger.protocol.rounds.blame import Blame


def choose(plan: Plan, blame: Blame, round_id: int, present: frozenset[int]) -> tuple[int, ...]:
    """Choose the holders of a round, by position.

    Positions rotate with the rounds, so that a holder that answers wrongly only at some positions
    is found like any other.

    Args:
        plan: of the site.
        blame: who holds none for now.
        round_id: of the round.
        present: agents that may contribute.
    """
    unseated = blame.unseated(round_id)
    able = sorted(
        (n for n in present if n < plan.candidates),
        key=lambda n: (blame.until(n) if n in unseated else 0, n),
    )
    willing = [n for n in able if n not in unseated]
    chosen = sorted(willing[: plan.committee])
    if len(willing) < plan.least_positions:
        # those that get theirs back first: without a quorum there would never be another round
        chosen = sorted(able[: plan.least_positions])
    turn = round_id % max(1, len(chosen))
    return tuple(chosen[turn:] + chosen[:turn])
