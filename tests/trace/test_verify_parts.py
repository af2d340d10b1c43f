"""What the standalone verifier carries in its own words, compared with published vectors and with the package's rules."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from prsm_protocol.identity import Identity
from prsm_protocol.orchestration.question import fold
from prsm_protocol.orchestration.tasks import calculate, predict
from prsm_protocol.rules import attribution, front, integer_layers, statistics
from prsm_protocol.rules.channel import vouchers
from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer
from prsm_protocol.rules.market import escrow
from prsm_protocol.rules.oracle import context, instances
from prsm_protocol.rules.oracle.circuit_hash import circuit_hash
from prsm_protocol.trace import evidence, verify
from prsm_protocol.types import Feature, Listing, Wei

# ── Ed25519 ──────────────────────────────────────────────────────────────────────────────────────────────────────────

# RFC 8032, 7.1: TEST 1, TEST 2, TEST 3 and TEST SHA(abc): public key, message, signature.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
Y8 = 2707385501144840649318225287225658788936804267575313519463743609750303021885
both_ways = pytest.mark.parametrize("openssl", [True, False])


@both_ways
@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_published_signatures_hold(key: str, message: str, signature: str, openssl: bool) -> None:
    raw, told, signed = bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(signature)
    assert verify.ed25519(raw, signed, told, openssl)
    assert not verify.ed25519(raw, signed, told + b"x", openssl)
    for bit in range(0, 512, 37):
        flipped = bytearray(signed)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify.ed25519(raw, bytes(flipped), told, openssl)


@both_ways
@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_large_s_is_refused(key: str, message: str, signature: str, openssl: bool) -> None:
    """S + L verifies in naive implementations: a second signature that nobody made."""
    s = int.from_bytes(bytes.fromhex(signature)[32:], "little") + ORDER
    forged = bytes.fromhex(signature)[:32] + s.to_bytes(32, "little")
    assert not verify.ed25519(bytes.fromhex(key), forged, bytes.fromhex(message), openssl)


@both_ways
@pytest.mark.parametrize("y", [0, 1, PRIME - 1, PRIME, PRIME + 1, Y8, PRIME - Y8])
@pytest.mark.parametrize("sign", [0, 1])
def test_keys_of_small_order_are_refused(y: int, sign: int, openssl: bool) -> None:
    """With such a key, R = identity and S = 0 would sign every message in one of eight."""
    key = (y | sign << 255).to_bytes(32, "little")
    signature = (1).to_bytes(32, "little") + bytes(32)
    assert not any(verify.ed25519(key, signature, bytes([n]), openssl) for n in range(16))


@both_ways
def test_points_off_the_curve_are_refused(openssl: bool) -> None:
    for y in (2, PRIME + 2, 2**255 - 1):
        assert not verify.ed25519(y.to_bytes(32, "little"), bytes(64), b"", openssl)
    assert not verify.ed25519(bytes(31), bytes(64), b"", openssl)
    assert not verify.ed25519(bytes.fromhex(RFC_8032[0][0]), bytes(63), b"", openssl)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
@settings(max_examples=25, deadline=None)
def test_both_ways_agree_on_fresh_signatures(seed: bytes, message: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert verify.ed25519(public, signature, message, True)
    assert verify.ed25519(public, signature, message, False)


def test_domains_and_names_of_identities_are_read() -> None:
    signer = Identity.from_seed32(bytes(32))
    signature = signer.sign("event", b"message")
    assert verify.key_of_did(signer.did) == signer.public_key
    assert verify.is_signed(signer.did, "event", b"message", signature)
    assert not verify.is_signed(signer.did, "head", b"message", signature)
    for other in ("did:key:z", "did:web:x", signer.did[:-1], signer.did + "1", signer.did.replace("z6", "z16", 1), 5):
        assert not verify.is_signed(other, "event", b"message", signature)


# ── keccak, ABI, EIP-712, secp256k1, Poseidon ────────────────────────────────────────────────────────────────────────


@given(st.binary(max_size=600))
@settings(max_examples=60, deadline=None)
def test_keccak_is_that_of_ethereum(data: bytes) -> None:
    assert verify.keccak(data) == keccak(data)


def test_keccak_at_the_edges_of_its_blocks() -> None:
    for size in (0, 1, 134, 135, 136, 137, 271, 272, 273):
        assert verify.keccak(bytes(size)) == keccak(bytes(size))


def abi_entries() -> list[dict[str, Any]]:
    folder = Path(verify.__file__).parents[1] / "chain" / "abi"
    return [entry for path in sorted(folder.glob("*.json")) for entry in json.loads(path.read_text())["abi"]]


def abi_type(entry: dict[str, Any]) -> str:
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    return "(" + ",".join(map(abi_type, entry["components"])) + ")" + entry["type"][5:]


def test_events_and_calls_stand_in_the_contracts_abi() -> None:
    entries = abi_entries()
    events = {
        (e["name"], ",".join(abi_type(i) + (" indexed" if i["indexed"] else "") for i in e["inputs"]))
        for e in entries
        if e["type"] == "event"
    }
    calls = {f"{e['name']}({','.join(map(abi_type, e['inputs']))})" for e in entries if e["type"] == "function"}
    assert set(verify.EVENT_TYPES.items()) <= events
    assert set(verify.CALLS) - calls == {"verifyProof(bytes,uint256[])"}  # the prover's generated verifier has that one


def test_layout_of_answers_is_that_of_the_abi() -> None:
    outputs = {e["name"]: [abi_type(o) for o in e["outputs"]] for e in abi_entries() if e["type"] == "function"}
    assert outputs["circuitOf"] == ["(address,uint16,uint16,bool,uint8)"]
    assert outputs["jobOf"][:2] == ["uint96", "uint96"]
    assert outputs["taskOf"][2] == "uint8"


def test_topics_are_the_hashes_of_their_signatures() -> None:
    assert verify.topic("TaskPaid") == keccak(text="TaskPaid(bytes32,address,uint96,uint96,uint96)")
    assert verify.selector("hub()") == keccak(text="hub()")[:4]


ADDRESS = "0x52908400098527886E0F7030069857D2E4169EE7"
ASSIGNMENT = escrow.Assignment(
    bytes(32), ADDRESS, ADDRESS, (b"a" * 32, b"b" * 32), b"c" * 32, b"d" * 32, b"e" * 32, Wei(2**95), Wei(3), 1, 2, 600, 60,
    100, 2**39, 2**255 + 7,
)  # fmt: skip


def test_ids_are_those_of_the_rules() -> None:
    task = {"assignment": evidence.struct_map(ASSIGNMENT)}
    assert verify.task_id(task) == escrow.task_id(ASSIGNMENT)
    assert verify.task_id({"assignment": evidence.struct_map(replace(ASSIGNMENT, records=()))}) == escrow.task_id(
        replace(ASSIGNMENT, records=())
    )
    terms = escrow.JobTerms(ADDRESS, ADDRESS, b"q" * 32, 3600, 2**200)
    job = {
        "chain_id": 1,
        "contracts": {"escrow": bytes.fromhex(ADDRESS[2:])},
        "job": {"terms": evidence.struct_map(terms)},
    }
    assert verify.job_id(job) == escrow.job_id(1, ADDRESS, terms)


@pytest.mark.parametrize("records", [(), (b"r" * 32,), (b"r" * 32, b"s" * 32)])
def test_vouchers_are_recovered_like_the_rules_do(records: tuple[bytes, ...]) -> None:
    key = PrivateKey(b"k" * 32)
    terms = vouchers.ChannelTerms(ADDRESS, ADDRESS, ADDRESS, records, Wei(5), 86400, 2**250)
    channels = bytes.fromhex(ADDRESS[2:])
    identity = verify.channel_id(7, channels, evidence.struct_map(terms))
    assert identity == vouchers.channel_id(7, ADDRESS, terms)
    voucher = vouchers.Voucher(identity, 3, Wei(2**90), b"u" * 32)
    digest = voucher.digest(7, ADDRESS)
    values = (identity, 3, 2**90, b"u" * 32)
    assert verify.typed_digest("PRSM Channels", 7, channels, verify.struct_hash(verify.VOUCHER, values)) == digest
    raw = key.sign_recoverable(digest, hasher=None)
    signature = raw[:64] + bytes((27 + raw[64],))
    owner = keccak(key.public_key.format(compressed=False)[1:])[12:]
    assert verify.recover(digest, signature) == owner
    assert verify.recover(digest, signature[:64] + bytes((raw[64],))) == owner
    twin = verify._SN - int.from_bytes(raw[32:64], "big")
    assert verify.recover(digest, raw[:32] + twin.to_bytes(32, "big") + bytes((28 - raw[64],))) is None
    assert verify.recover(digest, bytes(65)) is None
    assert verify.recover(digest, signature[:64]) is None


@given(st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=12))
@settings(max_examples=10, deadline=None)
def test_hidden_inputs_hash_as_the_rules_say(words: list[int]) -> None:
    assert verify.circuit_hash(words) == circuit_hash(words)


def test_instances_are_those_of_the_hub() -> None:
    chosen = replace(ASSIGNMENT, input_hash=(9).to_bytes(32, "big"))
    whole = {"chain_id": 5, "contracts": {"hub": bytes.fromhex(ADDRESS[2:])}}
    request = context.request(chosen.job_id, chosen.salt)
    bound = context.context(5, ADDRESS, request, chosen.circuit_id, chosen.operator)
    for hashed, inputs in ((True, [4]), (False, [1, 2, 3])):
        layout = instances.Layout(3, 2, hashed)
        task = {
            "assignment": evidence.struct_map(chosen),
            "layout": {"hashed": hashed},
            "proof_inputs": [number.to_bytes(32, "big") for number in inputs],
            "proof_outputs": [number.to_bytes(32, "big") for number in (8, 7)],
        }
        assert verify.instances(whole, task) == instances.instances(layout, bound, inputs, [8, 7], hash_word=9)


@given(st.integers(-(2**127) + 1, 2**127 - 1))
def test_field_words_stand_for_signed_numbers(number: int) -> None:
    assert verify.signed(instances.to_word(number)) == number


# ── models, attributions, statistics, arithmetic ─────────────────────────────────────────────────────────────────────

weights = st.integers(-2000, 2000)


@st.composite
def networks(draw: st.DrawFn) -> IntegerNetwork:
    widths = [draw(st.integers(1, 5)), *draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))]
    layers = []
    for inputs, outputs in pairwise(widths):
        rows = tuple(tuple(draw(st.lists(weights, min_size=inputs, max_size=inputs))) for _ in range(outputs))
        bias = tuple(draw(st.lists(st.integers(-(10**6), 10**6), min_size=outputs, max_size=outputs)))
        layers.append(Layer(rows, bias, draw(st.booleans())))
    return IntegerNetwork(10, tuple(layers))


def as_layers(network: IntegerNetwork) -> verify.Layers:
    block = integer_layers.to_block(network)
    layers, bits = verify.layers_of(block)
    assert bits == network.bits
    return layers


@given(networks(), st.data())
@settings(max_examples=60, deadline=None)
def test_layers_run_and_attribute_like_the_rules(network: IntegerNetwork, data: st.DataObject) -> None:
    row = st.lists(st.integers(-4000, 4000), min_size=network.inputs, max_size=network.inputs)
    words, base = data.draw(row), data.draw(row)
    output = data.draw(st.integers(0, network.outputs - 1))
    layers = as_layers(network)
    assert verify.run_layers(layers, network.bits, words) == integer_layers.run(network, words)
    wanted = attribution.attribute_permutations(
        network, words, base, seed=b"s" * 32, row=3, output=output, permutations=5
    )
    found = verify.permutation_sums(layers, network.bits, words, base, b"s" * 32, 3, output, 5)
    assert found == (list(wanted.features), list(wanted.standard_errors), wanted.fx, wanted.fb)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
@settings(max_examples=25, deadline=None)
def test_statistics_are_those_of_the_rules(first: int, second: int, equal: int) -> None:
    assert verify.mcnemar_ppm(first, second) == statistics.mcnemar_exact(first, second)
    differences = [1] * first + [-1] * second + [0] * equal + [0]
    random.Random(first).shuffle(differences)
    for draws in (40, 100):
        assert verify.bootstrap_ppm(differences, b"t" * 32, draws) == statistics.bootstrap_interval(
            differences, b"t" * 32, draws
        )


trees = st.recursive(
    st.decimals(-1000, 1000, places=3).map(str),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["add", "sub", "mul", "div"]), inner, inner).map(list),
        st.tuples(st.sampled_from(["neg", "sqrt"]), inner).map(list),
        st.tuples(st.just("pow"), inner, st.sampled_from(["2", "3", "0.5", "-1"])).map(list),
        st.lists(inner, min_size=2, max_size=5).map(lambda leaves: ["deviation", *leaves]),
        st.tuples(st.sampled_from(["sum", "mean", "median", "min", "max", "count"]), inner, inner).map(list),
    ),
    max_leaves=8,
)


@given(trees)
@settings(max_examples=200, deadline=None)
def test_calculations_are_evaluated_like_the_task_does(tree: Any) -> None:
    try:
        value = calculate.evaluate(tree)
    except (calculate.ExpressionInvalid, calculate.ExpressionTooLarge):
        with pytest.raises((ValueError, ArithmeticError)):
            verify.evaluate(tree)
        return
    assert verify.evaluate(tree) == value
    assert verify.shown(value) == calculate.shown(value)


@pytest.mark.parametrize(
    "tree", [["pow", "2", "20000"], ["pow", "10", ["pow", "10", "4"]], "1e99", "nan", "x", ["sqrt", "-1"]]
)
def test_hostile_calculations_are_refused(tree: Any) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        verify.evaluate(["pow", tree, "9999"] if tree == ["pow", "10", ["pow", "10", "4"]] else tree)


cells = st.one_of(
    st.decimals(-(10**6), 10**6, allow_nan=False).map(str), st.text(max_size=6), st.just(" 12.5 "), st.just("1e70")
)


@given(cells, st.decimals(-100, 100, places=4), st.decimals("0.001", 100, places=3), st.integers(4, 16))
@settings(max_examples=200, deadline=None)
def test_cells_become_the_words_of_the_front(cell: str, mean: Any, spread: Any, bits: int) -> None:
    feature = Feature("radius", str(mean), str(spread))
    table = {"columns": ["Radius (mm)"], "rows": [[cell]]}
    listing = {"bits": bits, "features": [{"name": "radius", "mean": str(mean), "spread": str(spread), "aliases": []}]}
    wanted = None if front.number(cell) is None else [front.word(cell, feature, bits)[0]]
    assert verify.row_words(table, 0, listing) == wanted


@given(st.text(max_size=30))
@settings(max_examples=200)
def test_names_fold_like_the_question_does(name: str) -> None:
    assert verify.fold(name) == fold(name)


@pytest.mark.parametrize(
    ("classes", "words"), [(("a", "b"), [0]), (("a", "b"), [1]), (("a", "b", "c"), [3, 5, 5]), ((), [-777])]
)
def test_labels_are_those_of_the_task(synthetic: Any, classes: tuple[str, ...], words: list[int]) -> None:
    listing: Listing = replace(synthetic._named("x"), classes=classes, target_mean="152.1", target_spread="77")
    block = {"classes": list(classes), "target_mean": "152.1", "target_spread": "77"}
    assert verify.label_of(block, words, 10) == predict.label(listing, words, 10)


def test_values_are_shown_exactly_or_with_fifty_digits() -> None:
    for value in (
        Fraction(1, 3),
        Fraction(1, 8),
        Fraction(-5),
        Fraction(10**60 + 1, 7),
        Fraction(1, 10**52),
        Fraction(0),
    ):
        assert verify.shown(value) == calculate.shown(value)


def test_large_networks_are_attributed_in_seconds() -> None:
    """Eight rows of thirty features, 256 orders each: the work of `prsm verify` on a usual answer."""
    import time

    numbers = random.Random(5)
    first = ([[numbers.randint(-900, 900) for _ in range(30)] for _ in range(16)], [0] * 16, True)
    last = ([[numbers.randint(-900, 900) for _ in range(16)]], [0], False)
    begun = time.process_time()
    for row in range(8):
        words = [numbers.randint(-3000, 3000) for _ in range(30)]
        sums, _, fx, fb = verify.permutation_sums([first, last], 10, words, [0] * 30, b"s" * 32, row, 0, 256)
        assert sum(sums) == 256 * (fx - fb)
    assert time.process_time() - begun < 5
