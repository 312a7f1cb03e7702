"""The recorded vectors, which `protoledger vectors make` writes without `protoledger.protocol`."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protoledger.protocol.code import field
from protoledger.protocol.code.layout import Contribution, Layout
from protoledger.protocol.code.packed import PackedCode
from protoledger.protocol.code.points import points
from protoledger.protocol.errors import AuthenticationError, ConfigurationError, DecodeError
from protoledger.protocol.noise.mechanism import Noise, Privacy
from protoledger.protocol.plans import Plan
from protoledger.protocol.proofs.challenge import challenge, commitment
from protoledger.protocol.proofs.judging import judge, open_sum
from protoledger.protocol.proofs.proven import ProvenCode, Secret
from protoledger.protocol.rounds.blinding import open_centre
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity, Member
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema, Window
from protoledger.protocol.wire.sealing import Session, mark_of
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.identity_files import load_roster, write_roster

FOLDER = Path(__file__).parent / "vectors"


def load(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def u32(rows):
    return np.array(rows, dtype=np.uint32)


FIELD, CODE, SCHEMA, MEMBERS, MESSAGES, NOISE, BAD = (
    load(f"{name}.json")
    for name in ("field", "code", "schema", "members", "messages", "noise", "bad")
)
SHAPES = {shape.__name__: shape for shape in messages._DECODERS}


def each(cases, name="what"):
    return pytest.mark.parametrize("case", cases, ids=[str(case.get(name)) for case in cases])


@each(FIELD["matmul"], "none")
def test_products_are_exact(case):
    left = np.array(case["left"], dtype=np.int64)
    assert field.matmul(left, u32(case["right"])).tolist() == case["product"]


@each(CODE["packed"], "K")
def test_packed_shares_and_sums_are_the_slow_implementation_s(case, monkeypatch):
    length, positions = len(case["decoded"]), case["positions"]
    layout = Layout(1, (1000,) * length, 0, (True,) * length)
    code = PackedCode(layout, positions, case["K"], case["M"])
    shares, declared = [], []
    for agent in case["agents"]:
        masks = u32(agent["masks"])
        monkeypatch.setattr(field, "uniform", lambda count, m=masks: m.reshape(-1)[:count])
        given = Contribution(np.array([agent["vector"]]), np.array([-1]))
        shares.append(code.shares(given))
        declared.append(given.declared)
        assert shares[-1].tolist() == agent["shares"]
    declared = np.array(declared)
    answers = {
        j: code.answer(np.array([one[j] for one in shares]), declared, 3) for j in range(positions)
    }
    assert [answers[j].tolist() for j in range(positions)] == case["sums"]
    for quorum in case["quorums"]:
        found = code.open({j: answers[j] for j in quorum}, declared, 3)
        assert found.tolist() == case["decoded"]
    assert [a % field.P for a in points(positions)] == case["points"]


def shared(code, given, agent):
    """An agent's shares, which are the vector's, as are its bits and what it declares."""
    bits = code.layout.bits(given).tolist()
    assert bits == agent["low"][0][: len(bits)]
    assert code.layout.pack_declared(given.declared).hex() == agent["declared"]
    found = code.shares(Secret(u32(agent["low"]), u32(agent["high"]), given.declared))
    assert found.tolist() == agent["shares"]
    return found


def held_by_all(code, case, shares, declared, asked):
    """What all holders answer, which is the vector's; their reports are, too, and prove all."""
    reports, answers = {}, {}
    for j in range(code.positions):
        held = code.counted(np.array([one[j] for one in shares]), declared)
        reports[j] = code.reports(held, declared, asked)
        assert reports[j].tolist() == [agent["reports"][j] for agent in case["agents"]]
        answers[j] = code.answer(held, declared, case["minimum"])
        assert answers[j].tolist() == case["answers"][j]
    assert all(verdict.proven for verdict in judge(code, reports, {}, {}, case["T"] - 1))
    return answers


@each(CODE["proven"], "positions")
def test_proven_shares_reports_and_sums_are_the_slow_implementation_s(case):
    steps = tuple(case["steps"])
    layout = Layout(case["windows"], steps, case["labels"], (True,) * len(steps))
    code = ProvenCode(layout, case["positions"], case["T"])
    assert code.quorum == case["q"]
    rho = bytes.fromhex(case["rho"])
    assert commitment(rho).hex() == case["commitment"]
    asked = challenge(layout, bytes.fromhex(case["announce_digest"]), rho)
    shares, declared = [], []
    for agent in case["agents"]:
        given = Contribution(np.array(agent["values"]), np.array(agent["votes"]))
        shares.append(shared(code, given, agent))
        declared.append(given.declared)
    declared = np.array(declared)
    answers = held_by_all(code, case, shares, declared, asked)
    assert layout.openable(declared, case["minimum"]).nonzero()[0].tolist() == case["opened"]
    assert open_sum(code.quorum, answers, 0).sums.tolist() == case["sums"]


def test_windows_become_the_same_contributions():
    schema = Schema(tuple(Channel(*row) for row in SCHEMA["channels"]), tuple(SCHEMA["labels"]))
    for (values, label), expected in zip(SCHEMA["rows"], SCHEMA["contributions"], strict=True):
        read = np.array([[np.nan if v is None else v for v in values]])
        vote = np.array([NO_LABEL if label is None else label])
        given = schema.contribution(Window(read, vote))
        flags = schema.layout(1).pack_declared(given.declared).hex()
        assert [given.values[0].tolist(), int(given.votes[0]), flags] == expected
    assert schema.digest.hex() == SCHEMA["digest"]


@each(SCHEMA["terms"], "numbers")
def test_terms_have_the_same_digest(case):
    channels = tuple(
        Channel(*row, private=private)
        for row, private in zip(SCHEMA["channels"], case["private"], strict=True)
    )
    agents, collusion, dropouts, committee, partitions, minimum, *rest = case["numbers"]
    plan = Plan(agents, collusion, dropouts, case["validity"], committee, partitions)
    schema = Schema(channels, tuple(SCHEMA["labels"]))
    assert Terms(schema, plan, minimum, *rest).digest.hex() == case["digest"]


@each(MEMBERS["good"], "members")
def test_sets_are_packed_the_same(case):
    data = bytes.fromhex(case["hex"])
    assert messages.pack_members(set(case["members"])) == data
    assert messages.unpack_members(data, 1000) == frozenset(case["members"])


@each(MEMBERS["bad"])
def test_bad_sets_are_refused(case):
    with pytest.raises(DecodeError):
        messages.unpack_members(bytes.fromhex(case["hex"]), case["agents"])


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Sessions with the vectors' keys, which have met by the vectors' hellos."""
    fleet = Identity(Ed25519PrivateKey.generate())
    gateway, *agents = (Member(i, key, tuple(c), v) for i, key, c, v in MESSAGES["members"])
    path = tmp_path_factory.mktemp("roster") / "roster.json"
    write_roster(path, MESSAGES["site"], gateway, tuple(agents), fleet)
    roster = load_roster(path, fleet.public_key)
    assert roster.digest.hex() == MESSAGES["roster"]
    found = {}
    for name, keys in MESSAGES["parties"].items():
        private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(keys["identity"]))
        found[name] = session = Session(name, Identity(private), roster)
        session._key = X25519PrivateKey.from_private_bytes(bytes.fromhex(keys["session"]))
        public = session._key.public_key().public_bytes_raw()
        body = messages.SessionKey(roster.digest, bytes.fromhex(keys["nonce"]), public)
        session.hello = session.sign(Kind.KEY, body)
        session.mark = mark_of(session.hello)
        assert session.mark.hex() == keys["mark"]
    for session in found.values():
        for case in MESSAGES["signed"]:
            if case["kind"] == Kind.KEY:
                session.heard(case["sender"], bytes.fromhex(case["hex"]), 0.0)
    return found


def mark(name):
    return bytes.fromhex(MESSAGES["parties"][name]["mark"])


EPOCH = mark("attic.gateway")


@each(MESSAGES["signed"], "kind")
def test_signed_envelopes_are_the_same_bytes(sessions, case):
    shapes = {
        Kind.KEY: messages.SessionKey,
        Kind.ANNOUNCE: messages.Announce,
        Kind.DELIVER: messages.Delivered,
        Kind.RESULT: messages.Result,
    }
    kind = Kind(case["kind"])
    shape = shapes[kind]
    body = messages.decode(bytes.fromhex(case["body"]), shape)
    data = bytes.fromhex(case["hex"])
    assert sessions[case["sender"]].sign(kind, body) == data
    for session in sessions.values():
        assert session.check(data, kind, case["sender"]).hex() == case["body"]


def test_hellos_are_the_same_bytes(sessions):
    for case in MESSAGES["signed"]:
        if case["kind"] == Kind.KEY:
            assert sessions[case["sender"]].hello.hex() == case["hex"]


@each(MESSAGES["sealed"], "hex")
def test_seals_are_the_same_bytes(sessions, case):
    sender, receiver = sessions[case["sender"]], sessions[case["receiver"]]
    sender._last_sealed.clear()
    bound, plain = bytes.fromhex(case["bound"]), bytes.fromhex(case["plain"])
    kind, data = Kind(case["kind"]), bytes.fromhex(case["hex"])
    message = messages.decode(data, messages.Sealed)
    common = {"epoch": EPOCH, "bound": bound}
    to, by = mark(receiver.me), mark(sender.me)
    if kind is Kind.BOX:
        (box,) = sender.seal_boxes([(receiver.me, to, plain)], case["round"], **common)
        assert box == bytes(message.box)
        assert receiver.open_box(sender.me, by, case["round"], box, **common) == plain
        return
    sealed = sender.seal(receiver.me, to, kind, case["round"], **common, plain=plain)
    assert sealed == data
    assert receiver.open(message, by, **common) == plain


@pytest.mark.parametrize("shape", ["Boxes", "Delivery", "Answer"])
def test_bodies_of_seals_are_the_same_bytes(shape):
    for text in MESSAGES["bodies"][shape]:
        data = bytes.fromhex(text)
        assert messages.encode(messages.decode(data, SHAPES[shape])) == data


@each(BAD["decode"])
def test_bad_bytes_are_refused(case):
    with pytest.raises(DecodeError, match=case["shape"]):
        messages.decode(bytes.fromhex(case["hex"]), SHAPES[case["shape"]])


@each(BAD["symbols"])
def test_bad_symbols_are_refused(case):
    with pytest.raises(DecodeError):
        field.from_bytes(bytes.fromhex(case["hex"]), case["count"])


@each(BAD["envelope"])
def test_bad_envelopes_are_refused(sessions, case):
    with pytest.raises(AuthenticationError):
        sessions["attic.agent-01"].check(
            bytes.fromhex(case["hex"]), Kind(case["kind"]), case["sender"]
        )


@pytest.mark.parametrize(
    "point", [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"]
)
def test_a_session_key_of_low_order_is_refused(sessions, point):
    """The exchange would give zero, which everybody knows."""
    cheat, other = sessions["attic.agent-00"], sessions["attic.agent-01"]
    hello = cheat.sign(Kind.KEY, messages.SessionKey(cheat.roster.digest, b"n" * 16, point))
    other.heard(cheat.me, hello, 1e9)
    assert not other.knows(cheat.me, mark_of(hello))
    assert other.newest(cheat.me) == mark(cheat.me)


def test_a_session_key_for_another_roster_is_refused(sessions):
    cheat, other = sessions["attic.agent-00"], sessions["attic.agent-01"]
    hello = cheat.sign(Kind.KEY, messages.SessionKey(bytes(32), b"n" * 16, b"k" * 32))
    other.heard(cheat.me, hello, 2e9)
    assert not other.knows(cheat.me, mark_of(hello))


@each(BAD["seal"])
def test_bad_seals_are_refused(sessions, case):
    bound = bytes.fromhex(MESSAGES["sealed"][3]["bound"])
    message = messages.decode(bytes.fromhex(case["hex"]), messages.Sealed)
    with pytest.raises(AuthenticationError):
        sessions["attic.gateway"].open(message, mark("attic.agent-00"), epoch=EPOCH, bound=bound)


def test_the_good_seal_holds_where_the_bad_ones_do_not(sessions):
    """Else the test before would be content with a wrong key."""
    case = MESSAGES["sealed"][3]
    message = messages.decode(bytes.fromhex(case["hex"]), messages.Sealed)
    bound, by = bytes.fromhex(case["bound"]), mark("attic.agent-00")
    gateway = sessions["attic.gateway"]
    assert gateway.open(message, by, epoch=EPOCH, bound=bound)
    for wrong in ({"epoch": bytes(16), "bound": bound}, {"epoch": EPOCH, "bound": bytes(32)}):
        with pytest.raises(AuthenticationError):
            gateway.open(message, by, **wrong)


def test_a_roster_that_the_fleet_did_not_sign_is_refused(tmp_path):
    fleet, other = (Identity(Ed25519PrivateKey.generate()) for _ in range(2))
    gateway, *agents = (Member(i, key, tuple(c), v) for i, key, c, v in MESSAGES["members"])
    path = tmp_path / "roster.json"
    write_roster(path, "attic", gateway, tuple(agents), other)
    with pytest.raises(ConfigurationError, match="not signed by the fleet"):
        load_roster(path, fleet.public_key)
    write_roster(path, "attic", gateway, tuple(agents), fleet)
    honest = path.read_text()
    load_roster(path, fleet.public_key)
    swapped = honest.replace(agents[0].public_key, other.public_key.hex())
    assert swapped != honest
    path.write_text(swapped)
    with pytest.raises(ConfigurationError, match="not signed by the fleet"):
        load_roster(path, fleet.public_key)


# -- noise ---------------------------------------------------------------------------------------


def noisy_terms(case, *, private=True):
    channels = tuple(
        Channel(*row, private=private)
        for row, private in zip(case["channels"], case["private"], strict=True)
    )
    agents, collusion, dropouts, committee, partitions, minimum, *rest = case["numbers"]
    plan = Plan(agents, collusion, dropouts, case["validity"], committee, partitions)
    privacy = Privacy(*case["privacy"]) if private else None
    return Terms(Schema(channels, tuple(case["labels"])), plan, minimum, *rest, privacy)


@each(NOISE["sites"], "privacy")
def test_sites_have_the_same_noise(case):
    terms = noisy_terms(case)
    assert terms.digest.hex() == case["digest"]
    noise, privacy = terms.noise, terms.privacy
    assert [privacy.cost, privacy.rounds] == [case["cost"], case["rounds"]]
    assert privacy.units(privacy.budget) == case["budget"]
    assert noise.widths == case["widths"]
    assert noise.variances == case["variances"]
    assert noise.bounds == case["K"]
    assert list(terms.layout.steps) == case["steps"]
    assert terms.layout.labels == 0


@each(NOISE["sites"], "privacy")
def test_contributions_with_noise_are_the_same(case, monkeypatch):
    noise, centre = noisy_terms(case).noise, tuple(case["centre"] or ())
    for given in case["contributions"]:
        windows = noise.plain.windows
        monkeypatch.setattr(
            Noise, "_draw", lambda _, x=given["noise"], n=windows: np.array([x] * n)
        )
        plain = Contribution(np.array([given["values"]] * windows), np.full(windows, given["vote"]))
        found = noise.blind(plain, centre)
        assert found.values.tolist() == [given["shared"]] * windows
        noise.layout.check(found)
        assert (found.votes == -1).all()


@each(NOISE["refused_sites"])
def test_sites_that_may_have_no_noise_are_refused(case):
    assert noisy_terms(case, private=False).noise is None
    with pytest.raises(ConfigurationError, match="privacy"):
        noisy_terms(case)


@each(NOISE["rounds"], "positions")
def test_a_round_with_noise_is_the_slow_implementation_s(case, monkeypatch):
    terms = noisy_terms(NOISE["sites"][case["site"]])
    noise, layout, centre = terms.noise, terms.layout, tuple(case["centre"])
    assert list(layout.steps) == case["steps"]
    code = ProvenCode(layout, case["positions"], case["T"])
    assert code.quorum == case["q"]
    asked = challenge(layout, bytes.fromhex(case["announce_digest"]), bytes.fromhex(case["rho"]))
    shares, declared = [], []
    for agent in case["agents"]:
        monkeypatch.setattr(Noise, "_draw", lambda _, x=agent["noise"]: np.array([x]))
        given = Contribution(np.array([agent["plain"]]), np.array([agent["plain_vote"]]))
        given = noise.blind(given, centre)
        assert given.values.tolist() == agent["values"]
        shares.append(shared(code, given, agent))
        declared.append(given.declared)
    declared = np.array(declared)
    answers = held_by_all(code, case, shares, declared, asked)
    sums = open_sum(code.quorum, answers, 0).sums
    assert sums.tolist() == case["sums"]
    opened, counts = layout.openable(declared, case["minimum"]), layout.counts(declared)
    assert opened.nonzero()[0].tolist() == case["opened"]
    assert counts.tolist() == case["counts"]
    assert noise.estimates(sums, opened, counts, centre).tolist() == case["estimates"]


@each(NOISE["liars"])
def test_a_liar_that_calls_it_noise_is_not_proven(case):
    layout = Layout(1, tuple(case["steps"]), 0, (True,) * len(case["steps"]))
    code = ProvenCode(layout, case["positions"], case["T"])
    asked = challenge(layout, bytes.fromhex(case["announce_digest"]), bytes.fromhex(case["rho"]))
    agent = case["agent"]
    declared = layout.unpack_declared(bytes.fromhex(agent["declared"]))
    shares = code.shares(Secret(u32(agent["low"]), u32(agent["high"]), declared))
    assert shares.tolist() == agent["shares"]
    reports = {
        j: code.reports(shares[j : j + 1], declared[None], asked) for j in range(code.positions)
    }
    assert [reports[j][0].tolist() for j in reports] == agent["reports"]
    assert [verdict.proven for verdict in judge(code, reports, {}, {}, case["T"] - 1)] == [False]


@each(NOISE["declared"])
def test_declared_bits_that_no_noisy_round_has_are_refused(case):
    layout = noisy_terms(NOISE["sites"][0]).layout
    layout.unpack_declared(bytes.fromhex("1f"))
    with pytest.raises(DecodeError):
        layout.unpack_declared(bytes.fromhex(case["hex"]))


def centre_of(session, data):
    """What an agent opens of an announce that is meant for it and one more."""
    announce = messages.decode(data, messages.CentredAnnounce)
    opening = SimpleNamespace(announce=announce, present=frozenset({0, 1}))
    me = [agent.id for agent in session.roster.agents].index(session.me)
    return open_centre(session, opening, me, noisy_terms(NOISE["sites"][0]).noise)


def test_announces_with_centres_are_the_same_bytes(sessions):
    (case,) = NOISE["announces"]
    gateway, data = sessions["attic.gateway"], bytes.fromhex(case["body"])
    announce = messages.decode(data, messages.CentredAnnounce)
    assert gateway.sign(Kind.ANNOUNCE, announce).hex() == case["hex"]
    for box, sent in zip(case["boxes"], announce.centres, strict=True):
        gateway._last_sealed.clear()
        receiver, plain = box["receiver"], bytes.fromhex(box["plain"])
        common = {"epoch": EPOCH, "bound": announce.commitment}
        to = [(receiver, mark(receiver), plain)]
        assert gateway.seal_boxes(to, box["round"], **common) == [sent]
        assert sent.hex() == box["box"]
        assert list(centre_of(sessions[receiver], data)) == case["centre"]


@each(NOISE["decode"])
def test_bytes_that_are_no_announce_of_such_a_site_are_refused(case):
    with pytest.raises(DecodeError, match=case["shape"]):
        messages.decode(bytes.fromhex(case["hex"]), SHAPES[case["shape"]])


@each(NOISE["open"])
def test_centres_that_are_none_are_refused(sessions, case):
    error = {"seal": AuthenticationError, "centre": DecodeError}[case["fails"]]
    with pytest.raises(error):
        centre_of(sessions["attic.agent-00"], bytes.fromhex(case["hex"]))
