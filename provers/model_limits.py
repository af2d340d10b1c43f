"""What a model may be, for those who do not load the model's reader."""

from __future__ import annotations

MODEL_LIMIT = 64 << 20
"""Bytes of an ONNX file: far more than any network that can be proved here."""
