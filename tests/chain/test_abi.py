"""The exported files against a fresh compile, and values through the ABI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prsm_protocol.chain import abi
from prsm_protocol.rules.eip712 import keccak
from prsm_protocol.rules.market.escrow import JobTerms
from scripts import export_abi

FOLDER = Path(abi.__file__).parent


def test_exported_files_are_those_of_a_fresh_compile() -> None:
    fresh = export_abi.compile_contracts()
    stale = [
        name
        for name, document in fresh.items()
        if (FOLDER / f"{name}.json").read_text() != export_abi.to_text(document)
    ]
    assert stale == [], "run scripts/export_abi.py"


def test_every_contract_has_a_file_and_every_file_a_contract() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(abi.CONTRACTS) == set(export_abi.SOURCES)


@pytest.mark.parametrize("name", abi.CONTRACTS)
def test_code_fits_a_chain(name: str) -> None:
    assert 0 < abi.load(name).code_size <= export_abi.RUNTIME_LIMIT


def test_load_is_refused_for_a_contract_that_was_never_exported() -> None:
    with pytest.raises(abi.AbiAbsent) as refused:
        abi.load("Nothing")
    assert refused.value.values == {"contract": "Nothing"}


def test_selectors_are_those_of_the_signatures() -> None:
    transfer = abi.load("FTNS").function("transfer", 2)
    assert transfer.selector == keccak(b"transfer(address,uint256)")[:4] == bytes.fromhex("a9059cbb")
    assert (
        abi.load("Escrow").function("open", 2).selector
        == (keccak(b"open((address,address,bytes32,uint32,uint256),uint96)")[:4])
    )


def test_function_is_refused_with_a_wrong_count_of_arguments() -> None:
    with pytest.raises(abi.FunctionUnknown) as refused:
        abi.load("Escrow").function("open", 3)
    assert refused.value.values == {"contract": "Escrow", "function": "open", "count": 3}


def test_struct_mapping_and_tuple_encode_alike() -> None:
    terms = JobTerms("0x" + "11" * 20, "0x" + "22" * 20, b"q" * 32, 60, 7)
    item = abi.load("Escrow").function("jobIdOf", 1)
    names = ("buyer", "steward", "question", "open_for", "salt")
    as_mapping = dict(zip(names, terms.values(), strict=True))
    assert item.encode([terms]) == item.encode([as_mapping]) == item.encode([terms.values()])


@pytest.mark.parametrize("value", [2**96, -1, "5", None])
def test_arguments_are_refused_when_they_do_not_fit(value: object) -> None:
    with pytest.raises(abi.ArgumentsInvalid):
        abi.load("Vault").function("withdraw", 2).encode([value, "0x" + "11" * 20])


@pytest.mark.parametrize("answer", [b"", b"\x01", bytes(31)])
def test_answer_is_refused_when_the_address_holds_something_else(answer: bytes) -> None:
    with pytest.raises(abi.AnswerInvalid):
        abi.load("Vault").function("freeOf", 1).decode(answer)


@pytest.mark.parametrize(
    ("camel", "snake"),
    [("quoteUntil", "quote_until"), ("hub_", "hub"), ("_to", "to"), ("feeBps", "fee_bps"), ("a", "a")],
)
def test_snake(camel: str, snake: str) -> None:
    assert abi.snake(camel) == snake


def test_masked_code_hash_ignores_immutables_alone() -> None:
    item = abi.load("Vault")
    start, length = item.immutables[0]
    code = bytearray(item.code_size)
    plain = item.masked_keccak(bytes(code))
    code[start : start + length] = b"\xff" * length
    assert item.masked_keccak(bytes(code)) == plain
    code[start - 1] = 1
    assert item.masked_keccak(bytes(code)) != plain


def test_files_hold_no_path_of_a_machine() -> None:
    for name in abi.CONTRACTS:
        document = json.loads((FOLDER / f"{name}.json").read_text())
        assert set(document) == {"abi", "bytecode", "code_keccak", "code_size", "compiler", "immutables", "notices"}
