"""Small feed-forward models: exact integers for trusted results, floats in a child process as a check on proved ones.

A trusted result is the integer network of the listing's `weights` block, the same bits on every machine. A proved result is
the circuit's; the ONNX file, run in floats by onnxruntime in a process of its own, only tells when a circuit drifts away
from the model it was made of. A native library that crashes or hangs on a stranger's file takes the child with it, not us.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.errors import NodeError
from prsm_protocol.rules import integer_layers
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import Listing

_LIMIT = 64 * 1024 * 1024


class RunnerError(NodeError):
    """Anything about running a model."""


class ModelRefused(RunnerError):
    text = "listing {listing} is not offered: {reason}"


class FloatRunFailed(RunnerError):
    text = "the float run of {listing} failed: {reason}"


class OutputDrift(RunnerError):
    text = (
        "output {index} of the circuit is {fixed}, the model gives {exact}, more than {allowed} apart; the circuit is no "
        "faithful copy of the model, build it again"
    )


@dataclass(frozen=True)
class Loaded:
    """A listing's model, ready to run."""

    listing: Listing
    network: integer_layers.IntegerNetwork
    run_seconds: float  # of one row, measured when it was loaded


def load(listing: Listing, weights: bytes) -> Loaded:
    """Check a stranger's weights against what the listing promises."""
    block = dag_cbor.decode(weights)
    if not isinstance(block, dict):
        raise ModelRefused(listing=listing.cid, reason="its weights block is not a map")
    network = integer_layers.from_block(block)
    outputs = 1 if len(listing.classes) <= 2 else len(listing.classes)
    if network.bits != listing.bits or network.inputs != len(listing.features) or network.outputs != outputs:
        raise ModelRefused(
            listing=listing.cid,
            reason=f"its network has {network.inputs} inputs, {network.outputs} outputs and {network.bits} bits; the listing "
            f"says {len(listing.features)}, {outputs} and {listing.bits}",
        )
    started = time.monotonic()
    integer_layers.run(network, [0] * network.inputs)
    return Loaded(listing, network, time.monotonic() - started)


def run_rows(loaded: Loaded, words: Sequence[int]) -> list[int]:
    """Signed output words of whole rows, one row after the other."""
    width = loaded.network.inputs
    return [
        word
        for at in range(0, len(words), width)
        for word in integer_layers.run(loaded.network, words[at : at + width])
    ]


class FloatRunner:
    """One long-lived child that runs ONNX files; it is started anew after a timeout or a crash."""

    def __init__(self, timeout_seconds: float = 20) -> None:
        self._timeout = timeout_seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self, model: Path, words: Sequence[int], bits: int, *, listing: str) -> list[float]:
        """Outputs of one row. One retry in a fresh child, then `FloatRunFailed`."""
        request = json.dumps({"model": str(model), "words": list(words), "bits": bits}).encode() + b"\n"
        with self._lock:
            for _ in range(2):
                answer = self._exchange(request)
                if answer is not None:
                    break
            else:
                raise FloatRunFailed(listing=listing, reason="the child process ended or ran out of time twice")
        if "error" in answer:
            raise FloatRunFailed(listing=listing, reason=answer["error"])
        outputs = answer["outputs"]
        assert isinstance(outputs, list)
        return [float(value) for value in outputs]

    def _exchange(self, request: bytes) -> dict[str, object] | None:
        child = self._child
        if child is None or child.poll() is not None:
            child = subprocess.Popen(
                [sys.executable, "-m", "oracles.runners.float_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._child = child
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(request)
            child.stdin.flush()
        except BrokenPipeError:
            self.stop()
            return None
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.stdout, selectors.EVENT_READ)
            line = child.stdout.readline() if waiting.select(self._timeout) else b""
        if not line:
            self.stop()
            return None
        found: dict[str, object] = json.loads(line)
        return found

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


def check_drift(fixed: Sequence[int], output_bits: int, exact: Sequence[float], allowed: float) -> None:
    """Refuse a circuit's words that lie away from the model's own answer."""
    for index, (word, value) in enumerate(zip(fixed, exact, strict=True)):
        if abs(word / (1 << output_bits) - value) > allowed:
            raise OutputDrift(index=index, fixed=word / (1 << output_bits), exact=value, allowed=allowed)
