"""A development node as a real process, and what talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prsm_protocol.ledger.client import StardustLedger
from prsm_protocol.ledger.node.process import NodeProcess, start_node


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """Milestones every 0.2 s, so that tests need not wait a second for each."""
    process = start_node(tmp_path_factory.mktemp("node"), interval=0.2)
    yield process
    process.stop()


@pytest.fixture(scope="module")
def ledger(node: NodeProcess) -> Iterator[StardustLedger]:
    with StardustLedger([node.url], network="prsm-local") as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "ledger"
