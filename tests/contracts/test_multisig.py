"""A Safe owns the buffer: what two of three owners sign happens, and nothing else does."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_hash.auto import keccak
from typer.testing import CliRunner

from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.deployment import Sender
from protoledger.contracts.keys import address_of
from protoledger.contracts.multisig import Safe
from protoledger.gateway.commands.contracts import app
from protoledger.runtime.exits import Exit
from tests.support import chain
from tests.support.council import OWNERS, Council
from tests.support.ledgers import ALICE, OWNER

GATEWAY = "0x" + "77" * 20


@pytest.fixture(scope="module")
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


@pytest.fixture(scope="module")
def council(anvil: chain.Anvil, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Council]:
    made = Council(anvil, tmp_path_factory.mktemp("council"))
    words = ["transfer", made.safe, "--key", str(made.keys["owner"]), "--contract", made.contract]
    offered = CliRunner().invoke(app, [*words, *made.rpc])
    assert offered.exit_code == 0, offered.output
    made.decide(made.folder / "accept.json", "accept")
    yield made
    made.node.close()


def test_the_multisig_owns_the_buffer_and_its_former_owner_does_not(council: Council) -> None:
    assert Buffer(council.contract).governance(council.node).owner == council.safe
    words = ["pause", "--key", str(council.keys["owner"]), "--contract", council.contract]
    refused = CliRunner().invoke(app, [*words, *council.rpc])
    assert refused.exit_code == 1
    assert "only the contract's owner" in refused.output


def test_a_gateway_is_granted_and_revoked_by_vote(council: Council, tmp_path: Path) -> None:
    council.decide(tmp_path / "grant.json", "grant", GATEWAY)
    assert council.status(GATEWAY) == "active"
    vote = tmp_path / "revoke.json"
    assert "2 of 3 owners must sign" in council.propose(vote, "revoke", GATEWAY)
    council.sign(vote, "carol")
    assert "1 of 2 needed owners have signed" in council.execute(vote, code=Exit.FAILED)
    assert council.status(GATEWAY) == "active"
    assert f"revoke {GATEWAY}" in council.sign(vote, "alice")
    council.execute(vote)
    assert council.status(GATEWAY) == "removed"
    assert "it was executed" in council.execute(vote, code=Exit.FAILED)


def test_who_is_no_owner_has_no_vote(council: Council, tmp_path: Path) -> None:
    vote = tmp_path / "pause.json"
    council.propose(vote, "pause")
    council.sign(vote, "alice")
    council.sign(vote, "owner")  # of the buffer before, not of the Safe
    assert "1 of 2 needed owners have signed" in council.execute(vote, code=Exit.FAILED)


def test_more_signatures_than_needed_do_no_harm(council: Council, tmp_path: Path) -> None:
    vote = tmp_path / "grant.json"
    council.propose(vote, "grant", "0x" + "66" * 20, "0x" + "55" * 20)
    for name in ("carol", "owner", "bob", "alice"):
        council.sign(vote, name)
    council.execute(vote)
    assert council.status("0x" + "66" * 20) == council.status("0x" + "55" * 20) == "active"


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": ["0x" + "99" * 20]},
        {"action": "grant"},
        {"number": 90},
        {"chain_id": 1},
        {"contract": "0x" + "99" * 20},
        {"multisig": "0x" + "99" * 20},
    ],
)
def test_a_proposal_that_was_changed_after_a_signature_is_refused(
    council: Council, tmp_path: Path, change: dict[str, object]
) -> None:
    vote = tmp_path / "revoke.json"
    council.propose(vote, "revoke", GATEWAY)
    council.sign(vote, "alice")
    vote.write_text(json.dumps(json.loads(vote.read_text()) | change))
    assert "changed afterwards" in council.sign(vote, "bob", code=Exit.FAILED)
    assert "changed afterwards" in council.execute(vote, code=Exit.FAILED)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"chain_id": "1"}', "\x00", '{"chain_id": 1, "chain_id": 2}', "[" * 5000],
)
def test_what_is_no_proposal_is_refused(council: Council, tmp_path: Path, text: str) -> None:
    file = tmp_path / "proposal.json"
    file.write_text(text)
    assert "is no proposal" in council.sign(file, "alice", code=Exit.FAILED)


def test_what_cannot_be_proposed_is_told(council: Council, tmp_path: Path) -> None:
    file = tmp_path / "proposal.json"
    assert "there are accept, grant" in council.propose(file, "steal", code=Exit.FAILED)
    assert "takes 1 addresses" in council.propose(file, "revoke", code=Exit.FAILED)
    assert "is no address" in council.propose(file, "revoke", "0x12", code=Exit.USAGE)
    words = ("--multisig", GATEWAY, "--contract", council.contract, *council.rpc)
    nowhere = council.run("propose", file, "pause", *words, code=Exit.CONFIGURATION)
    assert "there is no Safe" in nowhere
    file.touch()
    assert "exists" in council.propose(file, "pause", code=Exit.FAILED)
    words = ("--owner", GATEWAY, "--owner", GATEWAY, "--threshold", "1")
    twice = council.run("create", *words, "--key", council.keys["owner"], code=Exit.FAILED)
    assert "name each once" in twice


def test_the_signature_of_a_removed_owner_does_not_count(
    anvil: chain.Anvil, tmp_path: Path
) -> None:
    """Not even one for a number that came only after the removal."""
    council = Council(anvil, tmp_path)
    vote = tmp_path / "grant.json"
    council.propose(vote, "accept")
    proposal = json.loads(vote.read_text())
    vote.write_text(json.dumps(proposal | {"number": proposal["number"] + 1}))
    for name in ("alice", "bob"):
        council.sign(vote, name)
    remove_owner(council, proposal["number"], address_of(ALICE))
    assert address_of(ALICE) not in Safe(council.safe).owners(council.node)
    refused = council.execute(vote, code=Exit.FAILED)
    assert "1 of 2 needed owners have signed" in refused
    assert address_of(OWNERS[2]) in refused
    council.sign(vote, "carol")
    council.execute(vote, code=Exit.FAILED)  # enough now, but the buffer was offered to nobody
    assert Buffer(council.contract).governance(council.node).owner == address_of(OWNER)
    council.node.close()


def remove_owner(council: Council, number: int, owner: str) -> None:
    """Bob and Carol take an owner out of the Safe, as its own interface does it."""
    safe = Safe(council.safe)
    owners = safe.owners(council.node)
    at = owners.index(owner)
    previous = owners[at - 1] if at else "0x" + "00" * 19 + "01"  # the list's first link
    words = b"".join(bytes.fromhex(word[2:]).rjust(32, b"\0") for word in (previous, owner))
    call = keccak(b"removeOwner(address,address,uint256)")[:4] + words + (2).to_bytes(32)
    chain_id = council.node.chain_id()
    signed = {
        address_of(key): safe.sign(key, chain_id, number, council.safe, call) for key in OWNERS[1:]
    }
    sender = Sender(council.node, Account(OWNER))
    arguments = safe.arguments(council.safe, call, signed)
    sender.send(council.safe, safe.encode("execTransaction", *arguments), 300_000)
    sender.wait()
