"""Plan, apply and verify: predicted addresses, kill -9 at every step, every planted difference found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address
from web3.utils.address import get_create_address

from prsm_protocol.chain import Chain, Deployment, Sender, abi, deployment
from prsm_protocol.chain.anvil import AnvilProcess, development_account, start_anvil
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.connection import ChainMismatch, Connection
from prsm_protocol.chain.deployed import ContractNotDeployed, DeployedContract, RegistryInvalid
from prsm_protocol.chain.parameters import Parameters, local_parameters
from prsm_protocol.journal import Journal, State
from prsm_protocol.testing import Accounts, Send
from prsm_protocol.types import FTNS, Wei

DEPLOYER = development_account(0)


@pytest.fixture
def fresh(anvil: AnvilProcess, deployment: Deployment) -> Iterator[Connection]:
    """The session's chain at its first block, as if nothing had been deployed; put back after the test."""
    connection = Connection(anvil.url)
    before = connection.rpc("evm_snapshot")
    connection.rpc("anvil_setNonce", DEPLOYER.address, "0x0")
    for contract in deployment.contracts.values():
        connection.rpc("anvil_setCode", contract.address, "0x")
        connection.rpc("anvil_setNonce", contract.address, "0x0")
    yield connection
    connection.rpc("evm_revert", before)


def deploy(url: str, folder: Path, watch: deployment.Watcher | None = None) -> Deployment:
    return deployment.deploy(local_parameters(), url, DEPLOYER, folder, registry=folder / "registry.json", watch=watch)


# ── plan ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plan_is_the_same_when_made_twice(fresh: Connection) -> None:
    first, second = (deployment.plan(local_parameters(), fresh, DEPLOYER.address) for _ in range(2))
    assert first == second
    assert first.id == second.id


def test_plan_predicts_consecutive_addresses_and_sends_nothing(fresh: Connection) -> None:
    block = fresh.block().number
    decided = deployment.plan(local_parameters(), fresh, DEPLOYER.address)
    assert [step.contract for step in decided.steps] == list(abi.CONTRACTS)
    assert [step.nonce for step in decided.steps] == list(range(9))
    assert fresh.block().number == block
    assert fresh.transaction_count(DEPLOYER.address) == 0


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_contract_address_is_that_of_web3(nonce: int) -> None:
    expected = get_create_address(to_checksum_address(DEPLOYER.address), nonce)
    assert deployment.contract_address(DEPLOYER.address, nonce) == expected


def test_plan_is_refused_on_another_chain(tmp_path: Path) -> None:
    other = start_anvil(tmp_path, block_time=None, chain_id=1337)
    try:
        with pytest.raises(ChainMismatch) as refused:
            deployment.plan(local_parameters(), Connection(other.url), DEPLOYER.address)
    finally:
        other.stop()
    assert refused.value.values == {"expected": 31337, "got": 1337}


def test_plan_file_gives_back_the_plan(fresh: Connection, tmp_path: Path) -> None:
    decided = deployment.plan(local_parameters(), fresh, DEPLOYER.address)
    decided.save(tmp_path / "plan.json")
    assert deployment.Plan.load(tmp_path / "plan.json").id == decided.id
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(deployment.PlanUnreadable):
        deployment.Plan.load(tmp_path / "plan.json")


# ── apply ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_deployment_on_a_fresh_chain_takes_less_than_four_seconds(tmp_path: Path) -> None:
    """As `prsm up` does it: blocks every second, and one for each transaction."""
    process = start_anvil(tmp_path / "chain", block_time=1)
    try:
        began = time.monotonic()
        done = deploy(process.url, tmp_path)
        seconds = time.monotonic() - began
        assert deployment.verify(done, Connection(process.url), local_parameters()) == []
    finally:
        process.stop()
    assert seconds < 4
    assert set(done.contracts) == set(abi.CONTRACTS)


KILL_POINTS = [(name, state) for state in ("prepared", "sent", "confirmed") for name in abi.CONTRACTS]


def test_registry_is_the_same_bytes_after_kill_at_any_step(fresh: Connection, tmp_path: Path) -> None:
    expected: bytes | None = None
    for index, point in enumerate([None, *KILL_POINTS]):
        snapshot = fresh.rpc("evm_snapshot")
        folder = tmp_path / str(index)
        if point is not None:
            die_at(fresh.url, folder, point)
        deploy(fresh.url, folder)
        assert fresh.transaction_count(DEPLOYER.address) == len(abi.CONTRACTS), point
        found = (folder / "registry.json").read_bytes()
        expected = expected or found
        assert found == expected, point
        fresh.rpc("evm_revert", snapshot)


def die_at(url: str, folder: Path, point: tuple[str, str]) -> None:
    """Deploy in a process of its own that is killed, without a chance to clean up, right after one step."""
    child = os.fork()
    if child == 0:

        def watch(contract: str, state: str) -> None:
            if (contract, state) == point:
                os.kill(os.getpid(), signal.SIGKILL)

        deploy(url, folder, watch)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_apply_again_sends_nothing(fresh: Connection, tmp_path: Path) -> None:
    first = deploy(fresh.url, tmp_path)
    block = fresh.block().number
    assert deploy(fresh.url, tmp_path).to_bytes() == first.to_bytes()
    assert fresh.block().number == block


def test_apply_is_refused_when_the_deployers_nonce_moved(fresh: Connection, tmp_path: Path) -> None:
    decided = deployment.plan(local_parameters(), fresh, DEPLOYER.address)
    journal = Journal(tmp_path / "j.sqlite")
    Sender(fresh, DEPLOYER, journal).transact("other", Call(development_account(1).address, b"", value=1))
    with pytest.raises(deployment.PlanStale) as refused:
        deployment.apply(decided, fresh, DEPLOYER, journal)
    assert refused.value.values == {"expected": 0, "got": 1}
    assert [entry.key for entry in journal.entries() if "deploy/" in entry.key] == []


def test_apply_is_refused_where_another_journal_has_deployed(fresh: Connection, tmp_path: Path) -> None:
    decided = deployment.plan(local_parameters(), fresh, DEPLOYER.address)
    deployment.apply(decided, fresh, DEPLOYER, Journal(tmp_path / "one.sqlite"))
    with pytest.raises(deployment.AlreadyDeployed) as refused:
        deployment.apply(decided, fresh, DEPLOYER, Journal(tmp_path / "two.sqlite"))
    assert refused.value.values["contract"] == "FTNS"


def test_apply_names_the_step_and_the_error_when_a_constructor_refuses(fresh: Connection, tmp_path: Path) -> None:
    source = Path(deployment.__file__).parent / "params" / "local.yaml"
    text = source.read_text().replace("991_000_000 FTNS", "990_000_000 FTNS")
    journal = Journal(tmp_path / "j.sqlite")
    decided = deployment.plan(Parameters.read("wrong.yaml", text.encode()), fresh, DEPLOYER.address)
    with pytest.raises(deployment.StepReverted) as refused:
        deployment.apply(decided, fresh, DEPLOYER, journal)
    assert refused.value.values["contract"] == "FTNS"
    assert "FTNSSupplyMismatch" in str(refused.value.values["error"])
    assert journal.entries()[0].state is State.FAILED


def test_deploy_is_refused_with_other_parameters_once_begun(fresh: Connection, tmp_path: Path) -> None:
    deploy(fresh.url, tmp_path)
    source = Path(deployment.__file__).parent / "params" / "local.yaml"
    other = Parameters.read("other.yaml", source.read_bytes() + b"# changed\n")
    with pytest.raises(deployment.ParametersChanged):
        deployment.deploy(other, fresh.url, DEPLOYER, tmp_path, registry=tmp_path / "registry.json")


# ── verify ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_verify_finds_no_difference_after_deployment(chain: Chain) -> None:
    assert deployment.verify(chain.deployment, chain, local_parameters()) == []


@pytest.mark.parametrize("name", abi.CONTRACTS)
def test_verify_finds_one_changed_byte_of_code(chain: Chain, name: str) -> None:
    address = chain.deployment.address(name)
    code = bytearray(chain.code(address))
    masked = {place for start, length in abi.load(name).immutables for place in range(start, start + length)}
    place = max(set(range(len(code))) - masked)
    code[place] ^= 1
    chain.rpc("anvil_setCode", address, "0x" + code.hex())
    differences = deployment.verify(chain.deployment, chain, local_parameters())
    assert [line for line in differences if line.startswith(f"{name}: code ")]


def test_verify_finds_a_contract_that_is_gone(chain: Chain) -> None:
    chain.rpc("anvil_setCode", chain.escrow.address, "0x")
    assert f"Escrow: no code at {chain.escrow.address}" in deployment.verify(chain.deployment, chain)


def test_verify_finds_a_changed_partner(chain: Chain) -> None:
    """An immutable is outside the code's hash; its getter tells."""
    code = chain.code(chain.channels.address)
    wrong = code.replace(bytes.fromhex(chain.vault.address[2:]), bytes.fromhex(chain.ftns.address[2:]))
    assert wrong != code
    chain.rpc("anvil_setCode", chain.channels.address, "0x" + wrong.hex())
    (line,) = deployment.verify(chain.deployment, chain)
    assert line == f"Channels.vault: chain {chain.ftns.address}, registry {chain.vault.address}"


def changed(found: Deployment, name: str, change: Callable[[DeployedContract], DeployedContract]) -> Deployment:
    return replace(found, contracts={**found.contracts, name: change(found.contracts[name])})


def test_verify_finds_a_changed_argument(chain: Chain) -> None:
    wrong = changed(
        chain.deployment, "Royalties", lambda entry: replace(entry, constructor={**entry.constructor, "fee_bps": 201})
    )
    assert deployment.verify(wrong, chain) == ["Royalties.feeBps: chain 200, registry 201"]


def test_verify_finds_a_module_too_many(chain: Chain) -> None:
    modules = [address for address in chain.deployment.contracts["Vault"].constructor["modules"]]  # type: ignore[attr-defined]
    fewer = modules[:-1]
    wrong = changed(
        chain.deployment, "Vault", lambda entry: replace(entry, constructor={**entry.constructor, "modules": fewer})
    )
    (line,) = deployment.verify(wrong, chain)
    assert line.startswith("Vault.isModule(")
    assert line.endswith("chain True, registry False")


def test_verify_finds_another_transaction(chain: Chain) -> None:
    other = chain.deployment.contracts["Vault"].transaction
    wrong = changed(chain.deployment, "Escrow", lambda entry: replace(entry, transaction=other))
    (line,) = deployment.verify(wrong, chain)
    assert line.startswith("Escrow: transaction")


def test_verify_finds_a_role_that_the_parameters_give_to_somebody_else(chain: Chain, accounts: Accounts) -> None:
    source = Path(deployment.__file__).parent / "params" / "local.yaml"
    text = source.read_text().replace("Vault: {governance: $constants.absent", "Vault: {governance: $deployer")
    differences = deployment.verify(chain.deployment, chain, Parameters.read("roles.yaml", text.encode()))
    absent = "0x" + "0" * 40
    assert differences == [f"Vault.governance: chain {absent}, registry {accounts.deployer.address}"]


# ── registry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_registry_file_gives_back_the_deployment(chain: Chain, tmp_path: Path) -> None:
    chain.deployment.save(tmp_path / "r.json")
    assert Deployment.load(tmp_path / "r.json") == chain.deployment
    assert (tmp_path / "r.json").read_bytes() == chain.deployment.to_bytes()


def test_registry_is_refused_when_it_is_broken_or_lacks_a_contract(chain: Chain, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text('{"network": "x"}')
    with pytest.raises(RegistryInvalid):
        Deployment.load(tmp_path / "r.json")
    with pytest.raises(ContractNotDeployed) as refused:
        chain.deployment.address("Market")
    assert refused.value.values["contract"] == "Market"


def test_supply_is_where_the_parameters_put_it(chain: Chain, accounts: Accounts, send: Send) -> None:
    assert chain.ftns.total_supply() == 10**9 * FTNS
    in_vault = chain.vault.free_of(accounts.stranger.address)
    assert chain.ftns.balance_of(accounts.stranger.address) + in_vault == Wei(10**6 * FTNS)


def test_module_deploys_from_the_command_line(tmp_path: Path) -> None:
    process = start_anvil(tmp_path / "chain", block_time=None)
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "prsm_protocol.chain.deployment",
                process.url,
                str(tmp_path / "d" / "registry.json"),
            ],
            cwd=Path(deployment.__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        process.stop()
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(abi.CONTRACTS)
    assert set(Deployment.load(tmp_path / "d" / "registry.json").contracts) == set(abi.CONTRACTS)
