"""The contracts from Python: artifacts as compiled, gas of whole transactions, commands."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from eth_hash.auto import keccak
from typer.testing import CliRunner

from protoledger.contracts import NAMES, load
from protoledger.contracts.client.account import Account
from protoledger.contracts.client.binding import Buffer, DeltaLog
from protoledger.contracts.client.contract import Contract
from protoledger.contracts.client.deployment import Deployment, Sender, deploy
from protoledger.contracts.client.node import Node
from protoledger.contracts.commands.contracts import app
from protoledger.contracts.errors import DeploymentError, RevertedError, RpcError, ToolMissingError
from protoledger.contracts.keys import address_of
from protoledger.contracts.oracle.binding import Oracle
from protoledger.contracts.tools.toolchain import CONTRACTS, binary
from protoledger.gateway.codebook.codebook import Codebook, RecordFormat
from tests.support import chain
from tests.support.ledgers import leading_to

OWNER, ALICE = (bytes.fromhex(key) for key in chain.KEYS[:2])
SCHEMA = bytes(range(32))


@pytest.fixture(scope="module")
def anvil() -> Iterator[chain.Anvil]:
    with chain.Anvil() as running:
        yield running


def codebook(records: int, features: int, seed: int) -> Codebook:
    random = np.random.default_rng(seed)
    return Codebook.from_prototypes(
        np.arange(records),
        random.integers(0, 3, records),
        random.integers(1, 3000, records),
        random.random((records, features)),
        labels=3,
    )


def with_a_tenth_changed(book: Codebook, seed: int) -> Codebook:
    features, weights = book.features(), book.weights
    rows = np.random.default_rng(seed).choice(len(book), -(-len(book) // 10), replace=False)
    features[rows] += 0.05
    weights[rows] += 3
    return Codebook.from_prototypes(book.ids, book.classes, weights, features, labels=3)


class Writer:
    """Alice with a deployment of her own, committing without the ledger client."""

    def __init__(self, anvil: chain.Anvil, features: int) -> None:
        self.address = address_of(ALICE)
        self.deployment = deploy(anvil.url, OWNER, SCHEMA, features, 3, [self.address])
        self.node, self.buffer = Node(anvil.url), Buffer(self.deployment.buffer)
        self.sender = Sender(self.node, Account(ALICE))
        self.book, self.version = Codebook.empty(RecordFormat(features, 3)), 0

    def send(self, call: bytes) -> int:
        self.sender.send(self.buffer.address, call, 16_777_216)
        return self.sender.wait()[0].gas_used

    def commit(self, target: Codebook) -> int:
        delta = self.book.delta_to(target)
        call = self.buffer.commit(leading_to(target, self.version + 1), delta)
        self.book, self.version = target, self.version + 1
        return self.send(call)

    def checkpoint(self) -> int:
        call = self.buffer.encode("checkpoint", self.address, self.book.encode())
        return self.send(call)


# records, features, most gas of a median update of a tenth
SIZES = [(11, 2, 32_000), (20, 2, 32_000), (70, 9, 36_000), (125, 18, 50_000)]


@pytest.mark.parametrize(("records", "features", "aim"), SIZES)
def test_a_commit_costs_what_the_design_aims_at(
    anvil: chain.Anvil, records: int, features: int, aim: int
):
    writer = Writer(anvil, features)
    first = writer.commit(codebook(records, features, 1))
    updates = [writer.commit(with_a_tenth_changed(writer.book, seed)) for seed in range(5)]
    checkpoint = writer.checkpoint()
    median = sorted(updates)[2]
    sys.stdout.write(
        f"{records}×{features}: first {first}, update {median}, checkpoint {checkpoint}\n"
    )
    assert median <= aim
    assert first <= 225_000
    assert checkpoint <= 1_250_000
    head = writer.buffer.standing(writer.node, writer.address)
    assert (head.head.version, head.head.count, head.checkpoint_version) == (6, records, 6)
    writer.node.close()


@pytest.mark.parametrize("rules", ["london", "paris", "shanghai", "cancun", "prague", "osaka"])
def test_the_contracts_work_under_the_rules_of_older_chains(rules: str):
    with chain.Anvil(rules=rules) as anvil:
        writer = Writer(anvil, 2)
        writer.commit(codebook(5, 2, 1))
        writer.checkpoint()
        assert writer.buffer.snapshot(writer.node, writer.address)[1] == writer.book.encode()
        oracle = Oracle(writer.deployment.oracle)
        assert oracle.latest_round(writer.node) == 0
        writer.node.close()


def test_what_python_hashes_solidity_hashes_too(anvil: chain.Anvil):
    writer = Writer(anvil, 4)
    for seed in range(3):
        writer.commit(codebook(5 + seed, 4, seed))
        writer.checkpoint()  # refused unless keccak256 of the snapshot is the state hash
        version, snapshot = writer.buffer.snapshot(writer.node, writer.address)
        assert version == seed + 1
        assert Codebook.decode(snapshot, writer.book.form) == writer.book
        age, found = writer.buffer.read(writer.node, "record", writer.address, 3, seed + 1)
        assert age == (seed + 1, seed + 1, 1)
        number, label, weight, q = found
        assert (number, label, weight) == tuple(writer.book.records[3])[:3]
        assert list(q) == writer.book.records[3]["q"].tolist()
    logs = writer.node.logs(writer.buffer.address, 0, head_number(writer.node))
    deltas = [event for log in logs if isinstance(event := writer.buffer.decoded(log), DeltaLog)]
    book = Codebook.empty(writer.book.form)
    for event in deltas:
        book = book.apply(event.delta)
        assert book.state_hash() == event.head.state_hash
        assert len(book) == event.head.count
    assert book == writer.book
    writer.node.close()


def head_number(node: Node) -> int:
    block = node.block("latest")
    assert block is not None
    return block.number


def test_the_committed_artifacts_come_from_the_sources():
    done = subprocess.run(
        [sys.executable, "-m", "protoledger.contracts.tools.build", "--check"],
        cwd=CONTRACTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_solidity_tests_pass_and_gas_is_as_recorded():
    forge = str(binary("forge"))
    done = subprocess.run(
        [forge, "test"], cwd=CONTRACTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " 0 failed" in done.stdout
    gas = [forge, "snapshot", "--check", "--match-contract", "Gas"]
    done = subprocess.run(gas, cwd=CONTRACTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_artifacts_load_without_web3():
    for name in NAMES:
        artifact = load(name)
        assert 1000 < len(artifact.bytecode) <= 49_152
        assert artifact.compiler.startswith("0.8.")
        errors = [entry["name"] for entry in artifact.abi if entry["type"] == "error"]
        assert f"{name}" in "".join(str(error) for error in errors)
    with pytest.raises(KeyError, match="PrototypeBuffer"):
        load("Nothing")
    code = "import sys, contracts, protoledger.contracts.keys; sys.exit('eth_abi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_compiler_wrapper_answers_more_than_a_pipe_holds():
    source = "contract C{}"
    asked = {
        "language": "Solidity",
        "sources": {"a.sol": {"content": f"// SPDX-License-Identifier: MIT\n{source}" + " " * 300}},
        "settings": {"outputSelection": {"*": {"*": ["*"]}}},
    }
    asked["sources"]["a.sol"]["content"] += "".join(f"contract C{i}{{}}" for i in range(80))
    wrapper = str(CONTRACTS / "solc")
    done = subprocess.run(
        [wrapper, "--standard-json"],
        input=json.dumps(asked).encode(),
        capture_output=True,
        check=True,
    )
    assert len(done.stdout) > 100_000
    assert len(json.loads(done.stdout)["contracts"]["a.sol"]) == 81
    assert b"Version: 0.8." in subprocess.check_output([wrapper, "--version"])
    assert subprocess.run([wrapper, "--ast"], capture_output=True, check=False).returncode == 64


def test_a_missing_tool_names_the_command(tmp_path: Path):
    with pytest.raises(ToolMissingError, match="make setup"):
        binary("forge", tmp_path)


def test_a_deployment_that_fails_says_so(anvil: chain.Anvil, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(RpcError, match=r"[Ii]nsufficient funds"):
        deploy(anvil.url, bytes(31) + b"\7", SCHEMA, 2, 2, [])
    monkeypatch.setattr("protoledger.contracts.client.deployment._CREATION_GAS", 600_000)
    with pytest.raises(DeploymentError, match="failed in block"):
        deploy(anvil.url, OWNER, SCHEMA, 2, 2, [])


def test_many_gateways_are_added_and_funded(anvil: chain.Anvil):
    gateways = [address_of(bytes(28) + number.to_bytes(4)) for number in range(1, 259)]
    made = deploy(anvil.url, OWNER, SCHEMA, 2, 2, gateways)
    node, buffer = Node(anvil.url), Buffer(made.buffer)
    for gateway in (gateways[0], gateways[255], gateways[256], gateways[-1]):
        assert buffer.standing(node, gateway).head.status == "active"
    deploy(anvil.url, OWNER, SCHEMA, 2, 2, gateways[:2], fund_wei=10**15)
    assert anvil.rpc("eth_getBalance", gateways[1], "latest") == hex(10**15)
    oracle = node.call(buffer.address, buffer.encode("oracle"))
    assert oracle[12:].hex() == made.oracle[2:]
    node.close()


def test_the_oracle_names_its_refusals(anvil: chain.Anvil):
    made: Deployment = deploy(anvil.url, OWNER, SCHEMA, 2, 2, [])
    node, oracle = Node(anvil.url), Contract("DataOracle", made.oracle)
    call = oracle.encode("setReporters", [made.owner], True, 2, 0)
    with pytest.raises(RevertedError) as caught:
        node.call(oracle.address, call, made.owner)
    known = oracle.explain(caught.value)
    assert (known.name, known.values) == ("DataOracleBadQuorum", (2, 0, 1))
    node.close()


def test_the_commands_deploy_grant_revoke_and_show(anvil: chain.Anvil, tmp_path: Path):
    run = CliRunner().invoke
    key_file = tmp_path / "owner.key"
    key_file.touch(mode=0o600)
    key_file.write_text(OWNER.hex())
    gateway, other = address_of(ALICE), address_of(OWNER)
    common = ["--rpc", anvil.url, "--key", str(key_file)]
    terms = ["--schema-hash", SCHEMA.hex(), "--features", "2", "--labels", "3"]
    made = run(app, ["deploy", *common, *terms, "--gateway", gateway])
    assert made.exit_code == 0, made.output
    assert OWNER.hex() not in made.output
    contract = made.output.split("buffer: ")[1].split()[0]
    at = [*common, "--contract", contract]
    granted = run(app, ["grant", *at, other])
    assert granted.exit_code == 0, granted.output
    assert run(app, ["revoke", *at, gateway]).exit_code == 0
    shown = run(app, ["show", "--rpc", anvil.url, "--contract", contract]).output
    assert f"{gateway} removed " in shown
    assert f"{other} active " in shown
    assert SCHEMA.hex() in shown

    refused = run(app, ["revoke", *at, gateway])
    assert refused.exit_code == 1
    assert "NotAGateway" in refused.output
    assert run(app, ["grant", *at, "0x12"]).exit_code == 64
    assert run(app, ["show", "--rpc", "http://127.0.0.1:9", "--contract", contract]).exit_code == 69
    nowhere = ["--contract", "0x" + "12" * 20]
    assert run(app, ["show", "--rpc", anvil.url, *nowhere]).exit_code == 78
    key_file.chmod(0o644)
    assert run(app, ["revoke", *at, other]).exit_code == 78

    made = run(app, ["key", str(tmp_path / "new.key")])
    assert made.exit_code == 0
    assert made.output.startswith("0x")
    assert run(app, ["key", str(tmp_path / "new.key")]).exit_code == 78


class Reporters:
    """Reporters of an oracle, signing with eth_account's own EIP-712 encoder."""

    def __init__(self, deployment: Deployment, number: int) -> None:
        from eth_account import Account as EthAccount

        keys = [bytes(30) + b"\x77" + bytes([index]) for index in range(1, number + 1)]
        self.keys = keys  # in the order of their seats
        self.addresses = [address_of(key) for key in self.keys]
        self._sign_typed_data = EthAccount.sign_typed_data
        self._domain = {
            "name": "DataOracle",
            "version": "1",
            "chainId": chain.CHAIN_ID,
            "verifyingContract": deployment.oracle,
        }

    def sign(self, key: bytes, kind: str, types: str, message: dict[str, object]) -> bytes:
        fields = [
            dict(zip(("type", "name"), field.split(), strict=True)) for field in types.split(",")
        ]
        signed = self._sign_typed_data(key, self._domain, {kind: fields}, message)
        return bytes(signed.signature)


@pytest.mark.parametrize(("number", "most"), [(3, 110_000), (5, 136_000)])
def test_a_quorums_signatures_made_in_python_are_taken(anvil: chain.Anvil, number: int, most: int):
    made = deploy(anvil.url, OWNER, SCHEMA, 2, 3, [])
    reporters, node = Reporters(made, number), Node(anvil.url)
    oracle, sender = Contract("DataOracle", made.oracle), Sender(node, Account(OWNER))
    feed = b"outdoor".ljust(32, b"\0")
    call = oracle.encode("setReporters", reporters.addresses, True, number, (number - 1) // 2)
    sender.send(oracle.address, call, 2_000_000)
    call = oracle.encode("addFeed", feed, "degrees C", 2, 3600, -6000, 6000)
    sender.send(oracle.address, call, 2_000_000)
    sender.wait()
    newest = anvil.rpc("eth_getBlockByNumber", "latest", False)
    assert isinstance(newest, dict)
    now = int(str(newest["timestamp"]), 16)

    costs = []
    for round_id in (1, 2):
        reports = []
        for place in range(number):
            index = (place + round_id) % number
            key = reporters.keys[index]
            message = {"feed": feed, "roundId": round_id, "answer": 100 + index, "observedAt": now}
            types = "bytes32 feed,uint64 roundId,int192 answer,uint64 observedAt"
            reports.append((100 + index, now, reporters.sign(key, "Answer", types, message)))
        call = oracle.encode("submitAnswer", feed, reports)
        sender.send(oracle.address, call, 1_000_000)
        costs.append(sender.wait()[0].gas_used)
    samples = codebook(10, 2, 1).encode()
    message = {
        "source": b"barn".ljust(32, b"\0"),
        "number": 1,
        "observedAt": now,
        "samplesHash": keccak(samples),
    }
    types = "bytes32 source,uint64 number,uint64 observedAt,bytes32 samplesHash"
    signatures = [reporters.sign(key, "Batch", types, message) for key in reporters.keys]
    call = oracle.encode("submitBatch", message["source"], 1, now, samples, signatures)
    sender.send(oracle.address, call, 1_000_000)
    batch = sender.wait()[0].gas_used
    sys.stdout.write(f"{number} reporters: answer {costs[1]}, first {costs[0]}, batch {batch}\n")
    assert costs[1] <= most
    answer, _ = oracle.read(node, "read", feed)
    assert answer == 100 + number // 2
    assert oracle.read(node, "latestRound") == 3
    node.close()
