"""Three owners of one contract, for tests: a Safe of two of them, worked by its commands."""

from pathlib import Path

from typer.testing import CliRunner

from protoledger.contracts.client.binding import Buffer
from protoledger.contracts.client.node import Node
from protoledger.contracts.keys import address_of
from protoledger.gateway.commands.contracts import app
from tests.support import chain
from tests.support.ledgers import ALICE, BOB, OWNER, STRANGER, deployed

OWNERS = (ALICE, BOB, STRANGER)


class Council:
    """Three owners with their keys in files, a Safe of two of them, and a buffer that it owns."""

    def __init__(self, anvil: chain.Chain, folder: Path) -> None:
        self.rpc, self.folder = ["--rpc", anvil.url], folder
        self.keys = {}
        for name, key in zip(("alice", "bob", "carol", "owner"), (*OWNERS, OWNER), strict=True):
            file = self.keys[name] = folder / f"{name}.key"
            file.touch(mode=0o600)
            file.write_text(key.hex())
        self.node = Node(anvil.url)
        self.contract = deployed(anvil, ALICE).buffer
        words = [word for key in OWNERS for word in ("--owner", address_of(key))]
        said = self.run(
            "create", *words, "--threshold", "2", "--key", self.keys["owner"], *self.rpc
        )
        self.safe = said.split("multisig: ")[1].split()[0]

    def run(self, *words: object, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["multisig", *map(str, words)])
        assert done.exit_code == code, done.output
        return done.output

    def propose(self, file: Path, action: str, *arguments: str, code: int = 0) -> str:
        where = ("--multisig", self.safe, "--contract", self.contract, *self.rpc)
        return self.run("propose", file, action, *arguments, *where, code=code)

    def sign(self, file: Path, name: str, code: int = 0) -> str:
        return self.run("sign", file, "--key", self.keys[name], code=code)

    def execute(self, file: Path, name: str = "carol", code: int = 0) -> str:
        return self.run("execute", file, "--key", self.keys[name], *self.rpc, code=code)

    def decide(self, file: Path, action: str, *arguments: str) -> None:
        self.propose(file, action, *arguments)
        for name in ("alice", "bob"):
            self.sign(file, name)
        self.execute(file)

    def status(self, gateway: str) -> str:
        return Buffer(self.contract).standing(self.node, gateway).head.status
