"""A run that dies at any step and goes on: nothing is assigned, sent or acknowledged twice, and the record is the same."""

import threading

import pytest

from prsm_protocol.orchestration import nodes, orchestrator, question, samples
from prsm_protocol.trace import dag_cbor
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.store import open_store
from prsm_protocol.types import FTNS, Immediate, Wei, new_run_id
from prsm_protocol.workflow.engine.serializer import Table


class Killed(BaseException):
    """Stands for kill −9: nothing catches it."""


class StoringSteps(Immediate):
    """Keeps results by name through the run's own serializer, and dies before or after the step it is told."""

    def __init__(self):
        super().__init__()
        self.stored, self.table, self.left, self.lock = {}, Table(), None, threading.RLock()
        self.table.register(*orchestrator.STORED)

    def once(self, name, call, retry=None):
        if name in self.stored:
            return self.table.load(self.stored[name])
        self._count()
        value = self.table.dump(call())
        self._count()
        self.stored[name] = value
        return self.table.load(value)

    def _count(self):
        with self.lock:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Killed

    def as_done(self, calls, at_most=8):
        for call in calls:  # one after the other, so that a death comes at the same place each time
            try:
                yield call.name, self.once(call.name, call.run)
            except Exception as error:
                yield call.name, error


@pytest.fixture
def job(network_of, payments_of, sample_files, tmp_path):
    """(run once more, payments, network, recorder): the same run each time it is called."""
    network = network_of("wine network", "wine linear")
    payments = payments_of(network)
    asked = question.read(samples.question_for("wine"), sample_files("wine"), budget=Wei(FTNS))
    estimate = orchestrator.estimate(asked, network)
    signer = network.identity
    store, run = open_store(tmp_path / "trace.sqlite"), new_run_id()

    def go(steps):
        recorder = Recorder(store, run, signer)
        answer = orchestrator.answer(asked, estimate, steps, payments, recorder, network)
        return answer, recorder

    return go, payments


def test_a_run_that_dies_anywhere_goes_on_and_pays_once(job, monkeypatch):
    monkeypatch.setattr(nodes, "GONE_SECONDS", 0.5)
    go, payments = job
    steps = StoringSteps()
    deaths = 0
    while True:
        steps.left = 7  # dies at every seventh count of every life, before and after steps in turn
        try:
            answer, recorder = go(steps)
            break
        except Killed:
            deaths += 1
            assert deaths < 60
    assert deaths > 3
    assert answer.state == "answered", answer.text
    assigned = {quote.task_id for quote in payments.quotes}
    assert len(assigned) == 8  # a transaction may be repeated with the same bytes, never with other tasks
    assert len({receipt.task for receipt in payments.receipts}) == 8
    names = [event.body.event for event in recorder.store.fold(recorder.run).events]
    assert names.count("run_started") == names.count("answer_compiled") == 1
    assert names.count("payment_acknowledged") == 8


def test_a_finished_run_repeated_changes_nothing(job):
    go, payments = job
    steps = StoringSteps()
    first, recorder = go(steps)
    events = [cid for cid in recorder.store.events(recorder.run)]
    transactions = payments.transactions
    second, _ = go(steps)
    assert second == first
    assert recorder.store.events(recorder.run) == events
    assert payments.transactions == transactions


def test_every_stored_value_is_plain_text(job):
    go, _ = job
    steps = StoringSteps()
    go(steps)
    assert steps.stored
    assert all(isinstance(value, str) and len(value) < 256 * 1024 for value in steps.stored.values())
    assert dag_cbor.encode(sorted(steps.stored))
