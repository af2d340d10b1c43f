"""A signed result hashes as the hub hashes it, and its signer is recovered."""

from __future__ import annotations

from dataclasses import replace

from eth_account import Account
from eth_account.messages import encode_typed_data

from prsm_protocol.rules.eip712 import members, recover
from prsm_protocol.rules.oracle.attestation import DOMAIN, Attestation, Proof
from prsm_protocol.rules.oracle.tiers import Setup, Tier, VerdictClass
from prsm_protocol.types import Wei

HUB = "0x" + "11" * 20
SIGNER = Account.from_key("0x" + "07" * 32)
GIVEN = Attestation(
    task_id=b"\x01" * 32,
    request=b"\x02" * 32,
    model_id=b"\x03" * 32,
    circuit_id=b"\x04" * 32,
    input_hash=b"\x05" * 32,
    output_hash=b"\x06" * 32,
    result=b"\x07" * 32,
    execution=bytes(32),
    tier=Tier.PROVED,
    verdict_class=VerdictClass.EXACT,
    operator="0x" + "22" * 20,
    at_risk=Wei(10**18),
    window=3600,
    signed_at=1_800_000_000,
)


def test_a_wallets_signature_over_the_typed_data_is_the_signers():
    fields = members(Attestation.TYPE)
    message = encode_typed_data(
        {"name": DOMAIN, "version": "1", "chainId": 31337, "verifyingContract": HUB},
        {"Attestation": [{"type": kind, "name": name} for kind, name in fields]},
        {name: value for (_, name), value in zip(fields, GIVEN.values(), strict=True)},
    )
    signature = bytes(SIGNER.sign_message(message).signature)
    assert recover(GIVEN.digest(31337, HUB), signature) == SIGNER.address


def test_digest_differs_by_chain_hub_and_content():
    digests = {
        GIVEN.digest(31337, HUB),
        GIVEN.digest(1, HUB),
        GIVEN.digest(31337, "0x" + "12" * 20),
        replace(GIVEN, output_hash=b"\x08" * 32).digest(31337, HUB),
    }
    assert len(digests) == 4


def test_attestation_and_proof_travel_as_json():
    assert Attestation.from_json(GIVEN.to_json()) == GIVEN
    proof = Proof(b"\x01\x02", (1 << 200, 3), (4,))
    assert Proof.from_json(proof.to_json()) == proof
    assert proof.values() == (b"\x01\x02", (1 << 200, 3), (4,))


def test_numbers_are_the_contracts():
    assert [tier.name for tier in Tier] == ["PROVED", "STAKED", "TRUSTED"]
    assert [kind.name for kind in VerdictClass] == ["EXACT", "PINNED", "FUZZY"]
    assert [kind.name for kind in Setup] == ["CEREMONY", "SHARED", "SINGLE"]
