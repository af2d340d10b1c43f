"""Tags and envelopes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.identity import Identity, verify
from prsm_protocol.ledger.codec import blake2b
from prsm_protocol.ledger.messages import (
    EnvelopeInvalid,
    Kind,
    MessageTooLarge,
    TagInvalid,
    message_key,
    open_envelope,
    seal_envelope,
    split_tag,
    tag_of,
)
from prsm_protocol.trace import dag_cbor

NETWORK = b"network1"
SENDER = Identity.from_seed32(b"\x01" * 32)
STRANGER = Identity.from_seed32(b"\x02" * 32)


@settings(max_examples=100)
@given(st.sampled_from(Kind), st.binary(max_size=50))
def test_split_tag_returns_kind_and_raw_scope(kind, scope):
    assert split_tag(tag_of(kind, scope)) == (kind, scope)


@pytest.mark.parametrize("tag", [b"", b"prsm", b"prsm/", b"prsm/voucher", b"prsm/nothing/x", b"other/voucher/x"])
def test_split_tag_refuses_foreign_tags(tag):
    with pytest.raises(TagInvalid):
        split_tag(tag)


@pytest.mark.parametrize(("size", "fine"), [(51, True), (52, True), (53, False)])
def test_tag_keeps_within_the_ledgers_bound(size, fine):
    if fine:
        assert len(tag_of(Kind.NOTICE, bytes(size))) <= 64
    else:
        with pytest.raises(TagInvalid):
            tag_of(Kind.NOTICE, bytes(size))


def test_voucher_tag_holds_a_whole_channel_id():
    assert tag_of(Kind.VOUCHER, bytes(32)) == b"prsm/voucher/" + bytes(32)


def test_message_key_hashes_length_tag_and_data():
    assert message_key(b"ab", b"c") == blake2b(b"\x02abc")
    assert message_key(b"ab", b"c") != message_key(b"a", b"bc")


def test_envelope_opens_with_its_sender():
    tag = tag_of(Kind.NOTICE, b"topic")
    data = seal_envelope(NETWORK, tag, {"text": "hello"}, SENDER)
    opened = open_envelope(NETWORK, tag, data, verify)
    assert (opened.kind, opened.body, opened.by) == (Kind.NOTICE, {"text": "hello"}, SENDER.did)


def test_envelope_does_not_open_under_another_tag_or_network():
    tag = tag_of(Kind.NOTICE, b"topic")
    data = seal_envelope(NETWORK, tag, 1, SENDER)
    with pytest.raises(EnvelopeInvalid):
        open_envelope(NETWORK, tag_of(Kind.NOTICE, b"other"), data, verify)
    with pytest.raises(EnvelopeInvalid):
        open_envelope(b"network2", tag, data, verify)


@pytest.mark.parametrize("change", [{"body": 2}, {"by": STRANGER.did}, {"v": 2}, {"kind": "usage"}, {"more": 1}])
def test_envelope_does_not_open_when_a_field_changed(change):
    tag = tag_of(Kind.NOTICE, b"topic")
    fields = dag_cbor.decode(seal_envelope(NETWORK, tag, 1, SENDER))
    assert isinstance(fields, dict)
    with pytest.raises(EnvelopeInvalid):
        open_envelope(NETWORK, tag, dag_cbor.encode(fields | change), verify)


def test_voucher_carries_no_outer_signature_and_others_must():
    with pytest.raises(EnvelopeInvalid):
        seal_envelope(NETWORK, tag_of(Kind.VOUCHER, bytes(32)), 1, SENDER)
    with pytest.raises(EnvelopeInvalid):
        seal_envelope(NETWORK, tag_of(Kind.USAGE, bytes(32)), 1, None)


@pytest.mark.parametrize(("size", "fine"), [(29_996, True), (29_997, True), (29_998, False)])
def test_body_keeps_within_its_limit(size, fine):  # three bytes are CBOR's head
    if fine:
        seal_envelope(NETWORK, tag_of(Kind.NOTICE), bytes(size), SENDER)
    else:
        with pytest.raises(MessageTooLarge) as caught:
            seal_envelope(NETWORK, tag_of(Kind.NOTICE), bytes(size), SENDER)
        assert caught.value.values == {"bytes": 30_001, "limit": 30_000}


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_noise_never_opens(data):
    with pytest.raises(EnvelopeInvalid):
        open_envelope(NETWORK, tag_of(Kind.VOUCHER, bytes(32)), data, verify)
