"""Where a network is: its chain, ledger, gateways, and on this machine its prover. For the local world `prsm up` writes it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from prsm_protocol.errors import WorldError
from prsm_protocol.settings import settings


class NoWorldRunning(WorldError):
    exit_code = 6
    text = "no local world runs in {state}; start one with: prsm up"


class NetworkFileInvalid(WorldError):
    text = "{path} cannot be read ({reason}); `prsm down` and `prsm up` write it anew"


@dataclass(frozen=True)
class LedgerAddress:
    url: str
    keys: tuple[str, ...]
    threshold: int
    network: str


@dataclass(frozen=True)
class Network:
    """Everything a home needs to know of a network. Tokens and passphrases are named by file, never held here."""

    name: str
    chain_id: int
    rpc: str
    deployment: str
    ledger: LedgerAddress
    gateways: tuple[str, ...]
    prover: str
    prover_token_file: str
    confirmations: int = 1
    homes: dict[str, str] = field(default_factory=dict)
    faucet_key_file: str = ""

    def save(self, path: Path) -> None:
        aside = path.with_name(path.name + ".part")
        aside.write_text(json.dumps(asdict(self), indent=1, sort_keys=True))
        os.replace(aside, path)

    @classmethod
    def load(cls, path: Path) -> Network:
        try:
            raw = json.loads(path.read_text())
            ledger = raw.pop("ledger")
            return cls(
                **{**raw, "gateways": tuple(raw["gateways"])},
                ledger=LedgerAddress(**{**ledger, "keys": tuple(ledger["keys"])}),
            )
        except FileNotFoundError:
            raise NoWorldRunning(state=path.parent) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NetworkFileInvalid(path=path, reason=error) from None


def network_file() -> Path:
    return settings().state / "world" / "network.json"


def current_network() -> Network:
    """The network in force; for `local` the running world's."""
    return Network.load(network_file())
