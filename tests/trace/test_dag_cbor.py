"""One value, one encoding: round trips, and every other form is refused by offset and rule."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.trace import verify
from prsm_protocol.trace.dag_cbor import BlockNotCanonical, BlockTooLarge, ValueNotEncodable, decode, encode
from prsm_protocol.types import RAW, Cid

cids = st.binary(min_size=32, max_size=32).map(lambda digest: Cid(RAW, digest))
texts = st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: unicodedata.normalize("NFC", text))
integers = st.integers(-(2**63 - 1), 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | integers | st.binary(max_size=40) | texts | cids,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=25,
)


@given(values)
@settings(max_examples=300, deadline=None)
def test_decode_returns_what_was_encoded(value: object) -> None:
    assert decode(encode(value)) == value


@given(values)
@settings(max_examples=200, deadline=None)
def test_standalone_verifier_encodes_and_reads_the_same_bytes(value: object) -> None:
    data = encode(value)
    assert verify.cbor(verify.parse(data)) == data


@given(st.binary(max_size=60))
@settings(max_examples=500, deadline=None)
def test_decoder_accepts_only_what_the_encoder_writes(data: bytes) -> None:
    try:
        value = decode(data)
    except BlockNotCanonical:
        with pytest.raises(verify.NotCanonical):
            verify.parse(data)
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        ("", "the value is complete"),
        ("1801", "integers and lengths are as short as they can be"),
        ("1817", "integers and lengths are as short as they can be"),
        ("1900ff", "integers and lengths are as short as they can be"),
        ("1a0000ffff", "integers and lengths are as short as they can be"),
        ("1b00000000ffffffff", "integers and lengths are as short as they can be"),
        ("1b8000000000000000", "integers lie within ±(2**63 - 1)"),
        ("3b7fffffffffffffff", "integers lie within ±(2**63 - 1)"),
        ("fb3ff8000000000000", "no floats, no undefined, no other simple value"),
        ("f7", "no floats, no undefined, no other simple value"),
        ("9f01ff", "no indefinite lengths"),
        ("5f4101ff", "no indefinite lengths"),
        ("a2616200616100", "keys are sorted by length, then bytes, each once"),
        ("a262616100616200", "keys are sorted by length, then bytes, each once"),
        ("a2616100616100", "keys are sorted by length, then bytes, each once"),
        ("a10100", "keys are text"),
        ("c101", "no tag but 42"),
        ("d82a01", "a link is a byte string: 0, then a CIDv1"),
        ("d82a5823" + "00" * 35, "a link is a byte string: 0, then a CIDv1"),
        ("61ff", "text is UTF-8"),
        ("6365cc81", "text is NFC"),
        ("6301", "the value is complete"),
        ("0000", "nothing follows the value"),
        ("81" * 34 + "00", "at most 32 levels"),
    ],
)
def test_other_forms_are_refused(data: str, rule: str) -> None:
    with pytest.raises(BlockNotCanonical) as refused:
        decode(bytes.fromhex(data))
    assert refused.value.values["rule"] == rule
    with pytest.raises(verify.NotCanonical):
        verify.parse(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("number", "hexadecimal"),
    [(0, "00"), (23, "17"), (24, "1818"), (255, "18ff"), (256, "190100"), (-1, "20"), (-257, "390100")],
)
def test_integers_take_their_shortest_form(number: int, hexadecimal: str) -> None:
    assert encode(number).hex() == hexadecimal


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63), {1: 2}, "\ud800", object(), {"e\u0301": 1}])
def test_values_without_a_form_are_refused(value: object) -> None:
    with pytest.raises(ValueNotEncodable):
        encode(value)


def test_text_is_written_in_nfc() -> None:
    assert decode(encode("e\u0301")) == "\u00e9"


def test_depth_ends_at_32_levels_both_ways() -> None:
    value: object = 0
    for _ in range(32):
        value = [value]
    assert decode(encode(value)) == value
    with pytest.raises(ValueNotEncodable):
        encode([value])


def test_blocks_over_a_mebibyte_are_refused() -> None:
    assert len(encode(bytes((1 << 20) - 5))) == 1 << 20
    with pytest.raises(BlockTooLarge) as refused:
        encode(bytes((1 << 20) - 4))
    assert refused.value.values == {"bytes": (1 << 20) + 1, "limit": 1 << 20}
    with pytest.raises(BlockTooLarge):
        decode(bytes((1 << 20) + 1))
