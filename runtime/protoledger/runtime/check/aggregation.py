"""What a site's aggregation really withstands: the part of the checks that needs no network."""

from collections import Counter

from protoledger.protocol.errors import ConfigurationError
from protoledger.protocol.wire.identity import Roster
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.broker.limits import limits_of
from protoledger.runtime.check.findings import Item, note, ok, skipped
from protoledger.runtime.site import SiteConfig

NAME = "aggregation"


def aggregation(site: SiteConfig, roster: Roster | None) -> Item:
    """Say which code a site runs, what it withstands, and how to get more."""
    try:
        terms = None if roster is None else site.terms(roster)
    except ConfigurationError:
        terms = None  # the files' own items say why
    if terms is None or roster is None:
        return skipped(NAME, "the site file and the roster do not fit")
    plan, holders = terms.plan, terms.plan.committee
    absent = plan.agents - terms.fewest(holders, plan.agents)
    early = min(absent, plan.missing(holders)) if holders == plan.agents else absent
    found = (
        f"{plan.validity}: {plan.agents} agents, {holders} of which hold positions; "
        f"{plan.collusion} may collude; {early} may be away before sharing, "
        f"{plan.missing(holders)} may vanish after it"
    )
    found += f"; its broker needs packets of {limits_of(terms).packet_bytes:,} bytes"
    if (privacy := terms.privacy) is not None:
        found += (
            f"; noise of {terms.minimum - plan.collusion} agents hides each: ε {privacy.epsilon:g} "
            f"a round, {privacy.budget:g} in all {privacy.rounds} rounds of the budget"
        )
    scarce = _scarce(terms, roster)
    if scarce:
        found += f"; opened only if {terms.minimum} agents fill it: {', '.join(scarce)}"
    if plan.validity == "packed":
        return note(
            NAME,
            f"{found}; one agent can bend the sums",
            "proofs need three agents for each that may collude, one more, and two for each that "
            "may vanish: with 6 agents one of each",
        )
    if plan.missing(holders) < 1:
        return note(NAME, f"{found}; an agent that vanishes loses a round", "add an agent")
    if not plan.corrects(holders):
        return note(
            NAME,
            f"{found}; an agent that lies loses rounds until it is named",
            f"with {5 * plan.collusion + 1 + 2 * plan.dropouts} agents it would be outvoted",
        )
    return ok(NAME, f"{found}; agents that lie are outvoted and named")


def _scarce(terms: Terms, roster: Roster) -> list[str]:
    """Name the private channels that few agents beyond the minimum carry."""
    carried = Counter(name for agent in roster.agents for name in set(agent.channels))
    return [
        channel.name
        for channel in terms.schema.channels
        if channel.private and carried[channel.name] < min(terms.minimum + 1, terms.plan.agents)
    ]
