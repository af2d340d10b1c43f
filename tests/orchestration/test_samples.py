import pytest

from prsm_protocol.orchestration import question, samples
from prsm_protocol.rules.rows import Part, part_of, row_bytes


@pytest.mark.parametrize("name", ["breast-cancer", "wine", "digits", "diabetes"])
def test_what_is_asked_about_was_never_trained_on(name, tmp_path):
    cases, known = (question.read_file(path).table for path in samples.write_sample(name, tmp_path))
    training = question.read_file(samples.training_csv(name, tmp_path)).table
    target = samples.sample(name).target
    assert len(cases.rows) == 8
    assert target not in cases.columns
    assert known.columns == (*cases.columns, target) == training.columns
    assert all(part_of(row_bytes(row)) is Part.HELD_OUT for row in cases.rows)
    assert all(part_of(row_bytes(row[:-1])) is Part.HELD_OUT for row in known.rows)
    assert all(part_of(row_bytes(row[:-1])) is not Part.HELD_OUT for row in training.rows)
    total = len(samples.load(name).rows)
    assert len(cases.rows) + len(known.rows) + len(training.rows) == total


def test_sizes_are_those_of_the_data_sets():
    sizes = {name: (len(samples.load(name).rows), len(samples.load(name).columns)) for name in samples.SAMPLES}
    assert sizes == {"breast-cancer": (569, 30), "wine": (178, 13), "digits": (1797, 64), "diabetes": (442, 10)}


def test_a_sample_is_written_twice_the_same_and_never_over_another_file(tmp_path):
    first = samples.write_sample("wine", tmp_path)
    assert samples.write_sample("wine", tmp_path) == first
    first[0].write_text("mine")
    with pytest.raises(samples.SampleExists, match=r"cases\.csv"):
        samples.write_sample("wine", tmp_path)
    assert first[0].read_text() == "mine"


def test_an_unknown_sample_names_the_known_ones():
    with pytest.raises(samples.SampleUnknown, match="breast-cancer, wine, digits, diabetes"):
        samples.question_for("iris")


@pytest.mark.parametrize("name", ["breast-cancer", "breast_cancer"])
def test_names_with_either_dash_are_known(name):
    assert "malignant" in samples.question_for(name)
