"""The recorded vectors, which `make_vectors` wrote without this package's code."""

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protoledger.protocol.code import field
from protoledger.protocol.code.seats import Plan
from protoledger.protocol.code.shares import Code
from protoledger.protocol.errors import (
    AuthenticationError,
    ConfigurationError,
    DecodeError,
    RefusedError,
)
from protoledger.protocol.rounds.hash_chain import Course, Followed
from protoledger.protocol.wire import messages
from protoledger.protocol.wire.identity import Identity, Member
from protoledger.protocol.wire.messages import Kind
from protoledger.protocol.wire.schema import NO_LABEL, Channel, Schema, Window
from protoledger.protocol.wire.sealing import Session
from protoledger.protocol.wire.terms import Terms
from protoledger.runtime.identity_files import load_roster, write_roster
from tests.support import make_vectors

FOLDER = Path(__file__).parent / "vectors"


def load(name):
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def u32(rows):
    return np.array(rows, dtype=np.uint32)


FIELD, CODE, SCHEMA, MEMBERS, MESSAGES, BAD = (
    load(f"{name}.json") for name in ("field", "code", "schema", "members", "messages", "bad")
)
SHAPES = {shape.__name__: shape for shape in messages._DECODERS}


def each(cases, name="what"):
    return pytest.mark.parametrize("case", cases, ids=[str(case.get(name)) for case in cases])


@each(FIELD["matmul"], "none")
def test_products_are_exact(case):
    left = np.array(case["left"], dtype=np.int64)
    assert field.matmul(left, u32(case["right"])).tolist() == case["product"]


@each(CODE["cases"], "K")
def test_shares_and_sums_are_the_slow_implementations(case, monkeypatch):
    code = Code(case["K"], case["T"], case["D"])
    shares = []
    for agent in case["agents"]:
        masks = u32(agent["masks"])

        def given(count, masks=masks):
            assert count == masks.size
            return masks.reshape(-1)

        monkeypatch.setattr(field, "uniform", given)
        shares.append(code.encode(u32(agent["vector"])))
        assert shares[-1].tolist() == agent["shares"]
    sums = [field.add(np.stack(rows)) for rows in zip(*shares, strict=True)]
    assert [row.tolist() for row in sums] == case["sums"]
    for quorum in case["quorums"]:
        decoded = code.decode({j: sums[j] for j in quorum}, len(case["decoded"]))
        assert decoded.tolist() == case["decoded"]


def test_points_are_those_of_the_document():
    for case in CODE["cases"]:
        powers = Code(case["K"], case["T"], case["D"])._powers % field.P
        assert powers[:, 1].tolist() == case["points"]


def test_windows_become_the_same_symbols():
    schema = Schema(tuple(Channel(*row) for row in SCHEMA["channels"]), tuple(SCHEMA["labels"]))
    for (values, label), expected in zip(SCHEMA["rows"], SCHEMA["symbols"], strict=True):
        read = np.array([[np.nan if v is None else v for v in values]])
        vote = np.array([NO_LABEL if label is None else label])
        assert schema.symbols(Window(read, vote)).tolist() == expected
    assert schema.digest.hex() == SCHEMA["digest"]


@each(SCHEMA["terms"], "numbers")
def test_terms_have_the_same_digest(case):
    channels = tuple(
        Channel(*row, private=private)
        for row, private in zip(SCHEMA["channels"], case["private"], strict=True)
    )
    agents, collusion, dropouts, partitions, minimum, windows, share_ms, sum_ms = case["numbers"]
    plan = Plan(agents, collusion, dropouts, partitions)
    schema = Schema(channels, tuple(SCHEMA["labels"]))
    terms = Terms(schema, plan, minimum, windows, share_ms, sum_ms)
    assert terms.digest.hex() == case["digest"]


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
        found[name] = Session(name, Identity(private), roster)
        found[name].nonce = bytes.fromhex(keys["nonce"])
        found[name]._key = X25519PrivateKey.from_private_bytes(bytes.fromhex(keys["session"]))
    for session in found.values():
        for case in MESSAGES["signed"]:
            if case["kind"] == Kind.KEY:
                session.meet(case["sender"], bytes.fromhex(case["hex"]))
    return found


@each(MESSAGES["signed"], "kind")
def test_signed_envelopes_are_the_same_bytes(sessions, case):
    kind, shapes = Kind(case["kind"]), {Kind.KEY: messages.SessionKey}
    shape = shapes.get(kind) or getattr(messages, kind.name.capitalize())
    body = messages.decode(bytes.fromhex(case["body"]), shape)
    data = bytes.fromhex(case["hex"])
    assert sessions[case["sender"]].sign(kind, body) == data
    for session in sessions.values():
        assert session.check(data, kind, case["sender"]).hex() == case["body"]


def test_hellos_are_the_same_bytes(sessions):
    for case in MESSAGES["signed"]:
        if case["kind"] == Kind.KEY:
            assert sessions[case["sender"]].hello().hex() == case["hex"]


@each(MESSAGES["revealed"], "step")
def test_statements_of_a_course_are_the_same_bytes(case):
    first = messages.decode(bytes.fromhex(MESSAGES["announce"]), messages.Announce)
    said = messages.decode(bytes.fromhex(case["hex"]), messages.Revealed)
    followed = Followed(Course(first))
    assert followed.course.step(said.kind, said.round_id) == case["step"]
    assert messages.encode(followed.check(said)).hex() == case["body"]
    followed.advance(said)
    with pytest.raises(RefusedError):
        followed.check(said)


@each(BAD["revealed"])
def test_bad_steps_are_refused(case):
    first = messages.decode(bytes.fromhex(MESSAGES["announce"]), messages.Announce)
    said = messages.decode(bytes.fromhex(case["hex"]), messages.Revealed)
    with pytest.raises((AuthenticationError, RefusedError)):
        Followed(Course(first)).check(said)


@each(MESSAGES["sealed"], "kind")
def test_seals_are_the_same_bytes(sessions, case):
    sender, receiver = sessions[case["sender"]], sessions[case["receiver"]]
    epoch = bytes.fromhex(MESSAGES["parties"]["attic.gateway"]["nonce"])
    bound, plain = bytes.fromhex(case["bound"]), bytes.fromhex(case["plain"])
    kind, data = Kind(case["kind"]), bytes.fromhex(case["hex"])
    box = sender.seal(receiver.me, kind, case["round"], epoch=epoch, bound=bound, plain=plain)
    assert box == data
    message = messages.decode(data, messages.Sealed)
    assert receiver.open(message, epoch=epoch, bound=bound) == plain


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
    known = other.session_of(cheat.me)
    hello = cheat.sign(Kind.KEY, messages.SessionKey(cheat.roster.digest, b"n" * 16, point))
    with pytest.raises(AuthenticationError, match="bad session key"):
        other.meet(cheat.me, hello)
    assert other.session_of(cheat.me) == known


def test_a_session_key_for_another_roster_is_refused(sessions):
    cheat, other = sessions["attic.agent-00"], sessions["attic.agent-01"]
    hello = cheat.sign(Kind.KEY, messages.SessionKey(bytes(32), b"n" * 16, b"k" * 32))
    with pytest.raises(AuthenticationError, match="another roster"):
        other.meet(cheat.me, hello)


@each(BAD["seal"])
def test_bad_seals_are_refused(sessions, case):
    epoch = bytes.fromhex(MESSAGES["parties"]["attic.gateway"]["nonce"])
    bound = bytes.fromhex(MESSAGES["sealed"][0]["bound"])
    message = messages.decode(bytes.fromhex(case["hex"]), messages.Sealed)
    with pytest.raises(AuthenticationError):
        sessions["attic.agent-01"].open(message, epoch=epoch, bound=bound)


def test_the_good_seal_holds_where_the_bad_ones_do_not(sessions):
    """Else the test before would be content with a wrong key."""
    case = MESSAGES["sealed"][0]
    message = messages.decode(bytes.fromhex(case["hex"]), messages.Sealed)
    epoch = bytes.fromhex(MESSAGES["parties"]["attic.gateway"]["nonce"])
    bound = bytes.fromhex(case["bound"])
    assert sessions["attic.agent-01"].open(message, epoch=epoch, bound=bound)
    for wrong in ({"epoch": bytes(16), "bound": bound}, {"epoch": epoch, "bound": bytes(32)}):
        with pytest.raises(AuthenticationError):
            sessions["attic.agent-01"].open(message, **wrong)


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


@pytest.mark.long
@pytest.mark.parametrize("name", list(make_vectors.FILES))
def test_the_files_are_what_the_slow_implementation_says(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert text == make_vectors.text_of(make_vectors.FILES[name]())
