"""One chain for all stories of this folder: homes, jobs and listings are each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prsm_protocol.chain.anvil import development_account
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.world import Asker, Operator, Tangle, World, new_operator, started, tangle_started


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("world")) as found:
        found.deposit(development_account(1), Wei(10_000 * FTNS))
        yield found


@pytest.fixture(scope="session")
def listing(world: World) -> Listing:
    """A trusted model of the owner, development account 6."""
    owner = development_account(6)
    return world.list(owner, world.register(owner, b"a model"))


@pytest.fixture(scope="session")
def tangle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tangle]:
    with tangle_started(tmp_path_factory.mktemp("tangle") / "node") as found:
        yield found


@pytest.fixture(scope="session")
def operator(
    world: World, listing: Listing, tangle: Tangle, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    """A registered operator whose node runs: one for all stories that leave it running."""
    yield from _running(new_operator(world, tmp_path_factory.mktemp("operator") / "node", *tangle.options))


@pytest.fixture
def mortal(world: World, listing: Listing, tmp_path: Path) -> Iterator[Operator]:
    """An operator whose node a test kills and starts again."""
    yield from _running(new_operator(world, tmp_path / "node"))


def _running(found: Operator) -> Iterator[Operator]:
    found.start()
    yield found
    if found.process is not None and found.process.poll() is None:
        found.stop()


@pytest.fixture
def asker(world: World, operator: Operator) -> Asker:
    return Asker(world, development_account(1), operator.url)
