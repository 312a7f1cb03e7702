"""What most tests of the ledger client stand on: an Anvil, two sites on it, and a faulty node."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import chain
from tests.support.faulty_node import FaultyNode
from tests.support.ledgers import ALICE, BOB, Site, deployed


@pytest.fixture(scope="module")
def node_kind() -> type[chain.Anvil | chain.Geth]:
    return chain.Anvil


@pytest.fixture(scope="module")
def anvil(node_kind: type[chain.Anvil | chain.Geth]) -> Iterator[chain.Anvil | chain.Geth]:
    """The node under test: Anvil, but where a module's `node_kind` says Geth."""
    with node_kind() as running:
        yield running


@pytest.fixture
def sites(anvil: chain.Chain, tmp_path: Path) -> tuple[Site, Site]:
    deployment = deployed(anvil, ALICE, BOB)
    return Site(anvil, deployment, tmp_path, ALICE), Site(anvil, deployment, tmp_path, BOB)


@pytest.fixture
def proxy(anvil: chain.Chain) -> Iterator[FaultyNode]:
    with FaultyNode(anvil.url) as running:
        yield running
