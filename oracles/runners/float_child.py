"""The child that runs ONNX files in floats: one JSON request a line in, one answer a line out.

It has no network use, loads no code from a model's folder and keeps the last few sessions open.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # newer versions write an id into the home folder when imported

import numpy
import onnxruntime

_SESSIONS: dict[str, onnxruntime.InferenceSession] = {}
_MOST = 16


def main() -> None:
    for line in sys.stdin:
        try:
            answer: dict[str, object] = {"outputs": _run(json.loads(line))}
        except Exception as error:  # whatever a stranger's file provokes is an answer, not the end of this process
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _run(request: dict[str, object]) -> list[float]:
    path, words, bits = str(request["model"]), request["words"], request["bits"]
    assert isinstance(bits, int)
    session = _SESSIONS.get(path)
    if session is None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        if len(_SESSIONS) >= _MOST:
            _SESSIONS.clear()
        _SESSIONS[path] = session
    row = numpy.asarray(words, dtype=numpy.float64).reshape(1, -1) / float(1 << bits)
    (outputs,) = session.run(["y"], {"x": row.astype(numpy.float32)})
    return [float(value) for value in numpy.asarray(outputs).reshape(-1)]


if __name__ == "__main__":
    main()
