"""Seals: equal payloads of a run seal equally, nobody guesses one, each opens alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prsm_protocol.trace.seal import SealMismatch, open_with, seal
from prsm_protocol.types import Cid


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=100))
def test_opening_gives_the_payload_back(secret: bytes, payload: bytes) -> None:
    sealed, opening = seal(secret, Cid.of(payload), len(payload))
    assert open_with(opening) == Cid.of(payload)
    assert opening.digest == sealed.digest
    assert sealed.size_class == len(payload).bit_length()
    assert seal(secret, Cid.of(payload), len(payload)) == (sealed, opening)


def test_equal_payloads_of_two_runs_seal_differently() -> None:
    cid = Cid.of(b"yes")
    assert seal(b"a" * 32, cid, 3)[0] != seal(b"b" * 32, cid, 3)[0]


def test_seal_says_nothing_about_its_payload() -> None:
    sealed, _ = seal(b"a" * 32, Cid.of(b"yes"), 3)
    assert Cid.of(b"yes").digest not in sealed.digest
    assert sealed.size_class == seal(b"a" * 32, Cid.of(b"no!"), 2)[0].size_class


@pytest.mark.parametrize("change", [{"salt": bytes(32)}, {"cid": Cid.of(b"no")}, {"digest": bytes(32)}])
def test_other_opening_is_refused(change: dict[str, object]) -> None:
    _, opening = seal(b"a" * 32, Cid.of(b"yes"), 3)
    with pytest.raises(SealMismatch):
        open_with(replace(opening, **change))  # type: ignore[arg-type]
