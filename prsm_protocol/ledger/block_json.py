"""Blocks and milestones as the JSON of Stardust's REST interface and of its inclusion tool.

Only a rendering of `codec`'s values: hexadecimal with 0x, amounts and nonces as decimal strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prsm_protocol.ledger.codec import (
    BasicOutput,
    Block,
    BlockMalformed,
    BlockUnsupported,
    Input,
    Milestone,
    MilestoneSignature,
    Payload,
    ReferenceUnlock,
    SignatureUnlock,
    TaggedData,
    Transaction,
)

Json = dict[str, object]


def hex_of(data: bytes) -> str:
    return "0x" + data.hex()


def block_to_json(block: Block) -> Json:
    out: Json = {"protocolVersion": 2, "parents": [hex_of(each) for each in block.parents]}
    if block.payload is not None:
        out["payload"] = payload_to_json(block.payload)
    return out | {"nonce": str(block.nonce)}


def payload_to_json(payload: Payload) -> Json:
    if isinstance(payload, TaggedData):
        return {"type": 5, "tag": hex_of(payload.tag), "data": hex_of(payload.data)}
    if isinstance(payload, Milestone):
        return {
            "type": 7,
            "index": payload.index,
            "timestamp": payload.timestamp,
            "protocolVersion": 2,
            "previousMilestoneId": hex_of(payload.previous),
            "parents": [hex_of(each) for each in payload.parents],
            "inclusionMerkleRoot": hex_of(payload.inclusion_root),
            "appliedMerkleRoot": hex_of(payload.applied_root),
            "signatures": [_signature(each.key, each.signature) for each in payload.signatures],
        }
    essence: Json = {
        "type": 1,
        "networkId": str(payload.network),
        "inputs": [
            {"type": 0, "transactionId": hex_of(each.transaction), "transactionOutputIndex": each.index}
            for each in payload.inputs
        ],
        "inputsCommitment": hex_of(payload.commitment),
        "outputs": [_output(each) for each in payload.outputs],
    }
    if payload.payload is not None:
        essence["payload"] = payload_to_json(payload.payload)
    return {"type": 6, "essence": essence, "unlocks": [_unlock(each) for each in payload.unlocks]}


def _signature(key: bytes, signature: bytes) -> Json:
    return {"type": 0, "publicKey": hex_of(key), "signature": hex_of(signature)}


def _output(output: BasicOutput) -> Json:
    address: Json = {"type": 0, "pubKeyHash": hex_of(output.key_hash)}
    return {"type": 3, "amount": str(output.amount), "unlockConditions": [{"type": 0, "address": address}]}


def _unlock(unlock: SignatureUnlock | ReferenceUnlock) -> Json:
    if isinstance(unlock, ReferenceUnlock):
        return {"type": 1, "reference": unlock.reference}
    return {"type": 0, "signature": _signature(unlock.key, unlock.signature)}


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def block_from_json(value: object) -> Block:
    fields = _Fields(value, "block")
    payload = payload_from_json(fields.raw["payload"]) if fields.raw.get("payload") is not None else None
    return Block(tuple(fields.hexes("parents")), payload, fields.number("nonce"))


def payload_from_json(value: object) -> Payload:
    fields = _Fields(value, "payload")
    kind = fields.number("type")
    if kind == 5:
        return TaggedData(fields.hex("tag") if "tag" in fields.raw else b"", fields.hex("data"))
    if kind == 6:
        return _transaction(fields)
    if kind == 7:
        return milestone_from_json(value)
    raise BlockUnsupported(kind=f"a payload of kind {kind}")


def milestone_from_json(value: object) -> Milestone:
    fields = _Fields(value, "milestone")
    if fields.raw.get("options") or fields.raw.get("metadata"):
        raise BlockUnsupported(kind="a milestone with metadata or options")
    signatures = [_Fields(each, "signature") for each in fields.items("signatures")]
    return Milestone(
        fields.number("index"),
        fields.number("timestamp"),
        fields.hex("previousMilestoneId"),
        tuple(fields.hexes("parents")),
        fields.hex("inclusionMerkleRoot"),
        fields.hex("appliedMerkleRoot"),
        tuple(MilestoneSignature(each.hex("publicKey"), each.hex("signature")) for each in signatures),
    )


def _transaction(fields: _Fields) -> Transaction:
    essence = fields.inner("essence")
    inputs = [_Fields(each, "input") for each in essence.items("inputs")]
    payload = payload_from_json(essence.raw["payload"]) if essence.raw.get("payload") is not None else None
    if payload is not None and not isinstance(payload, TaggedData):
        raise BlockUnsupported(kind="a transaction with a payload that is not tagged data")
    return Transaction(
        essence.number("networkId"),
        tuple(Input(each.hex("transactionId"), each.number("transactionOutputIndex")) for each in inputs),
        essence.hex("inputsCommitment"),
        tuple(_output_from(_Fields(each, "output")) for each in essence.items("outputs")),
        payload,
        tuple(_unlock_from(_Fields(each, "unlock")) for each in fields.items("unlocks")),
    )


def _output_from(fields: _Fields) -> BasicOutput:
    conditions = fields.items("unlockConditions")
    if fields.number("type") != 3 or len(conditions) != 1 or fields.raw.get("features"):
        raise BlockUnsupported(kind="an output that is not a plain basic one")
    address = _Fields(conditions[0], "unlock condition").inner("address")
    return BasicOutput(fields.number("amount"), address.hex("pubKeyHash"))


def _unlock_from(fields: _Fields) -> SignatureUnlock | ReferenceUnlock:
    if fields.number("type") == 1:
        return ReferenceUnlock(fields.number("reference"))
    signature = fields.inner("signature")
    return SignatureUnlock(signature.hex("publicKey"), signature.hex("signature"))


class _Fields:
    """One JSON object whose fields are asked for by type; what is missing or wrong is named."""

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, Mapping):
            raise BlockMalformed(offset=0, rule=f"the {what} is no JSON object")
        self.raw: Mapping[str, object] = value
        self.what = what

    def _fail(self, name: str, expected: str) -> BlockMalformed:
        return BlockMalformed(offset=0, rule=f"field {name!r} of the {self.what} is not {expected}")

    def number(self, name: str) -> int:
        value = self.raw.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        raise self._fail(name, "a number")

    def _bytes(self, value: object, name: str) -> bytes:
        if isinstance(value, str) and value.startswith("0x"):
            try:
                return bytes.fromhex(value[2:])
            except ValueError:
                raise self._fail(name, "hexadecimal") from None
        raise self._fail(name, "hexadecimal with 0x")

    def hex(self, name: str) -> bytes:
        return self._bytes(self.raw.get(name), name)

    def items(self, name: str) -> Sequence[object]:
        value = self.raw.get(name)
        if not isinstance(value, list):
            raise self._fail(name, "a list")
        return value

    def hexes(self, name: str) -> list[bytes]:
        return [self._bytes(each, name) for each in self.items(name)]

    def inner(self, name: str) -> _Fields:
        return _Fields(self.raw.get(name), name)
