"""From a table to a student: what may be learned from, how it is scored, what is exported."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine

from prsm_protocol.content.table import DataUnreadable, Table, parse_table
from prsm_protocol.distillation import export, safety, student_search
from prsm_protocol.distillation.evaluation import Evaluation, Score, label_of, score, score_answers
from prsm_protocol.distillation.extraction import TeacherUnreliable, as_tensor, extract
from prsm_protocol.distillation.request import Dataset, DataUnfit, TargetUnknown, prepare
from prsm_protocol.distillation.student_search import NoStudentFits, multiplications, search
from prsm_protocol.distillation.training import quantise, soft_loss, tensors, train
from prsm_protocol.rules.integer_layers import IntegerNetwork, run
from prsm_protocol.rules.rows import Part
from prsm_protocol.types import Progress

BITS = 10


def as_table(bunch, name: str) -> Table:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*bunch.feature_names, "kind"])
    for row, target in zip(bunch.data, bunch.target, strict=True):
        writer.writerow([*(repr(float(cell)) for cell in row), bunch.target_names[target]])
    return parse_table(out.getvalue().encode(), name)


@pytest.fixture(scope="module")
def cancer() -> Dataset:
    return prepare(as_table(load_breast_cancer(), "cancer.csv"), "kind", bits=BITS)


@pytest.fixture(scope="module")
def wine() -> Dataset:
    return prepare(as_table(load_wine(), "wine.csv"), "kind", bits=BITS)


class LocalTeacher:
    """A network in this process, counting what it is asked."""

    def __init__(self, network: IntegerNetwork, lie_every: int = 0) -> None:
        self.network, self.lie_every, self.asked = network, lie_every, 0

    def ask(self, part: str, rows: Sequence[Sequence[int]]) -> list[list[int]]:
        answers = []
        for row in rows:
            self.asked += 1
            words = run(self.network, row)
            answers.append([-word for word in words] if self.lie_every and self.asked % self.lie_every == 0 else words)
        return answers


@pytest.fixture(scope="module")
def teacher(cancer: Dataset) -> LocalTeacher:
    return LocalTeacher(quantise(train(cancer, (64, 64), seed=1, epochs=150), BITS))


def test_prepare_splits_by_content_and_scales_on_training_rows(cancer: Dataset) -> None:
    assert cancer.classes == ("benign", "malignant")
    assert (len(cancer.features), cancer.outputs) == (30, 1)
    sizes = [len(cancer.rows_of(part)) for part in Part]
    assert sum(sizes) == 569
    assert sizes[0] > 4 * sizes[1]
    column = [cancer.words[row][0] / (1 << BITS) for row in cancer.rows_of(Part.TRAIN)]
    assert abs(sum(column) / len(column)) < 0.01


def test_student_keeps_its_teachers_accuracy_on_held_out_rows(cancer: Dataset, teacher: LocalTeacher) -> None:
    seen: list[Progress] = []
    answers = extract(cancer, teacher, seen.append)
    found = search(cancer, as_tensor(cancer, answers), seed=2)
    evaluation = Evaluation(
        score_answers(cancer, answers, Part.HELD_OUT),
        score(cancer, found.network, Part.HELD_OUT),
        len(cancer.rows_of(Part.HELD_OUT)),
    )
    assert evaluation.student.ppm > 900_000
    assert safety.gate(cancer, found.network, True, evaluation)[2].check == "retention"
    assert seen[-1].done == seen[-1].total == 569
    assert teacher.asked == 569 + 8
    model = export.to_onnx(found.network)
    assert model == export.to_onnx(found.network)
    export.check(found.network, model, [cancer.words[row] for row in cancer.rows_of(Part.VALIDATION)])


def test_three_classes_take_the_largest_of_three_words(wine: Dataset) -> None:
    network = quantise(train(wine, (16,), seed=3), BITS)
    assert wine.outputs == 3
    assert score(wine, network, Part.HELD_OUT).ppm > 900_000
    assert label_of(3, [5, 9, 9]) == 1


def test_training_is_the_same_for_the_same_seed(wine: Dataset) -> None:
    first, again, other = (quantise(train(wine, (8,), seed=seed, epochs=50), BITS) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_shuffled_labels_teach_nothing(cancer: Dataset) -> None:
    from dataclasses import replace

    order = sorted(range(len(cancer.targets)), key=lambda row: hash((row * 2654435761) % 2**32))
    shuffled = replace(cancer, targets=tuple(cancer.targets[row] for row in order))
    network = quantise(train(shuffled, (16,), seed=3, epochs=100), BITS)
    assert score(cancer, network, Part.HELD_OUT).ppm < 800_000


def test_soft_loss_is_zero_for_equal_outputs_and_has_the_right_gradient(cancer: Dataset) -> None:
    outputs = torch.randn(7, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    goal = torch.randn(7, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert soft_loss(cancer, goal, goal, 2.0).abs() < 1e-12
    assert torch.autograd.gradcheck(lambda values: soft_loss(cancer, values, goal, 2.0), (outputs,))


def test_tensors_have_a_row_each(wine: Dataset) -> None:
    inputs, targets = tensors(wine)
    assert inputs.shape == (178, 13)
    assert targets.tolist() == list(wine.targets)


def test_extract_refuses_a_teacher_that_contradicts_itself(cancer: Dataset, teacher: LocalTeacher) -> None:
    with pytest.raises(TeacherUnreliable):
        extract(cancer, LocalTeacher(teacher.network, lie_every=2), lambda _: None)


# ── what cannot be learned from ──────────────────────────────────────────────────────────────────────────────────────


def table_of(rows: int, *, header: str = "a,b,kind", cell: str = "1") -> bytes:
    lines = [header] + [f"{i},{i % 7},{'yes' if i % 2 else 'no'}" for i in range(rows)]
    lines[min(5, rows)] = f"{cell},3,yes"
    return "\n".join(lines).encode()


def test_prepare_reports_every_problem_with_its_line() -> None:
    with pytest.raises(DataUnfit) as caught:
        prepare(parse_table(table_of(60, cell=""), "t.csv"), "kind", bits=BITS)
    assert "60 rows; at least 100" in str(caught.value)
    assert "line 6: column 'a' holds ''" in str(caught.value)
    with pytest.raises(TargetUnknown, match="a, b, kind"):
        prepare(parse_table(table_of(120), "t.csv"), "sort", bits=BITS)
    constant = table_of(120).replace(b"yes", b"no")
    with pytest.raises(DataUnfit, match="nothing to learn"):
        prepare(parse_table(constant, "t.csv"), "kind", bits=BITS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"a,b\n", "no rows"),
        (b"a,b\n1,2\n1\n", "line 3 has 1 cells"),
        (b"a,a\n1,2\n", "must be there and differ"),
        (b"a,b\n1,\xff\n", "line 2 is not UTF-8"),
        (b'a,b\n1,"2\n', "unexpected end"),
    ],
)
def test_parse_refuses_broken_tables_and_says_where(data: bytes, reason: str) -> None:
    with pytest.raises(DataUnreadable, match=reason):
        parse_table(data, "t.csv")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_parse_finds_the_delimiter(delimiter: str) -> None:
    table = parse_table(f"a{delimiter}b\n1{delimiter}2\n".encode(), "t.csv")
    assert (table.columns, table.rows, table.delimiter) == (("a", "b"), (("1", "2"),), delimiter)


def test_search_refuses_what_cannot_be_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    assert multiplications(30, (16,), 1) == 496
    wide = "\n".join(
        [",".join([f"c{i}" for i in range(60)] + ["kind"])]
        + [",".join([str((row * (i + 3)) % 97) for i in range(60)] + [f"k{row % 50}"]) for row in range(1100)]
    )
    data = prepare(parse_table(wide.encode(), "wide.csv"), "kind", bits=BITS)
    monkeypatch.setattr(student_search, "MAX_MULTIPLICATIONS", 500)
    with pytest.raises(NoStudentFits, match="fits 500 multiplications"):
        search(data, torch.zeros(1100, 50), seed=1)


def test_gate_refuses_licence_leak_and_loss(cancer: Dataset, teacher: LocalTeacher) -> None:
    fine = Evaluation(Score(100, 110), Score(99, 110), 110)
    with pytest.raises(safety.SafetyGateFailed, match="licence"):
        safety.gate(cancer, teacher.network, False, fine)
    with pytest.raises(safety.RetentionTooLow):
        safety.gate(cancer, teacher.network, True, Evaluation(Score(100, 110), Score(89, 110), 110))
    from dataclasses import replace

    held_out = cancer.rows_of(Part.HELD_OUT)[0]
    train_row = cancer.rows_of(Part.TRAIN)[0]
    words = list(cancer.words)
    words[held_out] = words[train_row]
    with pytest.raises(safety.SafetyGateFailed, match="1 held-out rows"):
        safety.gate(replace(cancer, words=tuple(words)), teacher.network, True, fine)
