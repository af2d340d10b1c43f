"""The one class that reads the environment; nothing else does.

Every setting is an environment variable `PRSM_<NAME>`; `prsm doctor` prints the values in force.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_CHECKOUT = Path(__file__).resolve().parent.parent


def _default_state() -> Path:
    # In a checkout everything stays inside the clone; an installed package keeps it in the home folder.
    return _CHECKOUT / ".state" if (_CHECKOUT / "pyproject.toml").exists() else Path.home() / ".prsm"


class Settings(BaseSettings):
    """Settings of the package, read once."""

    model_config = SettingsConfigDict(env_prefix="PRSM_", extra="ignore")

    state: Path = Field(default_factory=_default_state, description="folder of the local world, homes and caches")
    passphrase_file: Path | None = Field(default=None, description="file (0600) with the passphrase of the home's keys")
    solc: Path | None = Field(
        default=None, description="folder with solc-v<version>; default: .tools/solc of the checkout"
    )
    anvil: Path | None = Field(default=None, description="anvil binary; default: the npm package's, else on PATH")
    setup_cache: Path | None = Field(default=None, description="folder of proof set-up files shared by provers")
    chat_url: str | None = Field(default=None, description="OpenAI-compatible endpoint used instead of the local model")
    chat_model: str | None = Field(default=None, description="model name at that endpoint")
    chat_key_file: Path | None = Field(default=None, description="file (0600) with the endpoint's key")
    models: Path | None = Field(
        default=None, description="folder of the bundled models; default: .tools/models of the checkout"
    )

    @property
    def checkout(self) -> Path:
        return _CHECKOUT

    @property
    def solc_folder(self) -> Path:
        return self.solc or _CHECKOUT / ".tools" / "solc"


@lru_cache(maxsize=1)
def settings() -> Settings:
    return Settings()
