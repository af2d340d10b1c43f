"""Deployment as data: a parameters file becomes a plan, a plan becomes contracts, and a third look compares them.

`plan` sends nothing: it predicts every address from the deployer's nonces, so that all contracts know their final
partners, and resolves and checks every argument. `apply` journals each signed transaction before any leaves and can
be killed at any step: run again, it goes on where it was and ends with the same bytes. `verify` re-reads the chain.

    python -m prsm_protocol.chain.deployment URL REGISTRY     deploy local.yaml to a fresh local chain
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from prsm_protocol.chain import abi
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.connection import ChainMismatch, Connection, TransactionReceipt
from prsm_protocol.chain.deployed import DeployedContract, Deployment
from prsm_protocol.chain.parameters import ArgumentMismatch, Parameters, local_parameters
from prsm_protocol.chain.sender import Sender
from prsm_protocol.chain.signer import WalletSigner, development_account
from prsm_protocol.errors import ChainError
from prsm_protocol.journal import Journal, State
from prsm_protocol.rules.eip712 import address_bytes, checksum, keccak

CONSTRUCTOR_GAS = 1_000_000
"""What a constructor may use beyond storing its code; FTNS, with ten allocations, needs most (about 400,000)."""
CONFIRM_SECONDS = 120.0

Watcher = Callable[[str, str], None]
"""Told of each step: (contract, "prepared" | "sent" | "confirmed")."""


class PlanStale(ChainError):
    text = "the plan begins with nonce {expected} of the deployer, which is at {got} now; plan again"


class PlanUnreadable(ChainError):
    text = "plan {path} cannot be read: {reason}; plan again"


class ParametersChanged(ChainError):
    text = "plan {plan} was begun with parameters {planned}, those of now are {given}; finish it with the old file"


class PlanOutdated(ChainError):
    text = "code or arguments of {contract} are not those that were planned; plan again with this release"


class AlreadyDeployed(ChainError):
    text = "chain {chain_id} has code at {address}, where {contract} would go, and this journal did not put it there"


class CompilerMismatch(ChainError):
    text = "the exported contracts were compiled with {exported}, the file wants {wanted}; export again or change it"


class StepReverted(ChainError):
    text = "deploying {contract} failed: {error}"


class AddressUnpredicted(ChainError):
    text = "{contract} came to {got}, planned was {expected}; stop here and plan again"


@dataclass(frozen=True)
class Step:
    """One contract to create. `arguments` are resolved; `init_code_hash` fixes code and arguments."""

    contract: str
    address: str
    nonce: int
    arguments: Mapping[str, object]
    init_code_hash: str
    gas: int


@dataclass(frozen=True)
class Plan:
    """Everything that will be sent, decided before anything is; fees too, so signing twice gives the same bytes."""

    network: str
    chain_id: int
    genesis: str
    confirmations: int
    deployer: str
    params_sha256: str
    most_fee_wei: int
    tip_wei: int
    steps: tuple[Step, ...]
    ledger: Mapping[str, object]

    @property
    def id(self) -> str:
        """SHA-256 of the plan's canonical JSON."""
        return sha256(json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def gas(self) -> int:
        """Most that all steps together may use."""
        return sum(step.gas for step in self.steps)

    def key(self, step: Step) -> str:
        return f"deploy/{self.id}/{step.contract}"

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Plan:
        try:
            document = json.loads(path.read_text())
            steps = tuple(Step(**entry) for entry in document.pop("steps"))
            return cls(steps=steps, **document)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise PlanUnreadable(path=path, reason=str(error)) from error


def plan(params: Parameters, chain: Connection, deployer: str) -> Plan:
    """Resolve the file against the exported ABIs and the chain as it is now."""
    if chain.chain_id != params.network.chain_id:
        raise ChainMismatch(expected=params.network.chain_id, got=chain.chain_id)
    first = chain.transaction_count(deployer)
    addresses = {name: contract_address(deployer, first + index) for index, name in enumerate(params.contracts)}
    names = {"deployer": checksum(address_bytes(deployer)), **addresses}
    steps = []
    for index, (name, entry) in enumerate(params.contracts.items()):
        item = abi.load(name)
        wanted = params.file.compiler.model_dump()
        if dict(item.compiler) != wanted:
            raise CompilerMismatch(exported=dict(item.compiler), wanted=wanted)
        arguments = _arguments(params, item, entry.constructor, names)
        code = item.bytecode + abi.encode(f"{name}.constructor", item.constructor, list(arguments.values()))
        steps.append(
            Step(name, addresses[name], first + index, arguments, "0x" + keccak(code).hex(), _gas(code, item.code_size))
        )
    most, tip = chain.fees()
    return Plan(
        network=params.network.name,
        chain_id=chain.chain_id,
        genesis="0x" + chain.genesis.hex(),
        confirmations=params.network.confirmations,
        deployer=names["deployer"],
        params_sha256=params.sha256,
        # The base fee may double twice before the last step leaves; what is not needed is not paid.
        most_fee_wei=2 * most,
        tip_wei=tip,
        steps=tuple(steps),
        ledger=params.file.ledger.model_dump(),
    )


def apply(
    plan: Plan,
    chain: Connection,
    signer: WalletSigner,
    journal: Journal,
    *,
    commit: str = "",
    watch: Watcher | None = None,
) -> Deployment:
    """Create every contract of the plan, all signed and stored before the first leaves. Run again, it goes on."""
    tell = watch or _nobody
    if chain.chain_id != plan.chain_id or "0x" + chain.genesis.hex() != plan.genesis:
        got = f"{chain.chain_id} (0x{chain.genesis.hex()})"
        raise ChainMismatch(expected=f"{plan.chain_id} ({plan.genesis})", got=got)
    sender = Sender(chain, signer, journal, fees=(plan.most_fee_wei, plan.tip_wei), largest_fee_wei=plan.most_fee_wei)
    _refuse_stale(plan, chain, sender)
    for step in plan.steps:
        prepared = sender.prepare(plan.key(step), Call("", _init_code(step), name=step.contract, gas=step.gas))
        if prepared.nonce != step.nonce:
            sender.abandon(plan.key(step))
            raise PlanStale(expected=step.nonce, got=prepared.nonce)
        tell(step.contract, "prepared")
    for step in plan.steps:
        sender.send(plan.key(step))
        tell(step.contract, "sent")
    contracts: dict[str, DeployedContract] = {}
    for step in plan.steps:
        receipt = _created(plan, step, sender)
        contracts[step.contract] = DeployedContract(
            address=step.address,
            block=receipt.block,
            transaction="0x" + receipt.hash.hex(),
            code_keccak="0x" + abi.load(step.contract).code_keccak.hex(),
            constructor=step.arguments,
        )
        tell(step.contract, "confirmed")
    return Deployment(
        network=plan.network,
        chain_id=plan.chain_id,
        plan=plan.id,
        params_sha256=plan.params_sha256,
        commit=commit,
        deployer=plan.deployer,
        start_block=min(entry.block for entry in contracts.values()),
        contracts=contracts,
        ledger=plan.ledger,
    )


def deploy(
    params: Parameters,
    url: str,
    signer: WalletSigner,
    folder: Path,
    *,
    registry: Path,
    commit: str = "",
    watch: Watcher | None = None,
) -> Deployment:
    """Plan and apply in one go, durable in `folder`: called again after a crash it finishes the plan it began."""
    chain = Connection(url)
    path = folder / "plan.json"
    journal = Journal(folder / "deployment.sqlite")
    found = Plan.load(path) if path.exists() else None
    if found is None or not _is_begun(found, Sender(chain, signer, journal)):
        found = plan(params, chain, signer.address)
        found.save(path)
    elif found.params_sha256 != params.sha256:
        raise ParametersChanged(planned=found.params_sha256, given=params.sha256, plan=path)
    deployment = apply(found, chain, signer, journal, commit=commit, watch=watch)
    journal.close()
    deployment.save(registry)
    return deployment


def verify(deployment: Deployment, chain: Connection, params: Parameters | None = None) -> list[str]:
    """Every difference between the registry and the chain, one line each: code, getters, modules, holders.

    With the parameters also who holds each role; without them the deployer must hold none that the constructors do
    not give.
    """
    found: list[str] = []
    if chain.chain_id != deployment.chain_id:
        return [f"chain: registry {deployment.chain_id}, endpoint {chain.chain_id}"]
    for name, entry in deployment.contracts.items():
        item = abi.load(name)
        code = chain.code(entry.address)
        if not code:
            found.append(f"{name}: no code at {entry.address}")
            continue
        masked = "0x" + item.masked_keccak(code).hex()
        if masked != entry.code_keccak:
            found.append(f"{name}: code {masked}, registry {entry.code_keccak}")
        if entry.code_keccak != "0x" + item.code_keccak.hex():
            found.append(f"{name}: registry code {entry.code_keccak}, this release 0x{item.code_keccak.hex()}")
        found += _getter_differences(chain, item, entry, deployment, _holders(params, name, deployment))
        found += _receipt_differences(chain, name, entry)
    if "Vault" in deployment.contracts:
        found += _module_differences(chain, deployment)
    return found


def contract_address(deployer: str, nonce: int) -> str:
    """Where the contract that `deployer` creates with this nonce will be."""
    # RLP of [deployer, nonce], written out: 20 bytes stand after their length, a number below 128 stands for itself.
    number = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    item = number if 0 < nonce < 0x80 else bytes([0x80 + len(number)]) + number
    body = b"\x94" + address_bytes(deployer) + item
    return checksum(keccak(bytes([0xC0 + len(body)]) + body)[12:])


# ── internal ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _nobody(contract: str, state: str) -> None:
    return None


def _arguments(
    params: Parameters, item: abi.ContractAbi, given: Mapping[str, object], names: Mapping[str, str]
) -> dict[str, object]:
    renamed = {abi.snake(name): value for name, value in given.items()}
    expected = [part.name for part in item.constructor]
    for name in renamed:
        if name not in expected:
            raise ArgumentMismatch(contract=item.name, argument=name, type="no such argument", value=renamed[name])
    arguments: dict[str, object] = {}
    for part in item.constructor:
        if part.name not in renamed:
            raise ArgumentMismatch(contract=item.name, argument=part.name, type=part.canonical, value="nothing")
        arguments[part.name] = params.resolve(item.name, part, renamed[part.name], names)
    return arguments


def _init_code(step: Step) -> bytes:
    item = abi.load(step.contract)
    values = [step.arguments[part.name] for part in item.constructor]
    code = item.bytecode + abi.encode(f"{step.contract}.constructor", item.constructor, values)
    if "0x" + keccak(code).hex() != step.init_code_hash:
        raise PlanOutdated(contract=step.contract)
    return code


def _gas(code: bytes, runtime_size: int) -> int:
    """A limit that never falls short: an estimate is not possible while partners of a constructor do not exist yet."""
    data = sum(16 if byte else 4 for byte in code)
    return 53_000 + data + len(code) // 16 + 200 * runtime_size + CONSTRUCTOR_GAS


def _refuse_stale(plan: Plan, chain: Connection, sender: Sender) -> None:
    """A plan that this journal has not begun must find the chain as it was planned."""
    if _is_begun(plan, sender):
        return
    got = chain.transaction_count(plan.deployer)
    for step in plan.steps:
        if chain.code(step.address):
            raise AlreadyDeployed(chain_id=plan.chain_id, address=step.address, contract=step.contract)
    if got != plan.steps[0].nonce:
        raise PlanStale(expected=plan.steps[0].nonce, got=got)


def _is_begun(plan: Plan, sender: Sender) -> bool:
    return sender.knows(plan.key(plan.steps[0]))


def _created(plan: Plan, step: Step, sender: Sender) -> TransactionReceipt:
    try:
        receipt = sender.confirm(plan.key(step), CONFIRM_SECONDS, confirmations=plan.confirmations)
    except ChainError as error:
        entry = sender.state(plan.key(step))
        if entry is State.FAILED:
            raise StepReverted(contract=step.contract, error=str(error)) from error
        raise
    if receipt.contract != step.address:
        raise AddressUnpredicted(contract=step.contract, expected=step.address, got=receipt.contract)
    return receipt


def _holders(params: Parameters | None, name: str, deployment: Deployment) -> dict[str, object]:
    if params is None or name not in params.file.holders:
        return {}
    item = abi.load(name)
    names = {"deployer": deployment.deployer, **{key: entry.address for key, entry in deployment.contracts.items()}}
    wanted: dict[str, object] = {}
    for role, value in params.file.holders[name].items():
        getter = item.getters()[role]
        wanted[abi.snake(role)] = params.resolve(name, getter.outputs[0], value, names)
    return wanted


def _getter_differences(
    chain: Connection,
    item: abi.ContractAbi,
    entry: DeployedContract,
    deployment: Deployment,
    holders: Mapping[str, object],
) -> list[str]:
    found = []
    wanted = {**entry.constructor, **holders}
    for name, getter in item.getters().items():
        if len(getter.outputs) != 1:
            continue
        key = abi.snake(name)
        is_role = getter.outputs[0].type == "address"
        if key not in wanted and not is_role:
            continue
        got = getter.decode(chain.read(Call(entry.address, getter.selector)))[0]
        if key in wanted and _plain(got) != _plain(wanted[key]):
            found.append(f"{item.name}.{name}: chain {got}, registry {wanted[key]}")
        if key not in wanted and got == deployment.deployer:
            found.append(f"{item.name}.{name}: held by the deployer {got}")
    return found


def _receipt_differences(chain: Connection, name: str, entry: DeployedContract) -> list[str]:
    receipt = chain.receipt(bytes.fromhex(entry.transaction[2:]))
    if receipt is None or receipt.contract != entry.address or receipt.block != entry.block:
        return [f"{name}: transaction {entry.transaction} did not create {entry.address} in block {entry.block}"]
    return []


def _module_differences(chain: Connection, deployment: Deployment) -> list[str]:
    """The Vault's modules are exactly those that its constructor was given."""
    entry = deployment.contracts["Vault"]
    item = abi.load("Vault")
    modules = entry.constructor.get("modules", [])
    assert isinstance(modules, Sequence)
    is_module = item.function("isModule", 1)
    found = []
    for name, other in deployment.contracts.items():
        got = is_module.decode(chain.read(Call(entry.address, is_module.encode([other.address]))))[0]
        wanted = other.address in modules
        if got != wanted:
            found.append(f"Vault.isModule({name}): chain {got}, registry {wanted}")
    return found


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return "0x" + value.hex() if isinstance(value, bytes) else value


def main(arguments: Sequence[str]) -> int:
    url, registry = arguments
    path = Path(registry)
    deployment = deploy(local_parameters(), url, development_account(0), path.parent, registry=path)
    for name, entry in deployment.contracts.items():
        print(f"{name:16} {entry.address}")
    differences = verify(deployment, Connection(url), local_parameters())
    for line in differences:
        print(line, file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
