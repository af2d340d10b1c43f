"""Deploy the protocol with ape's accounts and networks; what is decided and sent is `prsm_protocol.chain.deployment`'s.

    ape run deploy plan   --network ethereum:local:foundry --account TEST::0
    ape run deploy apply  PLAN_ID --network ethereum:local:foundry --account TEST::0 --yes
    ape run deploy verify --network ethereum:local:foundry

`plan` sends nothing and names its id; `apply` sends what that plan says and can be run again after any interruption; `verify`
reads the chain against registry and parameters and ends with 1 if they differ. APE_FOUNDRY_HOST=<url> attaches to a running
chain instead of one that ends with the command. Leaves out: verification at block explorers, batches for multisig wallets.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from ape import networks
from ape.cli import ConnectedProviderCommand, account_option
from hexbytes import HexBytes

from prsm_protocol.chain import deployment as rules
from prsm_protocol.chain.connection import Connection
from prsm_protocol.chain.deployed import Deployment
from prsm_protocol.chain.parameters import Parameters, local_parameters
from prsm_protocol.errors import PrsmError
from prsm_protocol.journal import Journal
from prsm_protocol.settings import settings
from prsm_protocol.types import format_ftns

ROOT = Path(__file__).resolve().parent.parent
LOCAL_CHAINS = (31337, 1337)

# ape has no types to follow; this says what its decorator does.
F = TypeVar("F", bound=Callable[..., Any])
with_account: Callable[[F], F] = account_option()

params_option = click.option(
    "--params", "params_path", type=click.Path(exists=True, path_type=Path), help="parameters file; default: local.yaml"
)
registry_option = click.option(
    "--registry",
    type=click.Path(path_type=Path),
    help="registry file; default: by chain, local ones in the state folder",
)


class AccountSigner:
    """An account of ape's as the package's signer."""

    def __init__(self, account: Any) -> None:
        self._account = account

    @property
    def address(self) -> str:
        return str(self._account.address)

    def sign_transaction(self, transaction: Mapping[str, object]) -> bytes:
        unsigned = networks.provider.network.ecosystem.create_transaction(**transaction)
        signed = self._account.sign_transaction(unsigned)
        if signed is None:
            raise click.ClickException(f"account {self.address} did not sign")
        return bytes(signed.serialize_transaction())

    def sign_digest(self, digest: bytes) -> bytes:
        signature = self._account.sign_raw_msghash(HexBytes(digest))
        return bytes(signature.r) + bytes(signature.s) + bytes([signature.v])


@click.group()
def cli() -> None:
    """Plan, apply and verify a deployment."""


@cli.command(cls=ConnectedProviderCommand)
@with_account
@params_option
def plan(account: Any, params_path: Path | None) -> None:
    """Resolve the parameters, predict addresses and costs, and store the plan; sends nothing."""
    chain = Connection(_url())
    try:
        decided = rules.plan(_params(params_path), chain, str(account.address))
    except PrsmError as error:
        raise click.ClickException(str(error)) from error
    decided.save(_plan_file(chain, decided.id))
    for step in decided.steps:
        click.echo(
            f"{step.nonce:>5}  {step.contract:16} {step.address}  {step.init_code_hash[:18]}  {step.gas:>10,} gas"
        )
    cost = decided.gas * decided.most_fee_wei
    click.echo(f"network {decided.network}, chain {decided.chain_id}, deployer {decided.deployer}")
    click.echo(f"at most {decided.gas:,} gas, {format_ftns(cost)} coin at {decided.most_fee_wei} wei a unit")
    click.echo(f"plan {decided.id}")


@cli.command(cls=ConnectedProviderCommand)
@click.argument("plan_id")
@with_account
@click.option("--yes", is_flag=True, help="send without asking")
@registry_option
def apply(plan_id: str, account: Any, yes: bool, registry: Path | None) -> None:
    """Send what the plan says; run again after an interruption, it goes on and never sends twice."""
    chain = Connection(_url())
    try:
        decided = rules.Plan.load(_plan_file(chain, plan_id))
        if not yes:
            click.confirm(f"create {len(decided.steps)} contracts on chain {decided.chain_id}?", abort=True)
        journal = Journal(_folder(chain) / "journal.sqlite")
        done = rules.apply(
            decided,
            chain,
            AccountSigner(account),
            journal,
            commit=_commit(),
            watch=lambda contract, state: click.echo(f"{state:10} {contract}"),
        )
    except PrsmError as error:
        raise click.ClickException(str(error)) from error
    path = registry or _registry_file(chain)
    done.save(path)
    click.echo(f"registry {path}")


@cli.command(cls=ConnectedProviderCommand)
@params_option
@registry_option
def verify(params_path: Path | None, registry: Path | None) -> None:
    """Read the chain against registry and parameters; one line a difference, exit code 1 if there is any."""
    chain = Connection(_url())
    try:
        differences = rules.verify(Deployment.load(registry or _registry_file(chain)), chain, _params(params_path))
    except PrsmError as error:
        raise click.ClickException(str(error)) from error
    for line in differences:
        click.echo(line)
    click.echo("differs" if differences else "chain, registry and parameters agree")
    sys.exit(1 if differences else 0)


def _url() -> str:
    return str(networks.provider.http_uri)


def _params(path: Path | None) -> Parameters:
    return local_parameters() if path is None else Parameters.load(path)


def _folder(chain: Connection) -> Path:
    return settings().state / "deployments" / f"{chain.chain_id}-{chain.genesis[:8].hex()}"


def _plan_file(chain: Connection, plan_id: str) -> Path:
    return _folder(chain) / f"plan-{plan_id}.json"


def _registry_file(chain: Connection) -> Path:
    """A local chain is nobody else's, so its registry never comes into the package."""
    if chain.chain_id in LOCAL_CHAINS:
        return _folder(chain) / "registry.json"
    return ROOT / "prsm_protocol" / "chain" / "deployments" / f"{chain.chain_id}.json"


def _commit() -> str:
    """The commit of this checkout; empty outside of one."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
