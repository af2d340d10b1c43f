"""The registry of one deployed protocol: addresses by name, where it began, and what it was made from.

The file is sorted and stable byte for byte, so two deployments of the same plan give the same bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from prsm_protocol.errors import ChainError


class RegistryInvalid(ChainError):
    text = "registry {path} cannot be read: {reason}; deploy again or restore the file"


class ContractNotDeployed(ChainError):
    text = "network {network} has no contract {contract}; its registry names {known}"


@dataclass(frozen=True)
class DeployedContract:
    """Where a contract is, how it came there, and the hash of its code with immutables set to zero."""

    address: str
    block: int
    transaction: str
    code_keccak: str
    constructor: Mapping[str, object]


@dataclass(frozen=True)
class Deployment:
    """A network's contracts. `plan` and `params_sha256` say what was decided, `commit` which source it came from."""

    network: str
    chain_id: int
    plan: str
    params_sha256: str
    commit: str
    deployer: str
    start_block: int
    contracts: Mapping[str, DeployedContract]
    ledger: Mapping[str, object]

    def address(self, contract: str) -> str:
        try:
            return self.contracts[contract].address
        except KeyError:
            raise ContractNotDeployed(
                network=self.network, contract=contract, known=", ".join(sorted(self.contracts))
            ) from None

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, sort_keys=True) + "\n").encode()

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(path.suffix + ".new")
        with new.open("wb") as file:
            file.write(self.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Deployment:
        try:
            document = json.loads(path.read_text())
            contracts = {name: DeployedContract(**entry) for name, entry in document.pop("contracts").items()}
            return cls(contracts=contracts, **document)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise RegistryInvalid(path=path, reason=str(error)) from error
