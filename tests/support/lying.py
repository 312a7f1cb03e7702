"""Agents that lie: the real state machine over a code that does not do what it should.

A `LyingCode` is the proven code with hooks: what it shares (as contributor), reports and adds (as
holder), and how it explains itself. `make_liar` gives one to an agent of an in-memory site.
"""

from dataclasses import replace

import numpy as np

from protoledger.protocol.code.field import P
from protoledger.protocol.code.points import points
from protoledger.protocol.proofs.proven import ProvenCode
from tests.support.in_memory_site import start_agent

ROWS = 4


class LyingCode(ProvenCode):
    """Set `on_shares`, `on_reports`, `on_answer`, `on_explanation`: from true to false symbols."""

    on_shares = on_reports = on_answer = on_explanation = None

    def shares(self, secret):
        true = super().shares(secret)
        return true if self.on_shares is None else self.on_shares(self, true)

    def reports(self, shares, declared, asked):
        true = super().reports(shares, declared, asked)
        return true if self.on_reports is None else self.on_reports(self, true)

    def answer(self, shares, declared, minimum):
        true = super().answer(shares, declared, minimum)
        return true if self.on_answer is None else self.on_answer(self, true)

    def explain(self, secret, asked):
        true = super().explain(secret, asked)
        return true if self.on_explanation is None else self.on_explanation(self, true)


class _Codes(dict):
    def __init__(self, terms, hooks):
        super().__init__()
        self.terms, self.hooks = terms, hooks

    def __contains__(self, _positions):
        return True

    def __missing__(self, positions):
        code = LyingCode(self.terms.layout, positions, self.terms.plan.collusion)
        for name, hook in self.hooks.items():
            object.__setattr__(code, name, hook)
        self[positions] = code
        return code


def make_liar(site, name, **hooks):
    """Make an agent lie by these hooks from its next round on; none: be honest again."""
    if not hooks:
        start_agent(site, name)
        return
    terms = replace(site.terms)
    terms.__dict__["_codes"] = _Codes(terms, hooks)
    site.agents[name]._terms = terms


def shifted(symbols, index, by=5):
    """Add to one symbol, modulo p."""
    changed = symbols.astype(np.int64)
    changed[index] = (changed[index] + by) % P
    return changed.astype(np.uint32)


def monomial(code, shares, column, degree, by=5):
    """Add by·a^degree to one column of all shares."""
    changed = shares.astype(np.int64)
    for j, a in enumerate(points(code.positions)):
        changed[j, column] = (changed[j, column] + by * pow(a, degree, P)) % P
    return changed.astype(np.uint32)


def parts(code):
    """Where x, m, g and w begin in a share."""
    bits, coordinates = code.layout.bit_length, code.layout.length
    return {"x": 0, "m": bits, "g": bits + ROWS, "w": bits + ROWS + coordinates}


def contributor_cheats():
    """Return by name what a contributor may do to its shares; each must be caught."""

    def of_degree(part, degree):
        return lambda code, s: monomial(code, s, parts(code)[part], degree(code))

    def two_votes(code, s):
        last = parts(code)["m"] - 1
        if not code.layout.labels:  # two more bits of a channel may be a lie within its range
            return monomial(code, s, last, 0)
        return monomial(code, monomial(code, s, last, 0, 1), last - 1, 0, 1)

    return {
        "bit of 6 or 5": of_degree("x", lambda _c: 0),
        "x of degree T + 1": of_degree("x", lambda c: c.collusion + 1),
        "m of degree T + 1": of_degree("m", lambda c: c.collusion + 1),
        "g(0) != 0": of_degree("g", lambda _c: 0),
        "g of degree q": of_degree("g", lambda c: c.quorum),
        "w(0) != 0": of_degree("w", lambda _c: 0),
        "w of degree q": of_degree("w", lambda c: c.quorum),
        "two votes": two_votes,
        "one share off": lambda _c, s: shifted(s, (1, 0)),
        "noise": lambda _c, s: np.random.default_rng(1).integers(0, P, s.shape).astype(np.uint32),
    }
