"""What an answer leaves on record is what the standalone verifier wants: whole runs, exported and checked."""

from dataclasses import replace

import pytest

from prsm_protocol.identity import Identity
from prsm_protocol.orchestration import nodes, orchestrator, question, samples
from prsm_protocol.orchestration.payments import NoPayments
from prsm_protocol.trace import bundle, verify
from prsm_protocol.trace.blocks import RunHead
from prsm_protocol.types import FTNS, Wei

ASKER = Identity.generate()
NO_MONEY = Wei(0)


def checked(recorder, asked, answer, folder, *, change=None):
    """Status of each check of the exported run, with what was found wrong."""
    recorder.record("run/ended", "run_ended")
    template = RunHead(
        run=b"",
        asker="",
        question=orchestrator.question_ref(recorder, asked),
        state=answer.state,
        answer=orchestrator.answer_ref(recorder, asked, answer),
        tier=answer.tier,
        events=0,
        merkle_root=b"",
        last=None,
        delegation=None,
        locked=answer.spent,
        spent=answer.spent,
        refunded=NO_MONEY,
        open=NO_MONEY,
        previous=None,
        started_us=0,
        ended_us=1,
    )
    recorder.head(template, recorder.signer)
    exported = bundle.export(recorder.store, recorder.run, folder)
    data = exported.path.read_bytes()
    run = verify.read_run(change(data) if change else data)
    return {check.name: (check.status, check.wrong, check.open) for check in verify.verify(run)}


@pytest.mark.parametrize("sample", ["breast-cancer", "wine", "diabetes"])
def test_a_local_run_holds_in_every_check(sample, network_of, recorder, steps, sample_files, tmp_path):
    names = [f"{sample} network", f"{sample} linear"] if sample != "diabetes" else [sample]
    asked = question.read(samples.question_for(sample), sample_files(sample), local=True)
    network = network_of(*names)
    estimate = orchestrator.estimate(asked, network)
    answer = orchestrator.answer(asked, estimate, steps, NoPayments(), recorder, network)
    assert answer.state == "answered", answer.text
    found = checked(recorder, asked, answer, tmp_path)
    assert {name: entry for name, entry in found.items() if entry[0] != verify.OK} == {}


@pytest.mark.parametrize("case", ["all", "dead", "late"])
def test_a_paid_run_holds_in_what_needs_no_chain(
    case, network_of, payments_of, recorder, steps, sample_files, tmp_path, monkeypatch
):
    monkeypatch.setattr(nodes, "GONE_SECONDS", 0.2)
    network = network_of("wine network", "wine linear", nodes=("alice",))
    network.add("mallory", dies_after=None if case == "all" else 1)
    payments = payments_of(network)
    if case == "late":
        payments.on_settle = lambda: wake(network)
    asked = question.read(samples.question_for("wine"), sample_files("wine"), budget=Wei(FTNS))
    estimate = orchestrator.estimate(asked, network)
    answer = orchestrator.answer(asked, estimate, steps, payments, recorder, network)
    assert answer.state == "answered", answer.text
    assert answer.spent == (11 if case == "late" else 8) * 10**16
    found = checked(recorder, asked, answer, tmp_path)
    wrong = {name: entry[1] for name, entry in found.items() if entry[1]}
    wrong.pop("V11", None)  # this run was paid by a script, so no evidence of a chain stands in the file
    wrong.pop("V12", None)
    assert wrong == {}


def wake(network):
    """The silent node delivers at last, and the escrow pays it."""
    mallory = network.scripted["http://mallory"]
    mallory.dies_after = None
    network.paid |= set(mallory.inputs)


def test_a_partial_run_holds_too(network_of, payments_of, recorder, steps, sample_files, tmp_path, monkeypatch):
    monkeypatch.setattr(nodes, "GONE_SECONDS", 0.2)
    network = network_of("breast-cancer network", nodes=())
    network.add("mallory", dies_after=3)
    files = sample_files("breast-cancer")[:1]
    asked = question.read("Which cases are malignant and why?", files, budget=Wei(FTNS))
    estimate = orchestrator.estimate(asked, network)
    answer = orchestrator.answer(asked, estimate, steps, payments_of(network), recorder, network)
    assert answer.state == "partial"
    found = checked(recorder, asked, answer, tmp_path)
    wrong = {name: entry[1] for name, entry in found.items() if entry[1]}
    wrong.pop("V11", None)
    wrong.pop("V12", None)
    assert wrong == {}


def test_quotes_and_calculations_hold(network_of, recorder, steps, sample_files, tmp_path):
    report = tmp_path / "report.md"
    report.write_text("The trial ended in May 2021. It was funded by a public grant. Side effects were mild headaches.")
    asked = question.read("Who funded the study?", [report])
    network = network_of("wine network")
    answer = orchestrator.answer(asked, orchestrator.estimate(asked, network), steps, NoPayments(), recorder, network)
    assert "funded by a public grant" in answer.text
    found = checked(recorder, asked, answer, tmp_path)
    assert {name: entry for name, entry in found.items() if entry[0] != verify.OK} == {}


@pytest.mark.parametrize("text", ["What is the mean alcohol?", "What is 3/7 + 2/5?"])
def test_a_calculation_holds(text, network_of, recorder, steps, sample_files, tmp_path):
    files = sample_files("wine") if "alcohol" in text else []
    asked = question.read(text, files)
    network = network_of("wine network")
    answer = orchestrator.answer(asked, orchestrator.estimate(asked, network), steps, NoPayments(), recorder, network)
    assert answer.state == "answered", answer.text
    found = checked(recorder, asked, answer, tmp_path)
    assert {name: entry for name, entry in found.items() if entry[0] != verify.OK} == {}


def test_a_changed_label_is_found(network_of, recorder, steps, sample_files, tmp_path):
    """The record of an answer that says another class than the model: the verifier recomputes and names it."""
    network = network_of("wine network")
    asked = question.read("Which cultivar is each wine?", sample_files("wine")[:1], local=True)
    answer = orchestrator.answer(asked, orchestrator.estimate(asked, network), steps, NoPayments(), recorder, network)
    row = answer.tables[0].rows[0]
    other = next(name for name in ("cultivar 1", "cultivar 2") if name != row[1])
    forged = replace(answer.tables[0], rows=((row[0], other, row[2]), *answer.tables[0].rows[1:]))
    found = checked(recorder, asked, replace(answer, tables=(forged,)), tmp_path)
    assert found["V13"][0] == verify.FALSE
