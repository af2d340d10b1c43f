"""Each command's own refusals that need no world: unreadable files, unknown samples, amounts that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prsm_protocol.cli import verify
from tests.cli.conftest import Run
from tests.cli.test_common import invoke

TABLE = "a,b,kind\n1,2,x\n3,4,y\n"
CID = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am"


def refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, exit_code: int, error: str
) -> dict[str, object]:
    code, stdout, stderr = invoke(*arguments, "--json", state=tmp_path / "state", monkeypatch=monkeypatch)
    assert stdout, stderr
    told: dict[str, object] = json.loads(stdout)
    assert (code, told["type"]) == (exit_code, error)
    return told


# ── ask and distill ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_ask_names_the_samples_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = refused(tmp_path, monkeypatch, "ask", "--sample", "tulips", exit_code=2, error="SampleUnknown")
    assert "breast-cancer" in str(told["detail"])


@pytest.mark.parametrize("amount", ["many", "-1", "nan", "1e-19", ""])
def test_ask_takes_no_budget_that_is_no_amount(amount: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "ask", "What is it?", f"--budget={amount}", exit_code=2, error="AmountInvalid")


def test_ask_wants_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "ask", exit_code=2, error="QuestionMissing")


def test_ask_ends_with_1_for_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing.csv")
    code, stdout, _ = invoke("ask", "What?", "--data", missing, "--json", state=tmp_path, monkeypatch=monkeypatch)
    told = json.loads(stdout)
    assert (code, missing in told["detail"]) == (1, True)


def test_distill_ends_with_1_for_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing.csv")
    refused(
        tmp_path, monkeypatch, "distill", "--data", missing, "--target", "kind", exit_code=1, error="DataUnreadable"
    )  # fmt: skip


def test_distill_knows_two_ways_to_give_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(
        tmp_path, monkeypatch, "distill", "--data", "x.csv", "--target", "kind", "--input", "secret", exit_code=2, error="InputUnknown"
    )  # fmt: skip


# ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("verb", ["deposit", "withdraw", "exit"])
@pytest.mark.parametrize(("amount", "error"), [("much", "AmountInvalid"), ("0", "AmountZero")])
def test_vault_moves_amounts_only(
    verb: str, amount: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(tmp_path, monkeypatch, "vault", verb, amount, exit_code=2, error=error)


def test_claim_wants_a_lock_or_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "claim", exit_code=2, error="LockUnnamed")


@pytest.mark.parametrize("task", ["0x12", "zz", "0x" + "11" * 31])
def test_why_paid_wants_a_task_of_32_bytes(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "why-paid", task, exit_code=2, error="TaskIdInvalid")


# ── content ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_share_knows_three_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "share", "x.csv", "--kind", "poem", exit_code=2, error="KindUnknown")


def test_get_wants_a_cid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "get", "nonsense", exit_code=1, error="CidInvalid")


def test_get_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.write_text("mine")
    refused(tmp_path, monkeypatch, "get", CID, "-o", str(there), exit_code=1, error="OutputExists")
    assert there.read_text() == "mine"


# ── circuits and proofs ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("options", "exit_code", "error"),
    [
        (("--input", "secret"), 2, "VisibilityUnknown"),
        (("--labels", "guess"), 2, "LabelsUnknown"),
        (("--bits", "6"), 2, "BitsRefused"),
        (("--bits", "14"), 2, "BitsRefused"),
        (("--bits", "7"), 1, "CellNotNumber"),
        (("--bits", "13"), 1, "CellNotNumber"),
    ],
    ids=str,
)
def test_circuit_build_refuses(
    options: tuple[str, ...], exit_code: int, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = tmp_path / "model", tmp_path / "rows.csv"
    model.write_bytes(b"onnx")
    rows.write_text(TABLE)
    build = ("circuit", "build", str(model), "--rows", str(rows), "--name", "one", *options)
    refused(tmp_path, monkeypatch, *build, exit_code=exit_code, error=error)


def test_circuit_build_ends_with_1_for_a_model_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = ("circuit", "build", str(tmp_path / "none"), "--rows", "rows.csv", "--name", "one")
    refused(tmp_path, monkeypatch, *build, exit_code=1, error="ModelUnreadable")


@pytest.mark.parametrize("context", ["12", "0x" + "zz" * 32, "0x" + "11" * 31, "0x" + "11" * 33])
def test_prove_binds_to_32_bytes(context: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prove = ("prove", "one", "--input", "row.csv", "--context", context)
    refused(tmp_path, monkeypatch, *prove, exit_code=2, error="ContextInvalid")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"circuit": "c", "context": "0x00", "proof": "0x"}'])
def test_verify_proof_refuses_what_is_no_proof_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proof.json"
    path.write_text(text)
    refused(
        tmp_path, monkeypatch, "verify-proof", "one", "--proof", str(path), exit_code=1, error="ProofFileInvalid"
    )  # fmt: skip


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_redact_ends_with_1_for_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "run.car")
    refused(
        tmp_path, monkeypatch, "trace", "redact", missing, "--keep", "answer", exit_code=1, error="RunFileUnreadable"
    )  # fmt: skip


def test_redact_never_overwrites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there.car"
    there.write_text("mine")
    redact = ("trace", "redact", str(tmp_path / "run.car"), "--keep", "answer", "-o", str(there))
    refused(tmp_path, monkeypatch, *redact, exit_code=1, error="RunFileExists")
    assert there.read_text() == "mine"


def test_verify_prints_the_very_script_that_it_runs(prsm: Run) -> None:
    done = prsm("verify", "--print-script")
    assert done.returncode == 0
    assert done.stdout == verify.script().read_text()


def test_verify_wants_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "verify", exit_code=2, error="BundleUnnamed")


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_identity_is_made_once_and_shown_without_a_world(prsm: Run, state: Path) -> None:
    made = prsm("identity", "create", "anna", "--json")
    assert made.returncode == 0, made.stderr
    shown = prsm("identity", "show", "--as", "anna", "--json")
    assert json.loads(shown.stdout) == json.loads(made.stdout)
    assert json.loads(shown.stdout)["did"].startswith("did:key:z6Mk")
    assert (state / "homes/anna/passphrase").stat().st_mode & 0o777 == 0o600
    again = prsm("identity", "create", "anna")
    assert (again.returncode, "KeystoreExists" in again.stderr) == (1, True)


@pytest.mark.parametrize("name", ["../anna", "a/b", "", ".", "änna"])
def test_identity_takes_no_name_that_leads_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(tmp_path, monkeypatch, "identity", "create", name, exit_code=2, error="HomeNameInvalid")


def test_identity_of_nobody_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, monkeypatch, "identity", "show", "--as", "nobody", exit_code=2, error="HomeMissing")
