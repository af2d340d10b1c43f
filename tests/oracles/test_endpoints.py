"""Several endpoints as one: a dead one is passed over, a wrong one is never believed."""

from __future__ import annotations

import dataclasses
import socket
import time

import pytest

from oracles.endpoints import Endpoints, NoEndpoint
from prsm_protocol.chain.connection import ChainMismatch
from tests.oracles.world import World


def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_dead_endpoint_costs_less_than_five_seconds_and_no_answer(world: World) -> None:
    chain = Endpoints([dead_url(), world.anvil.url], world.chain.deployment)
    started = time.monotonic()
    for _ in range(5):
        assert chain.block().number > 0
    assert time.monotonic() - started < 5
    assert [entry["up"] for entry in chain.health()] == [False, True]


def test_no_endpoint_is_said_by_name(world: World) -> None:
    url = dead_url()
    with pytest.raises(NoEndpoint) as caught:
        Endpoints([url], world.chain.deployment).block()
    assert caught.value.values["tried"] == url
    assert caught.value.exit_code == 3


def test_endpoint_of_another_chain_is_not_believed(world: World) -> None:
    other = dataclasses.replace(world.chain.deployment, chain_id=1)
    with pytest.raises(ChainMismatch) as caught:
        Endpoints([world.anvil.url], other).block()
    assert caught.value.values == {"expected": 1, "got": 31337}
