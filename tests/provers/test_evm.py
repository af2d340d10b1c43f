"""The flow a node relies on: a proof from HTTP, its words as the hub builds them, the circuit's own verifier on a chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from provers.evm import Chain, Verifier, development_chain, spoilt
from prsm_protocol.rules.oracle.context import context, limbs, request
from prsm_protocol.rules.oracle.instances import from_word, input_hash, instances, output_hash
from prsm_protocol.rules.poseidon import FIELD_ORDER
from tests.provers.conftest import SALT, Built, Prover, rows

HUB, OPERATOR = "0x" + "11" * 20, "0x" + "22" * 20
ROW = rows(1, seed=9)[0]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    with development_chain(tmp_path_factory.mktemp("anvil")) as chain:
        yield chain


class Delivery:
    """A proof for one request, and the words for any context."""

    def __init__(self, prover: Prover, circuit: Built, chain: Chain) -> None:
        self.circuit, self.verifier = circuit, Verifier(chain, circuit.verifier["bytecode"])
        self.parts = (
            31337,
            HUB,
            request(b"\x01" * 32, 7),
            bytes.fromhex(circuit.report["circuit_id"][2:]),
            OPERATOR,
        )
        self.context = context(*self.parts)
        salt = [str(word) for word in SALT] if circuit.layout.hashed_input else None
        self.answer: dict[str, Any] = prover.prove(circuit.manifest, ROW, self.context, salt=salt)
        self.proof = bytes.fromhex(self.answer["proof"][2:])

    def words(self, bound: bytes) -> list[int]:
        """The instance words as AttestationHub writes them for a context."""
        layout = self.circuit.layout
        hash_word = int(self.answer["input_hash"], 16) if layout.hashed_input else 0
        inputs, outputs = ([int(text) for text in self.answer[name]] for name in ("inputs", "outputs"))
        return instances(layout, bound, inputs, outputs, hash_word=hash_word)

    def accepts(self, words: list[int]) -> bool:
        return self.verifier.accepts([(self.proof, words)])[0]


@pytest.fixture(scope="module", params=["hashed", "public"])
def delivery(request: pytest.FixtureRequest, prover: Prover, built: dict[str, Built], chain: Chain) -> Delivery:
    return Delivery(prover, built[request.param], chain)


def test_verifier_accepts_the_words_that_the_hub_builds(delivery: Delivery):
    assert delivery.accepts(delivery.words(delivery.context))


def test_hashes_are_those_an_asker_computes(delivery: Delivery):
    layout = delivery.circuit.layout
    expected = input_hash(layout, ROW, SALT if layout.hashed_input else ())
    assert delivery.answer["input_hash"] == "0x" + expected.hex()
    outputs = [int(text) for text in delivery.answer["outputs"]]
    assert delivery.answer["output_hash"] == "0x" + output_hash(outputs).hex()
    assert abs(from_word(outputs[0])) < 1 << 20


@pytest.mark.parametrize("changed", range(5), ids=["chain", "hub", "request", "circuit", "operator"])
def test_verifier_refuses_another_context(delivery: Delivery, changed: int):
    others = (1, OPERATOR, b"\x09" * 32, b"\x09" * 32, HUB)
    parts = tuple(others[at] if at == changed else part for at, part in enumerate(delivery.parts))
    assert not delivery.accepts(delivery.words(context(*parts)))


def test_verifier_refuses_every_spoilt_proof_and_word(delivery: Delivery):
    cases = spoilt(delivery.proof, delivery.words(delivery.context))
    answers = delivery.verifier.accepts(list(cases.values()))
    assert [name for name, accepted in zip(cases, answers, strict=True) if accepted] == []
    assert len(cases) > 64 + 3 * delivery.circuit.layout.words


def test_verifier_refuses_another_circuits_proof(
    delivery: Delivery, prover: Prover, built: dict[str, Built], chain: Chain
):
    kind = "public" if delivery.circuit.layout.hashed_input else "hashed"
    foreign = Delivery(prover, built[kind], chain)
    for words in (delivery.words(delivery.context), foreign.words(foreign.context)):
        assert delivery.verifier.accepts([(foreign.proof, words)]) == [False]


def test_verifier_code_and_gas_are_what_the_build_reported(delivery: Delivery):
    report = delivery.circuit.report
    assert "0x" + delivery.verifier.code_hash.hex() == report["code_hash"] == delivery.circuit.verifier["code_hash"]
    gas = delivery.verifier.gas(delivery.proof, delivery.words(delivery.context))
    assert abs(gas - report["verify_gas"]) < 0.02 * report["verify_gas"]


def test_spoilt_covers_each_word_three_ways():
    cases = spoilt(bytes(128), [1, 2])
    assert cases["word 1 plus the field's order"] == (bytes(128), [1, 2 + FIELD_ORDER])
    assert all(case != (bytes(128), [1, 2]) for case in cases.values())


def test_deploy_gas_of_the_verifier_is_reported(hashed: Built, tmp_path: Path):
    assert 1_000_000 < hashed.report["deploy_gas"] < 5_000_000
    assert limbs(bytes(32)) == [0] * 11
    assert replace(hashed.layout, inputs=1).words == 2 + 1 + 11
