"""Rounds after an outage: each kept window is asked for, and nothing is asked for for ever."""

from types import SimpleNamespace

from protoledger.gateway.rounds import PASSES, CatchUp
from protoledger.protocol.wire.messages import Kept

LIVE = SimpleNamespace(kept=None)


def catching_up(**changes):
    config = SimpleNamespace(**{"catch_up": 9000, "every_s": 5.0, **changes})
    return CatchUp(SimpleNamespace(minimum=3, windows=1), config)


def asked(catch_up, kept):
    """Which numbers follow a live round in which agents said that they keep these."""
    catch_up.ended(LIVE, dict(enumerate(kept)))
    numbers = []
    while catch_up.asks:
        one = catch_up.take()
        numbers.append(one.number)
        catch_up.ended(SimpleNamespace(kept=one), {})
    return numbers


def test_as_many_windows_are_asked_for_as_a_sum_takes_agents():
    assert asked(catching_up(), [Kept(4, 7), Kept(4, 6), Kept(4, 5), Kept(3, 9)]) == [1, 2, 3, 4, 5]
    assert asked(catching_up(), [Kept(4, 7), Kept(4, 6), Kept(3, 9)]) == []
    assert asked(catching_up(catch_up=2), [Kept(4, 7)] * 3) == [1, 2]


def test_agents_that_keep_what_they_cannot_give_are_not_asked_for_ever():
    """In a soak a site ran six empty rounds after each live one, for minutes."""
    catch_up, stuck = catching_up(), [Kept(4, 6)] * 5
    rounds = [len(asked(catch_up, stuck)) for _ in range(100)]
    assert rounds == [6] * PASSES + [0] * (100 - PASSES)
    assert asked(catch_up, [Kept(200, 3)] * 5) == [1, 2, 3], "the next outage"
