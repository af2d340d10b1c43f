"""What a parameters file may say, and what is refused before anything is resolved."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from prsm_protocol.chain import abi
from prsm_protocol.chain.abi import Parameter
from prsm_protocol.chain.parameters import (
    ArgumentMismatch,
    ConstantUnused,
    Parameters,
    ParametersInvalid,
    ReferenceUnknown,
    local_parameters,
)

LOCAL = (files("prsm_protocol.chain") / "params" / "local.yaml").read_text()
ADDRESSES = {"FTNS": "0x" + "11" * 20, "deployer": "0x" + "22" * 20}


def changed(pattern: str, new: str) -> Parameters:
    text, count = re.subn(pattern, new, LOCAL, count=1)
    assert count == 1
    return Parameters.read("changed.yaml", text.encode())


def argument(kind: str) -> Parameter:
    return Parameter("value", kind, "", ())


# ── the local file ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_local_file_names_the_nine_contracts_in_the_order_of_their_nonces() -> None:
    assert tuple(local_parameters().contracts) == abi.CONTRACTS


def test_local_file_was_written_for_the_exported_compiler_settings() -> None:
    for name in abi.CONTRACTS:
        assert dict(abi.load(name).compiler) == local_parameters().file.compiler.model_dump()


def test_local_file_hands_out_exactly_the_supply() -> None:
    part = argument("uint256[]")
    amounts = local_parameters().resolve("FTNS", part, "$constants.ftns.amounts", ADDRESSES)
    assert isinstance(amounts, list)
    assert sum(amounts) == 10**27
    assert len(amounts) == 10


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_unknown_key_is_refused() -> None:
    with pytest.raises(ParametersInvalid, match="surprise"):
        changed(r"network:\n", "network:\n  surprise: 1\n")


def test_wrong_type_is_refused() -> None:
    with pytest.raises(ParametersInvalid, match="chain_id"):
        changed(r"chain_id: 31337", "chain_id: local")


def test_wiring_is_refused_because_constructors_take_final_partners() -> None:
    with pytest.raises(ParametersInvalid, match="wiring"):
        changed(r"wiring: \[\]", "wiring: [{call: x}]")


def test_broken_yaml_is_refused() -> None:
    with pytest.raises(ParametersInvalid):
        Parameters.read("broken.yaml", b"network: [")


def test_unused_constant_is_refused_by_name() -> None:
    with pytest.raises(ConstantUnused) as refused:
        changed(r"constants:\n", "constants:\n  spare: {one: 1, two: 2}\n")
    assert refused.value.values == {"names": "$constants.spare.one, $constants.spare.two"}


@pytest.mark.parametrize("reference", ["$Market", "$constants.nothing", "$constants.hub.nothing", "$"])
def test_unknown_reference_is_refused_by_name(reference: str) -> None:
    with pytest.raises(ReferenceUnknown) as refused:
        local_parameters().resolve("Vault", argument("address"), reference, ADDRESSES)
    assert refused.value.values == {"name": reference}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint16", 65_536),
        ("uint40", "24 minutes"),
        ("uint40", "-1 s"),
        ("uint96", "1.5 FTNS"),
        ("uint8", True),
        ("address", "0x12"),
        ("address", 5),
        ("bool", "yes"),
        ("address[]", "0x" + "11" * 20),
        ("bytes32", "0x00"),
    ],
)
def test_argument_is_refused_when_it_does_not_fit_its_type(kind: str, value: object) -> None:
    with pytest.raises(ArgumentMismatch) as refused:
        local_parameters().resolve("Vault", argument(kind), value, ADDRESSES)
    assert refused.value.values["contract"] == "Vault"


@pytest.mark.parametrize(
    ("kind", "value", "resolved"),
    [
        ("uint16", 65_535, 65_535),
        ("uint40", "24 min", 1_440),
        ("uint40", "3 d", 259_200),
        ("uint96", "1_000 FTNS", 10**21),
        ("uint96", "7 wei", 7),
        ("address", "$FTNS", ADDRESSES["FTNS"]),
        ("address[]", ["$FTNS", "$deployer"], list(ADDRESSES.values())),
        ("bool", True, True),
    ],
)
def test_argument_is_resolved(kind: str, value: object, resolved: object) -> None:
    assert local_parameters().resolve("Vault", argument(kind), value, ADDRESSES) == resolved


def test_file_holds_no_endpoint_and_no_key() -> None:
    assert "://" not in LOCAL
    assert not re.search(r"0x[0-9a-fA-F]{64}", LOCAL)
