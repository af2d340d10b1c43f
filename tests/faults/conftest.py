"""The same world as the stories use: faults must leave it whole."""

from __future__ import annotations

import pytest

from tests.flows.real_world import RealWorld, shared_world, stop_shared


@pytest.fixture(scope="session")
def world(request: pytest.FixtureRequest) -> RealWorld:
    request.session.config.add_cleanup(stop_shared)
    return shared_world()
