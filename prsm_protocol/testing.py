"""Fixtures for pytest: a real local chain with the deployed protocol, rolled back after each test.

    def test_open_locks_the_budget(chain, accounts, send):
        send(accounts.buyer, chain.escrow.open(terms, budget))

`anvil` runs once a session and mines on demand; every test begins from the same state, where each role holds coin,
FTNS in its wallet and FTNS in the Vault. `advance(seconds)` moves the chain's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

if TYPE_CHECKING:  # the plugin is loaded in every run of pytest; what it needs is imported when a fixture is used
    from prsm_protocol.chain import Call, Chain, Deployment, TransactionReceipt
    from prsm_protocol.chain.anvil import AnvilProcess
    from prsm_protocol.chain.signer import PrivateKeySigner

VAULT_FTNS = 100_000
"""What each role has in the Vault at first; ten times as much stays in its wallet, less this."""

Send: TypeAlias = "Callable[[PrivateKeySigner, Call], TransactionReceipt]"
Advance: TypeAlias = "Callable[[int], None]"


@dataclass(frozen=True)
class Accounts:
    """Development accounts by the part they play."""

    deployer: PrivateKeySigner
    buyer: PrivateKeySigner
    steward: PrivateKeySigner
    operator: PrivateKeySigner
    operator_signer: PrivateKeySigner
    payee: PrivateKeySigner
    owner: PrivateKeySigner
    payer: PrivateKeySigner
    relayer: PrivateKeySigner
    stranger: PrivateKeySigner


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnvilProcess]:
    """A local chain of this session's own that mines on demand."""
    from prsm_protocol.chain.anvil import start_anvil

    process = start_anvil(tmp_path_factory.mktemp("anvil"), block_time=None)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def accounts() -> Accounts:
    from prsm_protocol.chain.anvil import development_account

    return Accounts(*(development_account(index) for index in range(len(fields(Accounts)))))


@pytest.fixture(scope="session")
def deployment(anvil: AnvilProcess, accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The protocol as local.yaml has it, and every role's first deposit in the Vault."""
    from prsm_protocol.chain import Sender, connect
    from prsm_protocol.chain.deployment import deploy
    from prsm_protocol.chain.parameters import local_parameters
    from prsm_protocol.journal import Journal
    from prsm_protocol.types import FTNS, Wei

    folder = tmp_path_factory.mktemp("deployment")
    done = deploy(local_parameters(), anvil.url, accounts.deployer, folder, registry=folder / "registry.json")
    chain = connect(anvil.url, done)
    journal = Journal(folder / "deposits.sqlite")
    for field in fields(Accounts):
        signer: PrivateKeySigner = getattr(accounts, field.name)
        sender = Sender(chain, signer, journal)
        amount = Wei(VAULT_FTNS * FTNS)
        sender.transact(f"approve/{field.name}", chain.ftns.approve(chain.vault.address, amount))
        sender.transact(f"deposit/{field.name}", chain.vault.deposit(signer.address, amount))
    return done


@pytest.fixture
def chain(anvil: AnvilProcess, deployment: Deployment) -> Iterator[Chain]:
    """The deployed protocol; whatever the test does to the chain is undone after it."""
    from prsm_protocol.chain import connect

    connected = connect(anvil.url, deployment)
    snapshot = connected.rpc("evm_snapshot")
    yield connected
    connected.rpc("evm_revert", snapshot)


@pytest.fixture
def send(chain: Chain, tmp_path: Path) -> Send:
    """Send a call from an account and wait for its receipt; a refusal is raised by name."""
    from prsm_protocol.chain import Sender
    from prsm_protocol.journal import Journal

    journal = Journal(tmp_path / "journal.sqlite")
    count = iter(range(1_000_000))

    def send_now(signer: PrivateKeySigner, call: Call) -> TransactionReceipt:
        return Sender(chain, signer, journal).transact(f"test/{next(count)}", call)

    return send_now


@pytest.fixture
def advance(chain: Chain) -> Advance:
    """Move the chain's clock and mine a block there."""

    def advance_now(seconds: int) -> None:
        chain.rpc("evm_increaseTime", seconds)
        chain.rpc("evm_mine")

    return advance_now
