"""A prover may be killed at any instant: its jobs end as if nothing had happened."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from provers.launch import start_time
from tests.provers.conftest import SALT, Built, Prover, rows

ROW, CONTEXT = rows(1, seed=51)[0], b"\x51" * 32


@pytest.fixture
def home(prover: Prover, built: dict[str, Built], tmp_path: Path) -> Path:
    """A copy of the built home, without its jobs."""
    for name in ("circuits", "cache", "setup"):
        shutil.copytree(prover.home / name, tmp_path / "home" / name)
    return tmp_path / "home"


def wait_for(prover: Prover, identity: str, states: tuple[str, ...]) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        state = str(prover.http.get(f"/v1/proofs/{identity}").json()["state"])
        if state in states:
            return state
    raise AssertionError(f"never in {states}")


@pytest.mark.parametrize("moment", ["WITNESS", "PROVE", "CHECK"])
def test_killed_during_a_proof_it_finishes_after_the_next_start(home: Path, hashed: Built, moment: str):
    first = Prover(home)
    identity = first.ask(hashed.manifest, ROW, CONTEXT, salt=[str(word) for word in SALT]).json()["id"]
    reached = wait_for(first, identity, (moment, "DONE"))
    first.stop(signal.SIGKILL)
    with sqlite3.connect(home / "prover.sqlite") as connection:
        worker, since = connection.execute("SELECT worker, worker_started FROM job").fetchone()
    second = Prover(home)
    try:
        ended = second.ended("proofs", identity)
        assert ended["state"] == "DONE", ended
        assert ended["proof"]
        if reached != "DONE":
            assert ended["attempt"] == 2
        if worker is not None:
            assert start_time(worker) != since or since == 0
    finally:
        second.stop()


def test_finished_proof_is_read_again_after_a_kill_and_noticed_when_damaged(home: Path, public: Built):
    first = Prover(home)
    found = first.prove(public.manifest, ROW, CONTEXT)
    first.stop(signal.SIGKILL)
    second = Prover(home)
    try:
        again = second.http.get(f"/v1/proofs/{found['id']}").json()
        assert again["proof"] == found["proof"]
        path = home / "proofs" / f"{found['id']}.json"
        path.write_bytes(path.read_bytes()[:-1] + b" ")
        answer = second.http.get(f"/v1/proofs/{found['id']}")
        assert (answer.status_code, answer.json()["type"]) == (503, "FileDamaged")
    finally:
        second.stop()


def test_damaged_key_is_made_again(home: Path, public: Built):
    for path in home.glob("cache/*/proving.key"):
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    prover = Prover(home)
    try:
        found = prover.prove(public.manifest, ROW, CONTEXT)
        assert found["attempt"] == 2
    finally:
        prover.stop()


def test_private_input_that_was_lost_ends_its_job_by_name(home: Path, public: Built):
    from provers.jobs import private_folder

    first = Prover(home)
    blocker = first.ask(public.manifest, ROW, CONTEXT).json()["id"]
    identity = first.ask(public.manifest, ROW, b"\x52" * 32).json()["id"]
    first.stop(signal.SIGKILL)
    shutil.rmtree(private_folder(home) / identity)
    second = Prover(home)
    try:
        assert second.ended("proofs", blocker)["state"] == "DONE"
        assert second.ended("proofs", identity)["error"]["type"] == "InputLost"
    finally:
        second.stop()


def test_damaged_circuit_stops_the_start_by_name(home: Path):
    path = home / "circuits" / "small_public" / "settings.json"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(AssertionError, match="ended with 1"):
        Prover(home)
