"""An agent's side of a round ("A round"): messages in, messages out."""

from .packing import RefusedError, decode, pack, pack_members, unpack_members
from .seals import (
    ANNOUNCE,
    ANSWER,
    BOX,
    BOXES,
    DELIVER,
    KEY,
    RESULT,
    commitment,
    mark_of,
    open_signed,
    sha256,
    verify,
)
from .sharing import Packed, Proven, from_bytes, smallest, to_bytes


class Terms:
    """What a site agreed on."""

    def __init__(self, layout, digest, validity, numbers):
        self.layout, self.digest, self.validity = layout, digest, validity
        (self.agents, self.collusion, self.dropouts, self.positions, self.parts, self.minimum,
         self.windows, _, share_ms, answer_ms) = numbers  # fmt: skip
        self.round_s = 1.1 * (share_ms + answer_ms) / 1000

    def code(self, positions):
        if self.validity == "proven":
            if positions < 3 * self.collusion + 1:
                raise RefusedError("too few positions")
            return Proven(self.layout, positions, self.collusion)
        if positions < self.collusion + 2:
            raise RefusedError("too few positions")
        return Packed(self.layout, positions, self.collusion, self.dropouts, self.parts)

    def smallest(self, code, present):
        found = smallest(code.positions, self.collusion, present, code.depth)
        return max(found, self.minimum)


class Opening:
    """An announce, read."""

    def __init__(self, body, terms):
        (self.round, self.session, self.roster, self.terms, present, marks, self.holders,
         self.commitment, self.kept, self.asked, self.hellos,
         ) = decode(body, "Announce")  # fmt: skip
        self.digest = sha256(body)
        self.present = unpack_members(present, terms.agents)
        if len(marks) != 16 * len(self.present):
            raise RefusedError("marks of others than those present")
        cut = [marks[i : i + 16] for i in range(0, len(marks), 16)]
        self.marks = dict(zip(self.present, cut, strict=True))
        distinct = set(self.holders)
        if len(distinct) != len(self.holders) or not distinct <= set(self.present):
            raise RefusedError("holders that are not distinct and present")
        if len(distinct) > terms.positions or max(distinct) >= 128:
            raise RefusedError("another committee than the site's")


class Agent:
    """Gives `windows(opening)` to each round that it may take part in, once.

    `take` returns [(steps or −1 by channel, vote or −1), …] and has spent them, on disk, when it
    returns.
    """

    def __init__(self, keys, terms, take):
        self.keys, self.terms, self.take = keys, terms, take
        self.number = keys.roster.agents.index(keys.me)
        self.last = {}
        self.state = self.memory = None
        self.answered = None

    def handle(self, kind, sender, payload):
        """Return [(kind, payload), …] to publish; raises `RefusedError`."""
        roster = self.keys.roster
        if kind == KEY:
            if sender in roster.keys and sender != self.keys.me and len(payload) <= 512:
                self.keys.heard(sender, payload)
            return []
        if sender != roster.gateway:
            raise RefusedError("not the gateway's")
        if kind == ANNOUNCE:
            return self.announced(open_signed(roster, payload, kind, sender))
        if kind == DELIVER:
            return self.delivered(decode(payload, "Sealed"))
        if kind == RESULT:
            return self.ended(decode(open_signed(roster, payload, kind, sender), "Result"))
        raise RefusedError("nothing that agents read")

    def announced(self, body):
        opening, terms, keys = Opening(body, self.terms), self.terms, self.keys
        keys.public_of(keys.roster.gateway, opening.session)
        if opening.round <= self.last.get(opening.session, 0):
            raise RefusedError("no later round")
        if (opening.roster, opening.terms) != (keys.roster.digest, terms.digest):
            raise RefusedError("of another roster or other terms")
        if self.number not in opening.present:
            raise RefusedError("a round without this agent")
        code = terms.code(len(opening.holders))
        if len(opening.present) < terms.smallest(code, len(opening.present)):
            raise RefusedError("too few are present")
        if keys.epoch not in (None, opening.session):
            keys.renew()
            return [(KEY, keys.hello)]
        if opening.marks[self.number] != keys.mark:
            return [(KEY, keys.hello)]
        lacking = self.lacking(opening)
        explanation = self.explain(opening)
        self.last[opening.session], keys.epoch = opening.round, opening.session
        if lacking:
            self.state = opening, None, None, b""
            body = [b"", None, explanation, pack_members(lacking), []]
            sent, self.state = self.seal(BOXES, opening.digest, body), None
            return [(BOXES, sent)]
        return self.share(opening, code, self.take(opening), explanation)

    def lacking(self, opening):
        """Keep the hellos that the announce carries; whose are needed, and not here?"""
        keys, owners = self.keys, {mark: n for n, mark in opening.marks.items()}
        for hello in opening.hellos:
            if mark_of(hello) not in owners:
                raise RefusedError("the hello of somebody who is not present")
            keys.heard(keys.roster.agents[owners[mark_of(hello)]], hello)
        needed = opening.present if self.number in opening.holders else opening.holders
        lacking = []
        for n in needed:
            try:
                if n != self.number:
                    keys.public_of(keys.roster.agents[n], opening.marks[n])
            except RefusedError:
                lacking.append(n)
        return lacking

    def share(self, opening, code, rows, explanation):
        drawn, declared = code.draw(rows), self.terms.layout.pack_flags(rows)
        shares, boxes = code.shares(drawn), []
        for position, n in enumerate(opening.holders):
            box = b""
            if n != self.number:
                box = self.keys.seal_box(
                    self.keys.roster.agents[n], opening.marks[n], BOX, opening.round,
                    opening.session, opening.digest + declared, to_bytes(shares[position]),
                )  # fmt: skip
            boxes.append(box)
        own = None
        if self.number in opening.holders:
            own = shares[opening.holders.index(self.number)]
        self.state = opening, code, own, declared
        self.memory = opening, code, drawn, declared
        self.answered = None
        return [
            (BOXES, self.seal(BOXES, opening.digest, [declared, None, explanation, b"", boxes]))
        ]

    def seal(self, kind, bound, body):
        opening = self.state[0]
        return self.keys.seal(self.keys.roster.gateway, opening.session, kind, opening.round,
                              opening.session, bound, pack(body))  # fmt: skip

    def explain(self, opening):
        for number, round_id, rho in opening.asked:
            if number != self.number or self.memory is None:
                continue
            of, code, drawn, declared = self.memory
            if (of.session, of.round, of.commitment) != (
                opening.session,
                round_id,
                commitment(rho),
            ):
                continue
            if isinstance(code, Proven):
                flags = self.terms.layout.unpack_flags(declared)
                return [
                    round_id,
                    to_bytes(code.explain(drawn, flags, code.challenge(of.digest, rho))),
                ]
        return None

    def delivered(self, sealed):
        keys, terms = self.keys, self.terms
        _, kind, round_id, sender, _, _ = sealed
        if self.state is None or (kind, sender) != (DELIVER, keys.roster.gateway):
            raise RefusedError("no delivery of a round that runs")
        opening, code, own, declared = self.state
        if round_id != opening.round or own is None:
            raise RefusedError("another round's delivery, or one for holders")
        plain = keys.open(sealed, opening.session, opening.session, opening.digest)
        signature, members, bits, rho, boxes = decode(plain, "Delivery")
        said = pack([round_id, opening.digest, members, bits])
        verify(keys.roster, DELIVER, sender, said, signature)
        if self.answered is not None:
            if self.answered[0] != said:
                raise RefusedError("the gateway delivered two sets")
            return [(ANSWER, self.answered[1])]
        numbers = unpack_members(members, terms.agents)
        if self.number not in numbers or not set(numbers) <= set(opening.present):
            raise RefusedError("a set of others")
        if len(numbers) < terms.smallest(code, len(opening.present)):
            raise RefusedError("a set that is too small")
        if commitment(rho) != opening.commitment:
            raise RefusedError("another ρ")
        width = len(declared)
        if len(bits) != width * len(numbers) or len(boxes) != len(numbers):
            raise RefusedError("declared bits or boxes of another set")
        rows = [bits[i : i + width] for i in range(0, len(bits), width)]
        if rows[numbers.index(self.number)] != declared:
            raise RefusedError("this agent declared something else")
        answer = self.answer(opening, code, own, numbers, rows, rho, boxes)
        self.answered = said, self.seal(ANSWER, sha256(said), answer)
        return [(ANSWER, self.answered[1])]

    def answer(self, opening, code, own, numbers, rows, rho, boxes):
        flags = [self.terms.layout.unpack_flags(row) for row in rows]
        shares, unopened = [], []
        for n, row, box in zip(numbers, rows, boxes, strict=True):
            if n == self.number:
                shares.append(own)
                continue
            try:
                plain = self.keys.open_box(self.keys.roster.agents[n], opening.marks[n], BOX,
                                           opening.round, opening.session, opening.digest + row,
                                           box)  # fmt: skip
                shares.append(from_bytes(plain, code.share_length))
            except RefusedError:
                unopened.append(n)
                shares.append(None)
        reports, sums = [], []
        if isinstance(code, Proven):
            challenge = code.challenge(opening.digest, rho)
            for n, share, flag in zip(numbers, shares, flags, strict=True):
                skipped = n == self.number or share is None
                reports += [0] * 8 if skipped else code.report(share, flag, challenge)
        if not unopened:
            sums = code.answer(shares, flags, self.terms.minimum)
        return [pack_members(unopened), to_bytes(reports), to_bytes(sums)]

    def ended(self, result):
        _, digest, _, _, reason = result
        if self.state is None or digest != self.state[0].digest:
            raise RefusedError("the result of another round")
        unheard = self.state[2] is not None and self.answered is None
        self.state = None
        # a broker may have repeated a former hello of ours
        return [(KEY, self.keys.hello)] if reason or unheard else []
