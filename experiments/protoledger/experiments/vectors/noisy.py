"""Vectors of sites with noise: how much, what is shared, a round, liars, announces with centres."""

from collections.abc import Sequence

from protoledger.experiments.vectors.draws import Content, drawn, seed
from protoledger.experiments.vectors.messages import (
    ANNOUNCE,
    BOX,
    FIRST,
    GATEWAY,
    ROUND,
    SECOND,
    VectorSite,
)
from protoledger.experiments.vectors.proven import ProvenCase
from protoledger.experiments.vectors.slow import algebra, noise, wire
from protoledger.experiments.vectors.slow.algebra import P
from protoledger.experiments.vectors.slow.noise import NoisySite

HOUR_MS, DROPOUTS = 3_600_000, 1
SITE = NoisySite(10, 1, 9, 1, [100, 20, 3], [True, True, False], 2, 3.0, 1e-5, 30.0, 0.05)
OTHERS = (
    NoisySite(20, 2, 18, 24, [1023], [True], 0, 1.0, 1e-6, 10.0, None),
    NoisySite(50, 3, 47, 2, [3], [False], 3, 0.5, 1e-5, 60.0, None),
)
CENTRE = [60, 0, 1]


def noise_vectors() -> Content:
    """Return all of it: good sites, rounds and announces, and bad ones."""
    announces, decode, opened = _announces()
    return {
        "sites": [_site(SITE, CENTRE), *[_site(other, None) for other in OTHERS]],
        "refused_sites": _refused(),
        "rounds": [NoisyCase().content()],
        "liars": [LiarCase(what, bits).content() for what, bits in _lies()],
        "declared": [
            {"what": "a vote beside the labels' channels", "hex": "3f"},
            {"what": "a bit beyond the last", "hex": "5f"},
            {"what": "a byte more", "hex": "1f00"},
        ],
        "announces": announces,
        "decode": decode,
        "open": opened,
    }


def _terms(site: NoisySite, validity: str = "proven", window_ms: int = HOUR_MS) -> Content:
    """Return a site's terms, with channels and labels that are named by their number."""
    channels: list[wire.Channel] = [(f"c{c}", "", 0, s, 1) for c, s in enumerate(site.steps)]
    labels = [f"label {n}" for n in range(site.labels)]
    positions = min(site.agents, max(10, 5 * site.collusion + 1 + 2 * DROPOUTS))
    numbers = [site.agents, site.collusion, DROPOUTS, positions, None, site.minimum]
    numbers += [site.windows, window_ms, 60_000, 60_000]
    privacy = [site.epsilon, site.delta, site.budget, site.clip]
    digest = wire.schema_digest(channels, labels)
    return {
        "channels": channels, "labels": labels, "validity": validity, "numbers": numbers,
        "private": site.private, "privacy": privacy,
        "digest": wire.terms_digest(digest, validity, numbers, site.private, privacy).hex(),
    }  # fmt: skip


def _site(site: NoisySite, centre: list[int] | None) -> Content:
    if noise.refused(site, "proven", HOUR_MS):
        raise AssertionError("a good site that is refused")
    much = noise.amounts(site)
    given: list[Content] = []
    for n in range(3):
        values = [s * n // 2 for s in site.steps]
        if n == 1:
            values[-1] = -1
        window = values, site.labels - 1 if n else -1
        x = [(0, k, -k)[n] for k in much.bounds]
        given.append(
            {"values": values, "vote": window[1], "noise": x,
             "shared": noise.shared(site, much, centre, window, x)}
        )  # fmt: skip
    return {
        **_terms(site), "cost": much.cost, "budget": much.budget, "rounds": much.rounds,
        "widths": much.widths, "variances": much.variances, "K": much.bounds,
        "steps": much.steps, "centre": centre, "contributions": given,
    }  # fmt: skip


def _refused() -> list[Content]:
    wide = SITE._replace(steps=[10**6], private=[True], epsilon=0.05, budget=1.0, clip=None)
    cases: list[tuple[str, NoisySite, str, int]] = [
        ("nine agents", SITE._replace(agents=9, minimum=8), "proven", HOUR_MS),
        ("half an hour", SITE, "proven", HOUR_MS // 2),
        ("no proofs", SITE, "packed", HOUR_MS),
        ("a budget below one round", SITE._replace(budget=2.9), "proven", HOUR_MS),
        ("an epsilon that costs nothing", SITE._replace(epsilon=1e-5), "proven", HOUR_MS),
        ("sums beyond the field", wide, "proven", HOUR_MS),
    ]
    for what, site, validity, window_ms in cases:
        if not noise.refused(site, validity, window_ms):
            raise AssertionError(f"{what}: not refused")
    return [{"what": case[0], **_terms(*case[1:])} for case in cases]


class NoisyCase(ProvenCase):
    """A round of ten agents with noise; two lack a channel, one more another channel and a vote."""

    agents, minimum = SITE.agents, SITE.minimum

    def __init__(self) -> None:
        self.much = noise.amounts(SITE)
        super().__init__(6, SITE.collusion, self.much.steps, 0, SITE.windows, "noise ")
        self.private = [*SITE.private, *[True] * SITE.labels]

    def content(self) -> Content:
        """Return the case, with what agents read, and what the gateway makes of the sums."""
        found = super().content()
        sums: list[int | None] = [None] * self.coordinates
        for i, total in zip(found["opened"], found["sums"], strict=True):
            sums[i] = total
        counts = self.counts(found["agents"])
        guess = noise.estimates(SITE, self.much, CENTRE, sums, counts)
        estimates = [guess[i] for i in found["opened"]]
        return {"site": 0, "centre": CENTRE, **found, "counts": counts, "estimates": estimates}

    def agent(self, n: int) -> Content:
        """Return what an agent shares, with what it read and drew."""
        values, vote = self._read(n)
        plain = {"plain": values, "plain_vote": vote, "noise": self._drawn(n)}
        return {**plain, **super().agent(n)}

    def rows(self, n: int) -> list[wire.Row]:
        """Return what an agent shares: labels are channels, and nobody votes."""
        return [(noise.shared(SITE, self.much, CENTRE, self._read(n), self._drawn(n)), -1)]

    def _read(self, n: int) -> tuple[list[int], int]:
        raw = drawn(f"{self.name}read {n}", len(SITE.steps) + 1)
        values = [v % (s + 1) for v, s in zip(raw, SITE.steps, strict=False)]
        lacks = {1: 0, 3: 1, 4: 1}
        if n in lacks:
            values[lacks[n]] = -1
        return values, -1 if n == 1 else int(raw[-1] % 3 > 0)

    def _drawn(self, n: int) -> list[int]:
        """Draw evenly within ±K; the first two agents' noise is at either end."""
        if n < 2:
            return [(k, -k)[n] for k in self.much.bounds]
        raw = drawn(f"{self.name}noise {n}", len(self.much.bounds))
        return [v % (2 * k + 1) - k for v, k in zip(raw, self.much.bounds, strict=True)]


class LiarCase(ProvenCase):
    """What a liar shares that calls it noise; no polynomial fits the holders' reports."""

    agents = 1

    def __init__(self, what: str, bits: Sequence[int]) -> None:
        super().__init__(4, SITE.collusion, _liar_s_steps(), 0, 1, f"{what} ")
        self.what, self.lie = what, bits

    def content(self) -> Content:
        """Return the case."""
        agent = self.agent(0)
        reports = agent["reports"]
        at_zero = [
            algebra.at_zero({j: reports[j][algebra.ROWS + i] for j in range(self.positions)})
            for i in range(algebra.ROWS)
        ]
        if not all(at_zero):
            raise AssertionError("a lie that fits")
        return {"what": self.what, **self.sizes(), "agent": agent, "z_at_zero": at_zero}

    def vector(self, rows: Sequence[wire.Row]) -> list[int]:
        """Return the lie, whatever was read."""
        del rows
        return list(self.lie)


def _liar_s_steps() -> list[int]:
    """One channel and one label of the site, as wide as their noise makes them."""
    steps = noise.amounts(SITE).steps
    return [steps[0], steps[-1]]


def _lies() -> list[tuple[str, list[int]]]:
    channel, label = (top.bit_length() for top in _liar_s_steps())
    most = [1] * (channel + label)
    return [
        ("one step beyond K", [2, *most[1:]]),
        ("one step below zero", [P - 1, *[0] * (channel + label - 1)]),
        ("a label of twice all that noise could be", [*most[:channel], *[2] * label]),
    ]


# -- centres -------------------------------------------------------------------------------------


def _symbols(numbers: Sequence[int]) -> bytes:
    return b"".join(n.to_bytes(4, "little") for n in numbers)


class _Centres:
    """Announces of a site that clips, to two agents."""

    def __init__(self) -> None:
        self.site = VectorSite()
        self.commitment = wire.commitment(self.site.rho)

    def sealed(self, to: str, plain: bytes, bound: bytes = b"") -> Content:
        found = self.site.sealed(BOX, GATEWAY, to, bound or self.commitment, plain)
        box = found.pop("hex")[-2 * (len(plain) + 16) :]
        return {**found, "box": box}

    def box(self, to: str, plain: bytes = _symbols(CENTRE), bound: bytes = b"") -> bytes:
        return bytes.fromhex(self.sealed(to, plain, bound)["box"])

    def announce(self, *more: object, round_id: int = ROUND) -> bytes:
        return self.site.announce(round_id, [1, 0], None, [], [FIRST, SECOND], *more)


def _announces() -> tuple[list[Content], list[Content], list[Content]]:
    """Return a good announce; bytes that are none; and announces with a centre that is none."""
    with_ = _Centres()
    first, second = with_.box(FIRST), with_.box(SECOND)
    body = with_.announce([first, second])
    boxes = [with_.sealed(name, _symbols(CENTRE)) for name in (FIRST, SECOND)]
    good = {**with_.site.signed(ANNOUNCE, GATEWAY, body), "centre": CENTRE, "boxes": boxes}
    decode = [
        ("CentredAnnounce", "no centres where values are clipped", with_.announce()),
        ("Announce", "centres where nothing is clipped", body),
        ("CentredAnnounce", "centres in one string", with_.announce(first + second)),
        ("CentredAnnounce", "1001 centres", with_.announce([b""] * 1001)),
        ("CentredAnnounce", "a centre of 8193 bytes", with_.announce([bytes(8193)])),
        ("CentredAnnounce", "an extra field", with_.announce([first, second], [])),
        ("CentredAnnounce", "trailing byte", body + b"\0"),
    ]
    unsealed = [
        ("another agent's", [second, first], ROUND),
        ("a changed tag", [first[:-1] + bytes([first[-1] ^ 1]), second], ROUND),
        ("bound to another commitment", [with_.box(FIRST, bound=seed("other")), second], ROUND),
        ("of another round", [first, second], ROUND + 1),
    ]
    beyond = [CENTRE[0] + 41, *CENTRE[1:]]
    wrong = [
        ("one centre for two agents", [first]),
        ("three centres for two agents", [first, second, second]),
        ("beyond a channel's range", [with_.box(FIRST, _symbols(beyond)), second]),
        ("the symbol p", [with_.box(FIRST, _symbols([P, *CENTRE[1:]])), second]),
        ("a channel less", [with_.box(FIRST, _symbols(CENTRE[1:])), second]),
        ("a channel more", [with_.box(FIRST, _symbols([*CENTRE, 0])), second]),
    ]
    opened = [("seal", what, with_.announce(c, round_id=r)) for what, c, r in unsealed]
    opened += [("centre", what, with_.announce(c)) for what, c in wrong]
    return (
        [good],
        [{"shape": shape, "what": what, "hex": data.hex()} for shape, what, data in decode],
        [{"fails": fails, "what": what, "hex": data.hex()} for fails, what, data in opened],
    )
