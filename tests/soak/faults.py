"""What happens to the deployment, and when: drawn once, by a seed, before it starts."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

KILL, CUT, STOP = "power cut", "link cut", "restart"
EVERY_S = 60.0
QUIET_S = 300.0
"""At the end nothing happens for so long (or a fifth of the time): what is wrong then stays."""
SETTLE_S = 120.0


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that goes wrong, and how long it stays so."""

    at_s: float
    kind: str
    target: str
    lasts_s: float


def draw(
    seconds: float,
    seed: int,
    *,
    agents: Sequence[str],
    gateways: Sequence[str],
    spared: Sequence[str],
) -> list[Fault]:
    """Draw the faults of a run, at most one at a time for each target.

    Args:
        seconds: how long the run takes.
        seed: the same one gives the same faults.
        agents: names of agents.
        gateways: names of gateways; each has a link to the chain, too.
        spared: processes that are never killed, so that their memory is seen over the whole run.
    """
    chance = random.Random(seed)
    quiet_s = min(QUIET_S, seconds / 5)
    kinds = [
        (KILL, [name for name in agents if name not in spared], 4),
        (KILL, [name for name in gateways if name not in spared], 1),
        (CUT, list(agents), 4),
        (CUT, list(gateways), 1),
        (CUT, [f"{name}-chain" for name in gateways], 2),
        (KILL, ["broker"], 1),
        (STOP, ["broker"], 1),
        (STOP, ["chain"], 1),
    ]
    free_at: dict[str, float] = {}
    found = []
    now = min(SETTLE_S, seconds / 10)
    while (now := now + chance.expovariate(1 / EVERY_S)) < seconds - quiet_s:
        kind, targets, _ = chance.choices(kinds, [weight for *_, weight in kinds])[0]
        target = chance.choice(targets)
        longest = min(180.0, seconds - quiet_s - now)
        lasts_s = min(longest, chance.choice([1.0, 10.0, 30.0, 60.0, 180.0]))
        if now >= free_at.get(target, 0.0):
            free_at[target] = now + lasts_s + 30.0  # a service manager waits, and it has to start
            found.append(Fault(now, kind, target, lasts_s))
    return found


def shown(faults: Sequence[Fault]) -> str:
    """Count them by kind, for people."""
    kinds = sorted((f.kind, f.target.split("-chain")[0].split(".")[-1][:7]) for f in faults)
    counted = [(pair, len(list(group))) for pair, group in itertools.groupby(kinds)]
    return ", ".join(f"{number} {kind} of {target}" for (kind, target), number in counted)
