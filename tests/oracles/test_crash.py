"""A node killed at any moment loses no task, signs nothing twice and is paid once; a second one on its home does not start."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from prsm_protocol.chain.anvil import development_account
from prsm_protocol.rules.market.escrow import JobTerms
from prsm_protocol.types import FTNS, Listing, Wei
from tests.oracles.world import ROW, Asker, Operator, Refused, World, trusted_hash, until


def words_of(number: int) -> tuple[int, ...]:
    return (ROW[0] + number, *ROW[1:])


def nonce(world: World, operator: Operator) -> int:
    return world.chain.transaction_count(str(operator.addresses["sender"]))


def asked(
    asker: Asker, listing: Listing, count: int, deliver_within: int = 200
) -> tuple[JobTerms, list[dict[str, object]]]:
    terms = asker.open_job(Wei(FTNS))
    hashes = [trusted_hash(words_of(at)) for at in range(count)]
    return terms, asker.quote(terms, listing, hashes, deliver_within=deliver_within)


def paid_events(world: World, task: str) -> int:
    events = world.chain.escrow.events(world.chain.deployment.start_block, "latest", {"TaskPaid"})
    return sum(1 for event in events if "0x" + event.fields["task_id"].hex() == task)  # type: ignore[attr-defined]


DELAYS = (0.0, 0.05, 0.25)
"""Seconds between an input's acknowledgement and the kill: before its run, while it signs and sends, when it is mined."""


def test_kill_at_any_moment_ends_with_every_task_paid_once(world: World, listing: Listing, mortal: Operator) -> None:
    operator, delays = mortal, DELAYS
    asker = Asker(world, development_account(1), operator.url)

    # 1. Killed after the quotes: they stay good.
    terms, quotes = asked(asker, listing, len(delays))
    operator.kill()
    operator.start()
    before = nonce(world, operator)

    # 2. Killed after the assignment, which the next start reads from the chain.
    asker.assign(terms, quotes)
    operator.kill()
    operator.start()

    # 3. Killed a moment after each input: while it runs, signs, writes its intent, sends, sees it mined.
    tasks = [str(quote["task_id"]) for quote in quotes]
    for at, (task, delay) in enumerate(zip(tasks, delays, strict=True)):
        asker.send_input(task, words_of(at))
        threading.Event().wait(delay)
        operator.kill()
        operator.start()
    for task in tasks:
        asker.wait_for(task, "delivered")

    # 4. Killed while it waits for the window, and while it releases.
    operator.kill()
    world.advance(61)
    operator.start()
    threading.Event().wait(delays[0])
    operator.kill()
    operator.start()
    for task in tasks:
        asker.wait_for(task, "paid")
        assert paid_events(world, task) == 1
    assert nonce(world, operator) - before == 2 * len(tasks), "one delivery and one release each, nothing else"

    # 5. Asked to stop, it drains and ends well.
    assert operator.stop() == 0
    assert '"draining"' in operator.log()


def test_second_node_on_the_home_ends_with_exit_7(operator: Operator) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oracles", "run", "--home", str(operator.home), "--json"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 7
    assert json.loads(done.stdout)["error"] == "HomeBusy"


def test_missing_input_is_declined_and_the_price_returns(
    world: World, listing: Listing, operator: Operator, asker: Asker
) -> None:
    terms, quotes = asked(asker, listing, 1, deliver_within=30)
    task = str(quotes[0]["task_id"])
    asker.assign(terms, quotes)
    waiting = until(lambda: (state := asker.task(task))["work"] == "assigned" and state["waiting"])
    assert waiting["for_what"] == "the input"  # type: ignore[index]
    world.advance(25)
    declined = asker.wait_for(task, "declined")
    assert declined["decline_code"] == 1
    job = world.chain.escrow.job(asker.job_id(terms))
    assert (job.free, job.reserved, job.open_tasks) == (FTNS, 0, 0)


def test_wrong_words_are_refused_and_change_nothing(listing: Listing, asker: Asker) -> None:
    terms, quotes = asked(asker, listing, 1)
    task = str(quotes[0]["task_id"])
    with pytest.raises(Refused) as caught:
        asker.send_input(task, words_of(7))
    assert (caught.value.status, caught.value.problem["type"]) == (422, "InputMismatch")
    with pytest.raises(Refused) as caught:
        asker.send_input(task, ROW[:2])
    assert (caught.value.status, caught.value.problem["type"]) == (422, "InputShapeWrong")
    with pytest.raises(Refused) as caught:
        asker.send_input(task, (1 << 20, 0, 0))
    assert (caught.value.status, caught.value.problem["type"]) == (422, "InputOutOfRange")
    asker.assign(terms, quotes)
    asker.send_input(task, words_of(0))
    asker.wait_for(task, "delivered")


def test_delivery_gone_in_a_reorganisation_is_sent_again(
    world: World, listing: Listing, operator: Operator, asker: Asker
) -> None:
    terms, quotes = asked(asker, listing, 1)
    task = str(quotes[0]["task_id"])
    asker.assign(terms, quotes)
    for _ in range(6):
        world.chain.rpc("evm_mine")
    asker.send_input(task, words_of(0))
    before = asker.wait_for(task, "delivered")["transactions"]
    world.chain.rpc("anvil_reorg", 3, [])
    gone = world.chain.receipt(bytes.fromhex(before["deliver"][2:]))  # type: ignore[index]
    assert gone is None or gone.block >= world.chain.block().number - 1
    asker.wait_for(task, "delivered")
    until(lambda: world.chain.escrow.task(bytes.fromhex(task[2:])).status.name == "DELIVERED")
    assert asker.task(task)["transactions"] == before, "the same bytes"
    world.advance(61)
    asker.wait_for(task, "paid")
