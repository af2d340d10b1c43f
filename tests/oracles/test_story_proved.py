"""A proved task from the circuit to the payment: a real prover, a real verifier on a real chain."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from prsm_protocol.chain.anvil import development_account
from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.oracle.instances import Layout, from_word, input_hash
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.proving import RunningProver, announce, build, model_cid, prover
from tests.oracles.world import NETWORK, ROW, Asker, Operator, World, new_operator, until


@dataclass
class Proving:
    operator: Operator
    listing: Listing
    circuit: bytes
    asker: Asker


@pytest.fixture(scope="module")
def running_prover(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProver]:
    with prover(tmp_path_factory.mktemp("prover") / "home") as found:
        yield found


@pytest.fixture(scope="module")
def proving(world: World, running_prover: RunningProver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proving]:
    """An operator with a prover that holds a hashed circuit of a listed model."""
    ref = announce(world, running_prover, build(running_prover, "hashed"), "hashed")
    owner = development_account(7)
    record = world.register(owner, b"a proved model")
    listing = world.list(
        owner, record, tiers=("proved", "trusted"), circuits=(ref,), model=model_cid(world), name="proved model"
    )
    operator = new_operator(
        world,
        tmp_path_factory.mktemp("proving") / "node",
        *("--prover", running_prover.url, "--prover-token-file", str(running_prover.token_file)),
    )
    operator.start()
    yield Proving(operator, listing, ref.id, Asker(world, development_account(1), operator.url))
    operator.stop()


def salted(words: tuple[int, ...]) -> tuple[tuple[int, ...], bytes]:
    salt = tuple(secrets.randbits(31) for _ in range(5))
    return salt, input_hash(Layout(len(words), 1, True), words, salt)


def test_proved_task_is_paid_in_the_delivery_itself(world: World, proving: Proving) -> None:
    # 1. Offered as proved, with its circuit.
    def offer() -> object:
        offers = httpx.get(proving.operator.url + "/v1/offers").json()["offers"]
        return next((o for o in offers if o["listing"] == str(proving.listing.cid) and "proved" in o["tiers"]), None)

    offered = until(offer, seconds=30)
    assert offered["circuits"][0]["circuit_id"] == "0x" + proving.circuit.hex()  # type: ignore[index]
    assert offered["setup"] == "single"  # type: ignore[index]

    # 2. Quoted, assigned, served.
    salt, hashed = salted(ROW)
    terms = proving.asker.open_job(Wei(FTNS))
    quotes = proving.asker.quote(
        terms, proving.listing, [hashed], tier="proved", circuit=proving.circuit, deliver_within=600
    )
    task = str(quotes[0]["task_id"])
    proving.asker.assign(terms, quotes)
    proving.asker.send_input(task, ROW, salt)

    # 3. Paid without any window.
    proving.asker.wait_for(task, "paid", seconds=120)
    result = proving.asker.call("GET", f"/v1/tasks/{task}/result")
    words = [from_word(int(word)) for word in result["output_words"]]  # type: ignore[attr-defined]
    exact = integer_layers.run(NETWORK, ROW)
    assert len(words) == len(exact)
    assert (words[0] > 0) == (exact[0] > 0)
    receipt = result["receipt"]
    assert isinstance(receipt, dict)
    assert (receipt["tier"], receipt["circuit"]) == ("proved", "0x" + proving.circuit.hex())

    # 4. The proof is to be had from the node's own gateway, by the id in the receipt.
    fetched = httpx.get(f"{proving.operator.url}/ipfs/{receipt['proof']}?format=raw")
    assert "0x" + fetched.content.hex() == result["proof"]


def test_kill_while_it_proves_ends_with_one_delivery(world: World, proving: Proving) -> None:
    salt, hashed = salted(ROW)
    terms = proving.asker.open_job(Wei(FTNS))
    quotes = proving.asker.quote(
        terms, proving.listing, [hashed], tier="proved", circuit=proving.circuit, deliver_within=600
    )
    task = str(quotes[0]["task_id"])
    before = world.chain.transaction_count(str(proving.operator.addresses["sender"]))
    proving.asker.assign(terms, quotes)
    proving.asker.send_input(task, ROW, salt)
    until(lambda: proving.asker.task(task)["work"] == "output", seconds=30, every=0.02)
    threading.Event().wait(0.2)
    proving.operator.kill()
    proving.operator.start()
    proving.asker.wait_for(task, "paid", seconds=120)
    assert world.chain.transaction_count(str(proving.operator.addresses["sender"])) - before == 1
