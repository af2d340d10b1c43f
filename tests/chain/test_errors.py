"""Every error of every contract reaches the caller by name with its values: in calls, estimates and mined receipts."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from eth_abi.abi import encode

from prsm_protocol.chain import Call, Chain, Sender, abi, errors
from prsm_protocol.chain.connection import Connection
from prsm_protocol.errors import ChainError, PrsmError
from prsm_protocol.journal import Journal, State
from prsm_protocol.rules.market.escrow import JobTerms
from prsm_protocol.testing import Accounts, Send
from prsm_protocol.types import FTNS, Wei

ALL = [(name, error) for name in abi.CONTRACTS for error in abi.load(name).errors]


def sample(part: abi.Parameter) -> object:
    if part.type.endswith("]"):
        return []
    if part.type == "address":
        return "0x" + "11" * 20
    if part.type == "bool":
        return True
    if part.type == "string":
        return "why"
    if part.type.startswith("bytes"):
        return b"\x07" * int(part.type[5:] or 3)
    return 7


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("contract", "error"), ALL, ids=[f"{name}.{error.name}" for name, error in ALL])
def test_error_of_an_abi_is_a_class_with_its_values(contract: str, error: abi.ErrorType) -> None:
    values = [sample(part) for part in error.inputs]
    data = error.selector + encode([part.canonical for part in error.inputs], values)
    found = errors.from_data(data)
    assert type(found) is getattr(errors, error.name) is errors.by_name(error.name)
    assert issubclass(type(found), errors.ContractError)
    assert isinstance(found, ChainError)
    assert list(found.values) == [part.name for part in error.inputs]
    assert found.name == error.name
    assert str(found).startswith(error.name)


def test_abi_files_name_no_error_that_has_no_class() -> None:
    folder = Path(abi.__file__).parent
    named = {
        entry["name"]
        for path in folder.glob("*.json")
        for entry in json.loads(path.read_text())["abi"]
        if entry["type"] == "error"
    }
    assert named == set(errors.names())
    assert len(named) > 100


def test_errors_of_ours_say_when_they_are_thrown() -> None:
    prefixes = ("FTNS", "Vault", "Provenance", "Royalties", "OracleRegistry", "VerifierRouter", "AttestationHub")
    silent = [
        name
        for name in errors.names()
        if name.startswith((*prefixes, "Channels", "Escrow")) and not errors.by_name(name).notice
    ]
    assert silent == []


def test_message_carries_reason_values_and_remedy() -> None:
    message = str(errors.by_name("EscrowBudgetTooLow")(free=3, price=5))
    assert message.startswith("EscrowBudgetTooLow: the price is more than is free in the job (free 3, price 5)")
    assert "top up" in message


def test_remedies_name_errors_that_exist() -> None:
    assert set(errors.REMEDIES) <= set(errors.names())


def test_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="EscrowImagined"):
        errors.__getattr__("EscrowImagined")


def test_error_survives_pickling_with_its_values() -> None:
    found = pickle.loads(pickle.dumps(errors.by_name("EscrowBudgetTooLow")(free=3, price=5)))  # noqa: S301
    assert type(found).__name__ == "EscrowBudgetTooLow"
    assert found.values == {"free": 3, "price": 5}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", errors.RevertedWithoutReason),
        (b"\x01\x02\x03\x04", errors.ContractErrorUnknown),
        (bytes.fromhex("08c379a0") + encode(["string"], ["no"]), errors.ContractReverted),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), errors.ContractPanicked),
    ],
)
def test_other_refusals_have_classes_of_their_own(data: bytes, kind: type[PrsmError]) -> None:
    assert type(errors.from_data(data)) is kind


# ── on the chain ─────────────────────────────────────────────────────────────────────────────────────────────────────


def too_much(chain: Chain, accounts: Accounts) -> Call:
    return chain.vault.withdraw(Wei(200_000 * FTNS), accounts.stranger.address)


def test_call_names_the_refusal(chain: Chain, accounts: Accounts) -> None:
    with pytest.raises(errors.VaultFreeTooLow) as refused:
        chain.call(too_much(chain, accounts), accounts.stranger.address)
    assert refused.value.values == {"free": 100_000 * FTNS, "amount": 200_000 * FTNS}


def test_estimate_names_the_refusal(chain: Chain, accounts: Accounts) -> None:
    with pytest.raises(errors.VaultFreeTooLow) as refused:
        chain.estimate(too_much(chain, accounts), accounts.stranger.address)
    assert refused.value.values == {"free": 100_000 * FTNS, "amount": 200_000 * FTNS}


def test_mined_receipt_names_the_refusal_every_time_it_is_asked(
    chain: Chain, accounts: Accounts, tmp_path: Path
) -> None:
    """A call that was fine when it was estimated and is refused when it is mined."""
    sender = Sender(chain, accounts.stranger, Journal(tmp_path / "j.sqlite"))
    call = too_much(chain, accounts)
    sender.prepare("late", Call(call.to, call.data, name=call.name, gas=200_000))
    sender.send("late")
    for _ in range(2):
        with pytest.raises(errors.VaultFreeTooLow) as refused:
            sender.confirm("late")
        assert refused.value.values == {"free": 100_000 * FTNS, "amount": 200_000 * FTNS}
    entry = sender.journal.entries()[0]
    assert entry.state is State.FAILED
    assert entry.outcome["error"] == "VaultFreeTooLow"


def test_refusal_inside_another_contract_keeps_its_own_name(chain: Chain, accounts: Accounts) -> None:
    terms = JobTerms(accounts.buyer.address, accounts.steward.address, bytes(32), 60, 1)
    with pytest.raises(errors.VaultFreeTooLow):
        chain.call(chain.escrow.open(terms, Wei(200_000 * FTNS)), accounts.buyer.address)


def test_out_of_gas_says_so(chain: Chain, accounts: Accounts, tmp_path: Path) -> None:
    sender = Sender(chain, accounts.stranger, Journal(tmp_path / "j.sqlite"))
    call = chain.vault.withdraw(Wei(1), accounts.stranger.address)
    sender.prepare("poor", Call(call.to, call.data, gas=30_000))
    sender.send("poor")
    with pytest.raises(errors.TransactionFailed) as refused:
        sender.confirm("poor")
    assert refused.value.values["gas_limit"] == 30_000


def test_success_after_a_refusal_is_not_harmed(chain: Chain, accounts: Accounts, send: Send) -> None:
    with pytest.raises(errors.VaultFreeTooLow):
        send(accounts.stranger, too_much(chain, accounts))
    receipt = send(accounts.stranger, chain.vault.withdraw(Wei(FTNS), accounts.stranger.address))
    assert receipt.event("VaultWithdrawn").fields["amount"] == FTNS


def test_endpoint_that_nobody_serves_is_named() -> None:
    with pytest.raises(errors.EndpointUnreachable) as refused:
        Connection("http://127.0.0.1:9").block()
    assert refused.value.values["url"] == "http://127.0.0.1:9"


def test_method_that_does_not_exist_is_refused_with_the_nodes_words(chain: Chain) -> None:
    with pytest.raises(errors.RpcRefused) as refused:
        chain.rpc("prsm_nothing")
    assert refused.value.values["method"] == "prsm_nothing"
