"""The made-up run of `synthetic.py` as fixtures; loaded by path, since test folders are no packages."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load() -> ModuleType:
    name = "prsm_synthetic_run"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("synthetic.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def synthetic() -> ModuleType:
    """The module itself: its keys, addresses and `build`."""
    return _load()


@pytest.fixture(scope="session")
def whole(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run as it should be, built once."""
    return synthetic.build(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def served(synthetic: ModuleType) -> Iterator[Callable[[Any], str]]:
    """Serve a made-up chain; returns its URL."""
    servers = []

    def serve(chain: Any) -> str:
        server, url = chain.serve()
        servers.append(server)
        return str(url)

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()
