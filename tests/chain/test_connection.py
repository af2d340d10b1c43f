from __future__ import annotations

from dataclasses import replace

import pytest

from prsm_protocol.chain import Chain, Connection, connect, errors
from prsm_protocol.chain.connection import ChainMismatch, EventAbsent
from prsm_protocol.testing import Accounts, Send
from prsm_protocol.types import FTNS, Wei


def test_connect_is_refused_for_the_registry_of_another_chain(chain: Chain) -> None:
    with pytest.raises(ChainMismatch) as refused:
        connect(chain.url, replace(chain.deployment, chain_id=1))
    assert refused.value.values == {"expected": 1, "got": 31337}


def test_block_links_to_the_one_before(chain: Chain) -> None:
    latest = chain.block()
    assert latest.parent == chain.block(latest.number - 1).hash
    with pytest.raises(errors.RpcRefused):
        chain.block(latest.number + 1_000)


def test_receipt_is_none_for_an_unknown_transaction(chain: Chain) -> None:
    assert chain.receipt(bytes(32)) is None
    assert not chain.knows(bytes(32))


def test_receipt_says_which_events_there_were_when_one_is_missing(chain: Chain, accounts: Accounts, send: Send) -> None:
    receipt = send(accounts.payee, chain.ftns.transfer(accounts.buyer.address, Wei(FTNS)))
    with pytest.raises(EventAbsent) as refused:
        receipt.event("TaskPaid")
    assert refused.value.values["emitted"] == ["Transfer"]
    assert receipt.fee_wei >= receipt.gas_used > 21_000


def test_batch_answers_in_order_with_refusals_in_their_places(chain: Chain, accounts: Accounts) -> None:
    call = chain.vault.withdraw(Wei(200_000 * FTNS), accounts.stranger.address)
    message = {"from": accounts.stranger.address, "to": call.to, "data": "0x" + call.data.hex()}
    chain_id, refusal, number = chain.batch(
        [("eth_chainId", []), ("eth_call", [message, "latest"]), ("eth_blockNumber", [])]
    )
    assert int(chain_id, 16) == chain.chain_id
    assert isinstance(refusal, errors.ContractError)
    assert refusal.name == "VaultFreeTooLow"
    assert int(number, 16) == chain.block().number
    assert chain.batch([]) == []


def test_connection_without_contracts_still_reads_receipts(chain: Chain, accounts: Accounts, send: Send) -> None:
    receipt = send(accounts.payee, chain.ftns.transfer(accounts.buyer.address, Wei(1)))
    plain = Connection(chain.url).receipt(receipt.hash)
    assert plain is not None
    assert plain.events == ()
    assert plain.logs == receipt.logs


def test_web3_reads_the_same_chain(chain: Chain) -> None:
    assert chain.web3.eth.chain_id == chain.chain_id
