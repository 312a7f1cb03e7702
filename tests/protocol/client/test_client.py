"""docs/protocol.md suffices to write a client: one that has only that page and the vectors.

First it gives what the vectors say; then it takes part in rounds with real agents and a real
gateway over Mosquitto, which cannot complete without its shares and its answers.
"""

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protoledger.emulator.processes.broker import find_mosquitto
from protoledger.emulator.processes.children import Children
from protoledger.protocol.wire.schema import Window
from tests.protocol import client
from tests.protocol.client import packing, seals, sharing
from tests.support.live_site import LiveSite

HERE = Path(client.__file__).parent
VECTORS = HERE.parent / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def unhex(text):
    return bytes.fromhex(text)


def test_it_knows_nothing_of_this_project():
    for path in HERE.glob("[!t]*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith(("protoledger", "numpy", "tests")) for name in names)


@pytest.mark.parametrize("case", vectors("code")["proven"], ids=lambda c: c["positions"])
def test_it_shares_reports_adds_and_explains_as_the_vectors_say(case):
    layout = sharing.Layout(
        case["steps"], case["labels"], [True] * len(case["steps"]), case["windows"]
    )
    code = sharing.Proven(layout, case["positions"], case["T"])
    assert code.q == case["q"]
    rho = unhex(case["rho"])
    assert seals.commitment(rho).hex() == case["commitment"]
    challenge = code.challenge(unhex(case["announce_digest"]), rho)
    flags = []
    for agent in case["agents"]:
        rows = list(zip(agent["values"], agent["votes"], strict=True))
        assert layout.pack_flags(rows).hex() == agent["declared"]
        assert layout.bits_of(rows) == agent["low"][0][: layout.bits]
        assert code.shares((agent["low"], agent["high"])) == agent["shares"]
        flags.append(layout.unpack_flags(unhex(agent["declared"])))
        for share, report in zip(agent["shares"], agent["reports"], strict=True):
            assert code.report(share, flags[-1], challenge) == report
        explained = code.explain((agent["low"], agent["high"]), flags[-1], challenge)
        r, z = explained[: 4 * (case["T"] + 1)], explained[4 * (case["T"] + 1) :]
        for at, report in zip(sharing.points(case["positions"]), agent["reports"], strict=True):
            rows = [[r[i : i + 4] for i in range(0, len(r), 4)], 0]
            low = sharing.evaluate(rows[0], at)
            high = sharing.evaluate([z[i : i + 4] for i in range(0, len(z), 4)], at, 1)
            assert low + high == report
    for j, answer in enumerate(case["answers"]):
        held = [agent["shares"][j] for agent in case["agents"]]
        assert code.answer(held, flags, case["minimum"]) == answer


@pytest.mark.parametrize("case", vectors("code")["packed"], ids=lambda c: str(c["K"]))
def test_it_packs_as_the_vectors_say(case):
    length = len(case["decoded"])
    layout = sharing.Layout([1000] * length, 0, [True] * length, 1)
    code = sharing.Packed(layout, case["positions"], 1, 0, case["K"])
    code.masks = case["M"]
    cut = code.draw([(case["agents"][0]["vector"], -1)])[: case["K"]]
    for agent in case["agents"]:
        drawn = code.draw([(agent["vector"], -1)])[: case["K"]] + agent["masks"]
        assert code.shares(drawn) == agent["shares"]
    assert len(cut[0]) == code.share_length
    flags = [layout.unpack_flags(layout.pack_flags([(a["vector"], -1)])) for a in case["agents"]]
    for j, total in enumerate(case["sums"]):
        assert code.answer([a["shares"][j] for a in case["agents"]], flags, 3) == total


def roster_of(found):
    """The vectors' roster, which comes without its file."""
    roster = object.__new__(seals.Roster)
    roster.site, roster.gateway = found["site"], found["members"][0][0]
    roster.agents = [member[0] for member in found["members"][1:]]
    roster.keys = {member[0]: unhex(member[1]) for member in found["members"]}
    roster.digest = unhex(found["roster"])
    return roster


def parties(found):
    roster, made = roster_of(found), {}
    for name, keys in found["parties"].items():
        made[name] = seals.Keys(name, seals.load_identity(unhex(keys["identity"])), roster)
        private = X25519PrivateKey.from_private_bytes(unhex(keys["session"]))
        made[name].renew(private, unhex(keys["nonce"]))
        assert made[name].mark.hex() == keys["mark"]
    for one in made.values():
        for other in made.values():
            one.heard(other.me, other.hello)
    return made


def test_it_signs_and_seals_as_the_vectors_say():
    found = vectors("messages")
    made = parties(found)
    epoch = made[found["members"][0][0]].mark
    for case in found["signed"]:
        sender = made[case["sender"]]
        assert sender.sign(case["kind"], unhex(case["body"])).hex() == case["hex"]
        opened = seals.open_signed(sender.roster, unhex(case["hex"]), case["kind"], case["sender"])
        assert opened.hex() == case["body"]
    for case in found["sealed"]:
        sender, receiver = made[case["sender"]], made[case["receiver"]]
        bound, plain = unhex(case["bound"]), unhex(case["plain"])
        sealed = sender.seal(
            receiver.me, receiver.mark, case["kind"], case["round"], epoch, bound, plain
        )
        assert sealed.hex() == case["hex"]
        again = receiver.open(packing.decode(sealed, "Sealed"), sender.mark, epoch, bound)
        assert again == plain
    for shape, bodies in found["bodies"].items():
        for text in bodies:
            packing.decode(unhex(text), shape)


def test_it_refuses_what_the_vectors_say():
    bad, good = vectors("bad"), vectors("messages")
    for case in bad["decode"]:
        with pytest.raises(packing.RefusedError):
            packing.decode(unhex(case["hex"]), case["shape"])
    for case in bad["symbols"]:
        with pytest.raises(packing.RefusedError):
            sharing.from_bytes(unhex(case["hex"]), case["count"])
    made = parties(good)
    gateway = made[good["members"][0][0]]
    for case in bad["envelope"]:
        with pytest.raises(packing.RefusedError):
            seals.open_signed(gateway.roster, unhex(case["hex"]), case["kind"], case["sender"])
    first = made[good["members"][1][0]]
    for case in bad["seal"]:
        sealed = packing.decode(unhex(case["hex"]), "Sealed")
        with pytest.raises(packing.RefusedError):
            gateway.open(sealed, first.mark, gateway.mark, unhex(good["sealed"][3]["bound"]))
    members = vectors("members")
    for case in members["good"]:
        assert packing.pack_members(case["members"]).hex() == case["hex"]
    for case in members["bad"]:
        with pytest.raises(packing.RefusedError):
            packing.unpack_members(unhex(case["hex"]), case["agents"])


# -- live ----------------------------------------------------------------------------------------


def start(site):
    """Everybody but the first agent is ours; the last has a process of its own."""
    site.start_gateway()
    site.start_agents("agents", site.files.agents[1:-1])
    site.start_agents("last", site.files.agents[-1:])
    site.run("client", "tests.protocol.client", client_file(site))


def client_file(site):
    """Tell the client what its owner would."""
    me, folder = site.files.agents[0], site.files.folder
    content = yaml.safe_load(site.files.agent_file(me).read_text())
    plan, terms = site.terms.plan, site.terms
    window = Window(site.dealt.sites[0].observed[0], site.dealt.sites[0].votes[0])
    given = site.schema.contribution(window)
    config = {
        "id": me,
        "broker": {
            "host": site.site.broker.host, "port": site.site.broker.port,
            "ca": str(site.site.broker.ca_file),
            "certificate": str(folder / content["credentials"]["certificate_file"]),
            "key": str(folder / content["credentials"]["key_file"]),
        },
        "roster": str(folder / "roster.json"),
        "fleet_key": site.site.fleet_key,
        "identity": str(folder / f"{me}.identity"),
        "channels": [c.model_dump() for c in site.site.channels],
        "labels": list(site.site.labels),
        "validity": plan.validity,
        "numbers": [
            plan.agents, plan.collusion, plan.dropouts, plan.committee, plan.partitions,
            terms.minimum, terms.windows, terms.window_ms, terms.share_ms, terms.answer_ms,
        ],
        "rows": [
            [values, vote]
            for values, vote in zip(given.values.tolist(), given.votes.tolist(), strict=True)
        ],
        "spent": str(folder / "spent"),
    }  # fmt: skip
    file = folder / "client.json"
    file.write_text(json.dumps(config))
    return file


@pytest.mark.skipif(find_mosquitto() is None, reason="Mosquitto is not installed")
@pytest.mark.parametrize(("agents", "validity"), [(6, "proven"), (5, "packed")])
def test_it_takes_part_in_rounds_with_real_agents(tmp_path, agents, validity):
    with Children(tmp_path / "logs") as children:
        site = LiveSite(tmp_path, children, agents)
        assert site.terms.plan.validity == validity
        start(site)
        site.rounds(3, list(range(agents)))
        # with one agent fewer every answer is needed, the client's too
        children.stop("last")
        fewer = agents - 1
        assert site.terms.plan.needed(fewer) == fewer
        site.rounds(2, list(range(fewer)))
        assert np.loadtxt(site.files.folder / "spent") >= 5
        assert site.log("client").count("answered") >= 2
