from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from prsm_protocol.chain import Call, Sender
from prsm_protocol.chain.anvil import AnvilFailed, development_account, start_anvil
from prsm_protocol.chain.connection import Connection
from prsm_protocol.journal import Journal


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_stop_ends_the_process_and_two_run_side_by_side(tmp_path: Path) -> None:
    one, two = (start_anvil(tmp_path / name, block_time=None) for name in ("one", "two"))
    try:
        assert one.url != two.url
        assert Connection(one.url).chain_id == Connection(two.url).chain_id == 31337
        assert Connection(one.url).balance(development_account(9).address) > 0
    finally:
        one.stop()
        two.stop()
    assert not one.is_running()
    assert not is_alive(two.pid)


def test_clock_moves_without_transactions_and_a_transaction_does_not_wait(tmp_path: Path) -> None:
    process = start_anvil(tmp_path, block_time=1)
    try:
        chain = Connection(process.url)
        first = chain.block()
        end = time.monotonic() + 10
        while chain.block().number == first.number:
            assert time.monotonic() < end
        sender = Sender(chain, development_account(0), Journal(tmp_path / "j.sqlite"))
        blocks = {sender.transact(str(i), Call(development_account(1).address, b"", value=1)).block for i in range(4)}
        assert len(blocks) == 4
    finally:
        process.stop()


def test_state_outlives_the_process_and_the_chain_stays_the_same_chain(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    process = start_anvil(tmp_path, state=state)
    chain = Connection(process.url)
    sender = Sender(chain, development_account(0), Journal(tmp_path / "j.sqlite"))
    receipt = sender.transact("gift", Call(development_account(1).address, b"", value=7))
    genesis = chain.genesis
    process.stop()
    process = start_anvil(tmp_path, state=state)
    try:
        again = Connection(process.url)
        assert again.genesis == genesis
        found = again.receipt(receipt.hash)
        assert found is not None
        assert found.block == receipt.block
    finally:
        process.stop()


def test_stop_is_quiet_when_somebody_killed_the_process(tmp_path: Path) -> None:
    process = start_anvil(tmp_path, block_time=None)
    os.kill(process.pid, signal.SIGKILL)
    process.stop()
    assert not process.is_running()


def test_start_is_refused_with_the_log_when_the_port_is_taken(tmp_path: Path) -> None:
    first = start_anvil(tmp_path / "one", block_time=None)
    try:
        with pytest.raises(AnvilFailed) as refused:
            start_anvil(tmp_path / "two", block_time=None, port=int(first.url.rsplit(":", 1)[1]))
    finally:
        first.stop()
    assert refused.value.values["log"] == tmp_path / "two" / "anvil.log"
