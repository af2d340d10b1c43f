"""A requester's home: one folder with a seed, a wallet and an identity derived from it, blocks, a journal and runs."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path

from prsm_protocol.chain import Deployment, PrivateKeySigner, Sender
from prsm_protocol.content import Retriever, Store
from prsm_protocol.content.retrieve import NotFoundAnywhere
from prsm_protocol.errors import WorkflowError
from prsm_protocol.identity import Identity, Keystore
from prsm_protocol.identity.derive import wallet_key
from prsm_protocol.journal import Journal
from prsm_protocol.settings import settings
from prsm_protocol.types import Cid, Wei
from prsm_protocol.workflow.network import Network
from prsm_protocol.workflow.patience import PatientChain, connect


class PassphraseMissing(WorkflowError):
    exit_code = 2
    text = "no passphrase for {path}; put it into a file (mode 0600) and set PRSM_PASSPHRASE_FILE"


class PassphraseExposed(WorkflowError):
    exit_code = 2
    text = "{path} can be read by others (mode {mode}); run: chmod 600 {path}"


class HomeMissing(WorkflowError):
    exit_code = 2
    text = "there is no home in {path}; `prsm up` makes the local ones, `prsm identity create` another"


class Home:
    """An opened home. Keys stay in memory and are never logged."""

    def __init__(self, folder: Path, network: Network) -> None:
        if not (folder / "seed.json").exists():
            raise HomeMissing(path=folder)
        self.folder = folder
        self.network = network
        self._seed = Keystore.open(folder / "seed.json", read_passphrase(folder)).seed
        self.identity = Identity.from_seed(self._seed)
        self.wallet = PrivateKeySigner(wallet_key(self._seed, "wallet"))
        self.money = threading.RLock()
        """Held from bringing money to the Vault until it is locked: two runs must not lock the same money."""
        self.store = Store(folder / "blocks.db")
        self.retriever = Retriever(self.store, list(network.gateways))

    @classmethod
    def create(cls, folder: Path, network: Network) -> Home:
        """A new home with a fresh seed."""
        create_keys(folder)
        return cls(folder, network)

    @property
    def address(self) -> str:
        return self.wallet.address

    @cached_property
    def chain(self) -> PatientChain:
        return connect(self.network.rpc, Deployment.load(Path(self.network.deployment)))

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.folder / "journal.db")

    @cached_property
    def sender(self) -> Sender:
        return Sender(self.chain, self.wallet, self.journal)

    def run_identity(self, run: str) -> Identity:
        """A fresh key that writes one run's record; the home's identity delegates to it and signs the head."""
        return Identity.from_seed(self._seed, f"run {run}")

    def secrets(self) -> list[bytes]:
        """What must never stand in a trace."""
        return [self._seed, self.wallet.secret, self.voucher_key().secret, read_passphrase(self.folder).encode()]

    def fetch(self, cid: Cid) -> bytes | None:
        """A public block from the store or a gateway; none where nobody has it."""
        try:
            return self.retriever.get(cid)
        except NotFoundAnywhere:
            return None

    def voucher_key(self) -> PrivateKeySigner:
        """A session key that signs vouchers: the deposit of its channel is the most it can lose."""
        return PrivateKeySigner(wallet_key(self._seed, "vouchers"))

    def fund_vault(self, key: str, wanted: Wei) -> None:
        """Bring the Vault's free balance up to `wanted` from the wallet.

        A deposit that was prepared before a crash is brought to its end first, whatever it was worth: what is missing may
        be another amount by now, and the journal gives one key to one transaction.
        """
        for turn in count():
            deposit = f"{key}:{turn}:deposit"
            if self.sender.knows(deposit):
                self.sender.send(deposit)
                self.sender.confirm(deposit)
                continue
            missing = Wei(max(0, wanted - self.chain.vault.free_of(self.address)))
            if not missing:
                return
            approve = self.chain.ftns.approve(self.chain.vault.address, missing)
            self.sender.transact(f"{key}:{turn}:approve:{missing}", approve)
            self.sender.transact(deposit, self.chain.vault.deposit(self.address, missing))


def create_keys(folder: Path) -> bytes:
    """A fresh seed in its key file; without PRSM_PASSPHRASE_FILE its passphrase lies beside it, readable by its owner alone."""
    folder.mkdir(parents=True, exist_ok=True)
    if settings().passphrase_file is None and not (folder / "passphrase").exists():
        handle = os.open(folder / "passphrase", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(24))
    return Keystore.create(folder / "seed.json", read_passphrase(folder)).seed


@dataclass(frozen=True)
class PublicKeys:
    """What of a home's keys may be shown."""

    did: str
    wallet: str
    vouchers: str


def public_keys(folder: Path) -> PublicKeys:
    """Open a home's key file for its public keys; no network is needed."""
    if not (folder / "seed.json").exists():
        raise HomeMissing(path=folder)
    seed = Keystore.open(folder / "seed.json", read_passphrase(folder)).seed
    wallet, vouchers = (PrivateKeySigner(wallet_key(seed, use)).address for use in ("wallet", "vouchers"))
    return PublicKeys(Identity.from_seed(seed).did, wallet, vouchers)


def read_passphrase(folder: Path) -> str:
    path = settings().passphrase_file or folder / "passphrase"
    try:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise PassphraseExposed(path=path, mode=oct(mode))
        return path.read_text().strip()
    except OSError:
        raise PassphraseMissing(path=folder / "seed.json") from None
