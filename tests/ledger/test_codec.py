"""Stardust bytes against a recorded exchange with Hornet and against iota-sdk's own encoder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from iota_sdk import Block as SdkBlock
from iota_sdk import Utils

from prsm_protocol.ledger import block_json, codec
from prsm_protocol.ledger.codec import Block, BlockMalformed, BlockUnsupported, TaggedData

EXCHANGE = json.loads((Path(__file__).parents[1] / "vectors/iota_stardust_exchange.json").read_text())["exchange"]
POSTS = [each for each in EXCHANGE if each["method"] == "POST"]
RAW = [bytes.fromhex(each["request"]["hex"]) for each in POSTS]
MILESTONES = [each["response"] for each in EXCHANGE if "milestones" in each["path"]]


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


# ── the recorded exchange ────────────────────────────────────────────────────────────────────────────────────────────


def test_vectors_hold_both_kinds_of_block_and_a_milestone():
    assert len(RAW) == 2
    assert len(MILESTONES) == 1


@pytest.mark.parametrize("post", POSTS, ids=["data", "transaction"])
def test_decode_and_encode_return_the_recorded_bytes_and_id(post):
    raw = bytes.fromhex(post["request"]["hex"])
    assert codec.encode(codec.decode(raw)) == raw
    assert codec.block_id(raw) == unhex(post["response"]["blockId"])


def test_json_of_the_data_block_is_the_one_that_hornet_answered():
    answer = next(each["response"] for each in EXCHANGE if each["path"].endswith(POSTS[0]["response"]["blockId"][2:]))
    assert block_json.block_to_json(codec.decode(RAW[0])) == answer
    assert codec.encode(block_json.block_from_json(answer)) == RAW[0]


def test_json_of_the_transaction_is_the_one_that_hornet_answered():
    answer = next(each["response"] for each in EXCHANGE if each["path"].endswith("included-block"))
    assert block_json.block_to_json(codec.decode(RAW[1])) == answer
    assert codec.encode(block_json.block_from_json(answer)) == RAW[1]


def test_transaction_id_network_and_signature_are_those_of_the_recorded_ledger():
    transaction = codec.decode(RAW[1]).payload
    assert isinstance(transaction, codec.Transaction)
    path = next(each["path"] for each in EXCHANGE if each["path"].endswith("included-block"))
    assert transaction.id == unhex(path.split("/")[5])
    assert transaction.network == int.from_bytes(codec.blake2b(b"private_tangle1")[:8], "little")
    unlock = transaction.unlocks[0]
    assert isinstance(unlock, codec.SignatureUnlock)
    Ed25519PublicKey.from_public_bytes(unlock.key).verify(unlock.signature, transaction.signed_message)


def test_commitment_is_the_hash_of_the_consumed_outputs_hashes():
    transaction = codec.decode(RAW[1]).payload
    assert isinstance(transaction, codec.Transaction)
    consumed = next(each["response"]["output"] for each in EXCHANGE if "/outputs/0x" in each["path"])
    address = unhex(consumed["unlockConditions"][0]["address"]["pubKeyHash"])
    output = b"\x03" + int(consumed["amount"]).to_bytes(8, "little") + b"\0\x01\0\0" + address + b"\0"
    assert transaction.commitment == codec.blake2b(codec.blake2b(output))


def test_milestone_is_signed_over_the_hash_of_our_essence():
    milestone = block_json.milestone_from_json(MILESTONES[0])
    assert block_json.payload_to_json(milestone) == MILESTONES[0]
    for each in milestone.signatures:
        Ed25519PublicKey.from_public_bytes(each.key).verify(each.signature, milestone.id)
    assert codec.decode_milestone(milestone.payload) == milestone


# ── iota-sdk's encoder ───────────────────────────────────────────────────────────────────────────────────────────────

parents = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=8, unique=True).map(sorted).map(tuple)
tagged = st.builds(TaggedData, st.binary(min_size=1, max_size=64), st.binary(max_size=400))
blocks = st.builds(Block, parents, tagged, st.integers(0, 2**64 - 1))


@settings(max_examples=150, deadline=None)
@given(blocks)
def test_encode_equals_iota_sdk(block):
    raw = codec.encode(block)
    sdk = SdkBlock.from_dict(block_json.block_to_json(block))
    assert bytes(Utils.block_bytes(sdk)) == raw
    assert unhex(Utils.block_id(sdk)) == codec.block_id(raw)


@settings(max_examples=300, deadline=None)
@given(blocks, st.data())
def test_decode_refuses_or_returns_the_same_bytes_when_a_byte_changed(block, data):
    raw = bytearray(codec.encode(block))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = codec.decode(bytes(raw))
    except (BlockMalformed, BlockUnsupported):
        return
    assert codec.encode(found) == bytes(raw)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_decode_only_ever_refuses_by_name(data):
    try:
        found = codec.decode(b"\x02\x01" + data)
    except (BlockMalformed, BlockUnsupported):
        return
    assert codec.encode(found) == b"\x02\x01" + data


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────────────


def refusal(raw: bytes) -> BlockMalformed:
    with pytest.raises(BlockMalformed) as caught:
        codec.decode(raw)
    return caught.value


def test_decode_refuses_every_truncation():
    for length in range(len(RAW[0])):
        assert refusal(RAW[0][:length])


def test_decode_refuses_bytes_left_over():
    assert "1 bytes left over" in str(refusal(RAW[0] + b"\0"))


def test_decode_refuses_parents_out_of_order_and_repeated():
    first, second = RAW[0][2:34], RAW[0][34:66]
    assert "unsorted or repeated" in str(refusal(RAW[0][:2] + second + first + RAW[0][66:]))
    assert "unsorted or repeated" in str(refusal(RAW[0][:2] + first + first + RAW[0][66:]))


@pytest.mark.parametrize(("count", "fine"), [(0, False), (1, True), (8, True), (9, False)])
def test_encode_keeps_the_bounds_of_parents(count, fine):
    block = Block(tuple(bytes([each]) * 32 for each in range(count)), None)
    if fine:
        assert codec.decode(codec.encode(block)) == block
    else:
        with pytest.raises(BlockMalformed):
            codec.encode(block)


@pytest.mark.parametrize(("size", "fine"), [(63, True), (64, True), (65, False)])
def test_encode_keeps_the_bound_of_the_tag(size, fine):
    block = Block((bytes(32),), TaggedData(b"t" * size, b""))
    if fine:
        assert codec.decode(codec.encode(block)) == block
    else:
        with pytest.raises(BlockMalformed):
            codec.encode(block)


@pytest.mark.parametrize(("over", "fine"), [(-1, True), (0, True), (1, False)])
def test_encode_keeps_the_bound_of_the_block(over, fine):
    empty = len(codec.encode(Block((bytes(32),), TaggedData(b"t", b""))))
    block = Block((bytes(32),), TaggedData(b"t", bytes(codec.MAX_BLOCK_BYTES - empty + over)))
    if fine:
        assert len(codec.encode(block)) == codec.MAX_BLOCK_BYTES + over
    else:
        with pytest.raises(BlockMalformed):
            codec.encode(block)


def test_decode_names_a_payload_kind_that_is_not_read():
    raw = RAW[0].replace((5).to_bytes(4, "little") + b"\x04prsm", (4).to_bytes(4, "little") + b"\x04prsm")
    with pytest.raises(BlockUnsupported) as caught:
        codec.decode(raw)
    assert "kind 4" in str(caught.value)


def test_decode_refuses_another_protocol_version():
    assert "version 3" in str(refusal(b"\x03" + RAW[0][1:]))
