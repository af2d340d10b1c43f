"""`node.toml` and the one environment variable, checked once when the node starts.

Unknown keys are errors: a misspelt limit must not silently be a default. Secrets never stand in this file.
"""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from prsm_protocol.errors import NodeError


class ConfigInvalid(NodeError):
    exit_code = 2
    text = "{path}: {field}: {reason}; see the keys in oracles/README.md"


class ConfigMissing(NodeError):
    exit_code = 2
    text = "{path} is not there; create the node's home with `prsm node init`"


class HomeExists(NodeError):
    exit_code = 7
    text = "{path} holds a node already and is never overwritten; choose another --home"


class Environment(BaseSettings):
    """`PRSM_NODE_PASSPHRASE_FILE`: where a service manager puts the passphrase of the keys."""

    model_config = SettingsConfigDict(env_prefix="PRSM_NODE_", extra="ignore")

    passphrase_file: Path | None = None


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProverConfig(_Table):
    url: str
    token_file: Path


class PriceConfig(_Table):
    margin_bps: int = Field(default=0, ge=0, le=100_000)
    ftns_per_coin: Decimal = Field(
        default=Decimal(0), ge=0, description="FTNS per coin of the chain; 0: gas is not priced in"
    )


class GasConfig(_Table):
    floor_coin: Decimal = Field(default=Decimal("0.01"), ge=0, description="below this balance no new quotes are given")
    per_day_coin: Decimal = Field(default=Decimal("0.5"), gt=0)


class KeysConfig(_Table):
    """A lower cost makes a local world start fast; keys that guard money keep the default."""

    scrypt_n: int = Field(default=262_144, ge=2, le=1 << 20)


class QuotesConfig(_Table):
    valid_seconds: int = Field(default=60, ge=10, le=600)
    per_minute: int = Field(default=60, ge=1)
    open_per_asker: int = Field(default=10, ge=1, description="open requests for quotes of one asker")
    parts: int = Field(default=256, ge=1, le=1024, description="parts of one request")
    open_tasks: int = Field(default=512, ge=1)
    trusted_window_seconds: int = Field(default=0, ge=0, description="0: the shortest that the chain allows")


class ChannelsConfig(_Table):
    credit_wei: int = Field(default=50_000_000_000_000_000, ge=0, description="worked ahead at least, 0.05 FTNS")
    settle_above_wei: int = Field(default=10**18, gt=0, description="an unsettled sum above this is settled at once")


class LedgerConfig(_Table):
    """The tangle on which vouchers are published, and whose milestones are believed."""

    url: str = ""
    keys: tuple[str, ...] = Field(default=(), description="the coordinator's public keys; without them it is not read")
    threshold: int = Field(default=1, ge=1)
    network: str = ""


class OfferConfig(_Table):
    listing: str
    tiers: tuple[Literal["proved", "trusted"], ...] = ("proved", "trusted")


class NodeConfig(_Table):
    network: Path = Field(description="the deployment's registry file")
    endpoints: tuple[str, ...] = Field(min_length=1)
    listen: str = "127.0.0.1:0"
    public_url: str = Field(default="", description="where askers reach this node; empty: the listening address")
    gateways: tuple[str, ...] = ()
    ledger: LedgerConfig = LedgerConfig()
    confirmations: int = Field(default=12, ge=1)
    poll_seconds: float = Field(default=1.0, gt=0, le=60)
    serve: Literal["listed", "offers"] = "listed"
    operator: str = Field(default="", description="its address, when the key file is kept elsewhere")
    payee: str = Field(default="", description="who is paid; empty: the operator")
    prover: ProverConfig | None = None
    price: PriceConfig = PriceConfig()
    gas: GasConfig = GasConfig()
    keys: KeysConfig = KeysConfig()
    quotes: QuotesConfig = QuotesConfig()
    channels: ChannelsConfig = ChannelsConfig()
    offers: tuple[OfferConfig, ...] = ()


def load(home: Path) -> NodeConfig:
    """The configuration of the home; relative paths in it start at the home."""
    path = home / "node.toml"
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigMissing(path=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigInvalid(path=path, field="file", reason=error) from None
    return _checked(raw, path)


def save(home: Path, raw: dict[str, object]) -> NodeConfig:
    """Write a new `node.toml` after checking it; refuses to overwrite one."""
    path = home / "node.toml"
    if path.exists():
        raise HomeExists(path=home)
    config = _checked(raw, path)
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    path.write_text(to_toml(raw), encoding="utf-8")
    return config


def _checked(raw: dict[str, object], path: Path) -> NodeConfig:
    try:
        config = NodeConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigInvalid(path=path, field=field, reason=first["msg"]) from None
    home = path.parent
    prover = config.prover
    if prover is not None:
        prover = prover.model_copy(update={"token_file": home / prover.token_file})
    return config.model_copy(update={"network": home / config.network, "prover": prover})


def to_toml(raw: dict[str, object]) -> str:
    """TOML of plain values and one level of tables: all that `node.toml` holds."""
    lines = [f"{key} = {_value(value)}" for key, value in raw.items() if not isinstance(value, dict)]
    for name, table in raw.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(entry) for entry in value) + "]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return json.dumps(str(value))
