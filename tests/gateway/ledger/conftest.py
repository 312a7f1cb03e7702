"""What most tests of the ledger client stand on: an Anvil, two sites on it, and a faulty node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import chain
from tests.support.faulty_node import FaultyNode
from tests.support.ledgers import ALICE, BOB, Site, deployed


@pytest.fixture(scope="module")
def kind() -> type[chain.Anvil | chain.Geth]:
    return chain.Anvil


@pytest.fixture(scope="module")
def anvil(kind: type[chain.Anvil | chain.Geth]) -> Iterator[chain.Anvil | chain.Geth]:
    """The node under test: Anvil, but where a module's `kind` says Geth."""
    with kind() as running:
        yield running


@pytest.fixture
def sites(anvil: chain.Chain, tmp_path: Path) -> tuple[Site, Site]:
    deployment = deployed(anvil, ALICE, BOB)
    return Site(anvil, deployment, tmp_path, ALICE), Site(anvil, deployment, tmp_path, BOB)


@pytest.fixture
def proxy(anvil: chain.Chain) -> Iterator[FaultyNode]:
    with FaultyNode(anvil.url) as running:
        yield running
