"""Models: strangers' weights are checked, floats run in a child that may die, drift is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from oracles.runners import onnx
from prsm_protocol.rules import integer_layers
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import Cid, Feature, Listing, Price, Wei
from tests.oracles.proving import onnx_of_network
from tests.oracles.world import BITS, NETWORK, ROW

NOTHING = Cid.of(b"")


def listing(features: int = 3, classes: tuple[str, ...] = ("no", "yes"), bits: int = BITS) -> Listing:
    return Listing(
        name="n", record=bytes(32), owner="0x" + "11" * 20, kinds=("predict",),
        features=tuple(Feature(str(at), "0", "1") for at in range(features)), classes=classes, target="t", bits=bits,
        model=NOTHING, weights=NOTHING, price=Price(Wei(1), Wei(1)), tiers=("trusted",), circuits=(), licence="x",
        may_distill=False, trained_on=(), evaluations=(), endpoints=(), cid=NOTHING,
    )  # fmt: skip


def weights() -> bytes:
    return dag_cbor.encode(integer_layers.to_block(NETWORK))


def test_rows_run_one_after_the_other() -> None:
    loaded = onnx.load(listing(), weights())
    other = (1, 2, 3)
    assert onnx.run_rows(loaded, [*ROW, *other]) == [
        *integer_layers.run(NETWORK, ROW),
        *integer_layers.run(NETWORK, other),
    ]


@pytest.mark.parametrize("wrong", [listing(features=4), listing(classes=("a", "b", "c")), listing(bits=BITS + 1)])
def test_weights_that_do_not_fit_the_listing_are_refused(wrong: Listing) -> None:
    with pytest.raises(onnx.ModelRefused):
        onnx.load(wrong, weights())


def test_float_child_is_started_again_after_it_was_killed(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(onnx_of_network())
    runner = onnx.FloatRunner()
    try:
        first = runner.run(model, ROW, BITS, listing="l")
        (exact,) = integer_layers.run(NETWORK, ROW)
        onnx.check_drift([exact], BITS, first, 0.01)
        child = runner._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert runner.run(model, ROW, BITS, listing="l") == first
    finally:
        runner.stop()


def test_broken_model_is_an_answer_and_not_the_end(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"not a model")
    runner = onnx.FloatRunner()
    try:
        with pytest.raises(onnx.FloatRunFailed):
            runner.run(model, ROW, BITS, listing="l")
    finally:
        runner.stop()


@pytest.mark.parametrize(
    ("fixed", "drifts"), [(1024, False), (1024 + 102, False), (1024 + 104, True), (1024 - 104, True)]
)
def test_drift_begins_beyond_what_is_allowed(fixed: int, drifts: bool) -> None:
    if drifts:
        with pytest.raises(onnx.OutputDrift):
            onnx.check_drift([fixed], 10, [1.0], 0.1)
    else:
        onnx.check_drift([fixed], 10, [1.0], 0.1)
