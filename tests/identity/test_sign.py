"""Signatures bind domain, length and message; names are canonical; weak keys are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prsm_protocol.identity import Identity, Keystore, Purpose, derive, did_of, public_key_of, verify
from prsm_protocol.identity.derive import ContextNameTooLong, SeedInvalid
from prsm_protocol.identity.keystore import (
    KeystoreDamaged,
    KeystoreExists,
    KeystoreParametersRefused,
    PassphraseWrong,
)
from prsm_protocol.identity.requests import (
    RequestReplayed,
    RequestSignatureInvalid,
    RequestStale,
    RequestUnsigned,
    check_headers,
    sign_headers,
)
from prsm_protocol.identity.sign import DidInvalid

SEED = bytes(range(32))


@pytest.fixture
def asker() -> Identity:
    return Identity.from_seed(SEED, "asker")


def test_verify_accepts_what_was_signed_in_its_domain_alone(asker: Identity) -> None:
    signature = asker.sign("event", b"body")
    assert verify(asker.did, "event", b"body", signature)
    assert not verify(asker.did, "head", b"body", signature)
    assert not verify(asker.did, "event", b"bodY", signature)
    assert not verify(Identity.from_seed(SEED, "other").did, "event", b"body", signature)


def test_verify_refuses_a_signature_with_s_above_the_order(asker: Identity) -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = asker.sign("event", b"body")
    raised = int.from_bytes(signature[32:], "little") + order
    assert not verify(asker.did, "event", b"body", signature[:32] + raised.to_bytes(32, "little"))


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 - 18])
def test_verify_refuses_keys_of_small_order(y: int) -> None:
    did = did_of(y.to_bytes(32, "little"))
    # R = identity point, S = 0 satisfies the plain equation for a key of small order and many messages
    forged = (1).to_bytes(32, "little") + bytes(32)
    assert not any(verify(did, "event", bytes([i]), forged) for i in range(16))


def test_did_round_trips_and_refuses_other_forms(asker: Identity) -> None:
    assert asker.did.startswith("did:key:z6Mk")
    assert did_of(public_key_of(asker.did)) == asker.did
    for wrong in (
        "did:key:z",
        "did:web:example.org",
        asker.did + "1",
        asker.did[:-1] + "0",
        "did:key:zQ3sh" + "a" * 40,
    ):
        with pytest.raises(DidInvalid):
            public_key_of(wrong)


def test_derive_separates_purpose_context_and_index() -> None:
    keys = {
        derive(SEED, Purpose.SIGN, "a"),
        derive(SEED, Purpose.WALLET, "a"),
        derive(SEED, Purpose.SIGN, "b"),
        derive(SEED, Purpose.SIGN, "a", 1),
        derive(bytes(32), Purpose.SIGN, "a"),
    }
    assert len(keys) == 5
    with pytest.raises(ContextNameTooLong):
        derive(SEED, Purpose.SIGN, "x" * 65)
    with pytest.raises(SeedInvalid):
        derive(b"short", Purpose.SIGN, "a")


# ── key file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_keystore_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    made = Keystore.create(path, "correct horse")
    assert path.stat().st_mode & 0o777 == 0o600
    assert made.seed.hex() not in path.read_text()
    assert Keystore.open(path, "correct horse").seed == made.seed
    with pytest.raises(PassphraseWrong):
        Keystore.open(path, "wrong horse")
    with pytest.raises(KeystoreExists):
        Keystore.create(path, "again")
    made.change_passphrase("new")
    assert Keystore.open(path, "new").seed == made.seed


def test_keystore_refuses_weakened_and_hostile_headers(tmp_path: Path) -> None:
    path = tmp_path / "seed.json"
    Keystore.create(path, "p")
    document = json.loads(path.read_text())
    document["header"]["memory_kib"] = 2**31
    path.write_text(json.dumps(document))
    with pytest.raises(KeystoreParametersRefused):
        Keystore.open(path, "p")
    document["header"]["memory_kib"] = 64
    path.write_text(json.dumps(document))
    with pytest.raises(PassphraseWrong):
        Keystore.open(path, "p")
    path.write_text("{}")
    with pytest.raises(KeystoreDamaged):
        Keystore.open(path, "p")


# ── requests ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_request_is_accepted_once_within_its_minute(asker: Identity) -> None:
    seen: dict[str, float] = {}
    headers = sign_headers(asker, "POST", "/v1/quotes", b"{}", 1000)
    assert check_headers(headers, "POST", "/v1/quotes", b"{}", 1030, seen) == asker.did
    with pytest.raises(RequestReplayed):
        check_headers(headers, "POST", "/v1/quotes", b"{}", 1030, seen)
    for age in (-61, 61):
        with pytest.raises(RequestStale):
            check_headers(headers, "POST", "/v1/quotes", b"{}", 1000 + age, {})
    with pytest.raises(RequestUnsigned):
        check_headers({}, "POST", "/v1/quotes", b"{}", 1000, {})
    for method, path, body in (
        ("GET", "/v1/quotes", b"{}"),
        ("POST", "/v1/rows", b"{}"),
        ("POST", "/v1/quotes", b"[]"),
    ):
        with pytest.raises(RequestSignatureInvalid):
            check_headers(headers, method, path, body, 1000, {})
