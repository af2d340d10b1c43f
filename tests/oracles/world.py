"""A real chain, a listing with its model, an operator's home and an asker: what the stories of this folder are told with.

Every part is the real one: anvil, the deployed contracts, the node as a process of its own, HTTP in between.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from prsm_protocol.chain import Call, Chain, PrivateKeySigner, Sender, TransactionReceipt, connect
from prsm_protocol.chain.anvil import AnvilProcess, development_account, start_anvil
from prsm_protocol.chain.deployment import deploy
from prsm_protocol.chain.parameters import local_parameters
from prsm_protocol.content import Store
from prsm_protocol.content.gateway import application
from prsm_protocol.content.listing import encode_listing, sign_listing
from prsm_protocol.identity import Identity
from prsm_protocol.identity.requests import sign_headers
from prsm_protocol.journal import Journal
from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, job_id
from prsm_protocol.rules.oracle.instances import to_word, words_hash
from prsm_protocol.rules.registry.lineage import AnchorKind, Kind, Registration
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, FTNS, Cid, CircuitRef, Feature, Listing, Price, Wei

BITS = 10
PRICE = Price(Wei(FTNS // 100), Wei(FTNS // 50))
NETWORK = integer_layers.IntegerNetwork(
    BITS,
    (
        integer_layers.Layer(((300, -200, 512), (-700, 100, 64)), (1 << 18, -(1 << 17)), True),
        integer_layers.Layer(((900, -400),), (1 << 16,), False),
    ),
)
ROW = (512, -1024, 300)


def until(check: Callable[[], object], *, seconds: float = 20, every: float = 0.05) -> object:
    """Ask again and again; the last answer, or a failure that shows it."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < end, f"still {found!r} after {seconds} s"
        pause.wait(every)


@dataclass
class World:
    """The chain and those who are not the node."""

    folder: Path
    anvil: AnvilProcess
    chain: Chain
    registry: Path
    journal: Journal
    blocks: Store
    gateway: str = ""
    count: Iterator[int] = field(default_factory=lambda: iter(range(1_000_000)))

    def send(self, signer: PrivateKeySigner, call: Call) -> TransactionReceipt:
        return Sender(self.chain, signer, self.journal).transact(f"test/{next(self.count)}", call)

    def fund(self, account: str, ftns: int) -> None:
        self.chain.rpc("anvil_setBalance", account, hex(10 * 10**18))
        if ftns:
            self.send(development_account(0), self.chain.ftns.transfer(account, Wei(ftns * FTNS)))

    def deposit(self, signer: PrivateKeySigner, amount: Wei) -> None:
        self.send(signer, self.chain.ftns.approve(self.chain.vault.address, amount))
        self.send(signer, self.chain.vault.deposit(signer.address, amount))

    def advance(self, seconds: int) -> None:
        self.chain.rpc("evm_increaseTime", seconds)
        self.chain.rpc("evm_mine")

    # ── a model and its owner ────────────────────────────────────────────────────────────────────────────────────────

    def register(self, owner: PrivateKeySigner, artifact: bytes, royalty_bps: int = 500) -> bytes:
        registration = Registration(int(Kind.MODEL), Cid.of(artifact).digest, owner.address, royalty_bps, 0)
        salt = secrets.token_bytes(32)
        self.send(owner, self.chain.provenance.commit(registration, salt, owner.address))
        self.advance(2)
        self.send(owner, self.chain.provenance.register(registration, [], salt))
        return registration.record

    def list(
        self,
        owner: PrivateKeySigner,
        record: bytes,
        *,
        tiers: tuple[str, ...] = ("trusted",),
        circuits: tuple[CircuitRef, ...] = (),
        model: Cid | None = None,
        network: integer_layers.IntegerNetwork = NETWORK,
        name: str = "test model",
    ) -> Listing:
        """Put the blocks where the gateway serves them and anchor the listing as its record's owner."""
        weights = self.blocks.put(dag_cbor.encode(integer_layers.to_block(network)), DAG_CBOR)
        identity = Identity.generate()
        listing = sign_listing(
            Listing(
                name=name,
                record=record,
                owner=owner.address,
                kinds=("predict",),
                features=tuple(Feature(f"feature {at}", "0", "1") for at in range(network.inputs)),
                classes=("no", "yes"),
                target="answer",
                bits=network.bits,
                model=model or weights,
                weights=weights,
                price=PRICE,
                tiers=tiers,
                circuits=circuits,
                licence="Apache-2.0",
                may_distill=True,
                trained_on=(),
                evaluations=(),
                endpoints=(),
            ),
            identity,
        )
        assert listing.cid is not None
        data = encode_listing(listing)
        self.blocks.put(data, DAG_CBOR)
        self.send(owner, self.chain.provenance.anchor(listing.cid.digest, record, AnchorKind.LISTING, len(data)))
        return listing


@contextmanager
def started(folder: Path) -> Iterator[World]:
    """Chain, contracts and a gateway; ended with the block."""
    anvil = start_anvil(folder / "anvil", block_time=1)
    try:
        registry = folder / "registry.json"
        deployment = deploy(local_parameters(), anvil.url, development_account(0), folder, registry=registry)
        blocks = Store(folder / "blocks.db")
        world = World(
            folder, anvil, connect(anvil.url, deployment), registry, Journal(folder / "world.journal"), blocks
        )
        with served(blocks) as url:
            world.gateway = url
            yield world
    finally:
        anvil.stop()


@contextmanager
def served(blocks: Store) -> Iterator[str]:
    config = uvicorn.Config(application(blocks), port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=10)


@dataclass
class Tangle:
    """A development node of the ledger."""

    url: str
    keys: list[str]
    threshold: int
    network: str

    @property
    def options(self) -> list[str]:
        keys = [argument for key in self.keys for argument in ("--ledger-key", key)]
        return [
            *("--ledger", self.url, "--ledger-network", self.network, "--ledger-threshold", str(self.threshold)),
            *keys,
        ]


@contextmanager
def tangle_started(folder: Path) -> Iterator[Tangle]:
    process = subprocess.Popen(
        [sys.executable, "-m", "prsm_protocol.ledger.node", "--home", str(folder), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=(folder.parent / "tangle.log").open("wb"),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (folder.parent / "tangle.log").read_text()
        ready = json.loads(line)
        yield Tangle(str(ready["url"]), list(ready["keys"]), int(ready["threshold"]), str(ready["network"]))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


# ── the node ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def oracles(*arguments: str) -> dict[str, object]:
    """Run a command of the node; its last line is one JSON object."""
    done = subprocess.run(
        [sys.executable, "-m", "oracles", *arguments, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@dataclass
class Operator:
    """A node's home, and the process that runs it."""

    world: World
    home: Path
    addresses: dict[str, object]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        log = (self.home / "node.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "oracles", "run", "--home", str(self.home), "--json-logs"],
            stdout=subprocess.PIPE,
            stderr=log,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.home / "node.log").read_text()
        assert json.loads(line)["ready"] is True

    def kill(self) -> None:
        """As a power cut would end it."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=40)

    def log(self) -> str:
        return (self.home / "node.log").read_text()


def new_operator(world: World, home: Path, *extra: str, stake: str = "10") -> Operator:
    """A home made, funded and registered by the commands that an operator types."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    made = oracles(
        "init", "--home", str(home), "--network", str(world.registry), "--endpoint", world.anvil.url,
        "--listen", f"127.0.0.1:{port}", "--gateway", world.gateway, "--confirmations", "1",
        "--poll-seconds", "0.1", "--scrypt-n", "2", *extra,
    )  # fmt: skip
    world.fund(str(made["operator"]), 100)
    world.fund(str(made["sender"]), 0)
    oracles("stake", stake, "--home", str(home))
    return Operator(world, home, made, port)


# ── the asker ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Refused(Exception):
    def __init__(self, status: int, problem: dict[str, object]) -> None:
        super().__init__(f"{status} {problem}")
        self.status = status
        self.problem = problem


@dataclass
class Asker:
    """Asks a node over HTTP and pays on the chain."""

    world: World
    wallet: PrivateKeySigner
    url: str
    identity: Identity = field(default_factory=Identity.generate)

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, object]:
        raw = b"" if body is None else json.dumps(body).encode()
        sent = sign_headers(self.identity, method, path, raw, time.time()) | (headers or {})
        if body is not None:
            sent["content-type"] = "application/json"
        answer = httpx.request(method, self.url + path, content=raw or None, headers=sent, timeout=30, trust_env=False)
        found: dict[str, object] = answer.json()
        if answer.status_code >= 400:
            raise Refused(answer.status_code, found)
        return found

    def open_job(self, budget: Wei) -> JobTerms:
        terms = JobTerms(self.wallet.address, self.wallet.address, secrets.token_bytes(32), 3600, secrets.randbits(64))
        self.world.send(self.wallet, self.world.chain.escrow.open(terms, budget))
        return terms

    def job_id(self, terms: JobTerms) -> bytes:
        return job_id(self.world.chain.chain_id, self.world.chain.escrow.address, terms)

    def quote(
        self,
        terms: JobTerms,
        listing: Listing,
        hashes: list[bytes],
        *,
        tier: str = "trusted",
        circuit: bytes | None = None,
        deliver_within: int = 120,
        salts: list[int] | None = None,
    ) -> list[dict[str, object]]:
        body = {
            "job": {"terms": terms.to_json()},
            "listing": str(listing.cid),
            "tier": tier,
            "circuit_id": None if circuit is None else "0x" + circuit.hex(),
            "spec": "0x" + bytes(32).hex(),
            "parts": [
                {"input_hash": "0x" + found.hex(), "salt": str((salts or [secrets.randbits(128) for _ in hashes])[at])}
                for at, found in enumerate(hashes)
            ],
            "deliver_within": deliver_within,
        }
        found = self.call("POST", "/v1/quotes", body)["quotes"]
        assert isinstance(found, list)
        return found

    def assign(self, terms: JobTerms, quotes: list[dict[str, object]]) -> None:
        assignments = [Assignment.from_json(quote["assignment"]) for quote in quotes]  # type: ignore[arg-type]
        signatures = [bytes.fromhex(str(quote["signature"])[2:]) for quote in quotes]
        self.world.send(self.wallet, self.world.chain.escrow.assign(terms, assignments, signatures))

    def send_input(self, task: str, words: tuple[int, ...], salt: tuple[int, ...] | None = None) -> dict[str, object]:
        body = {"words": [str(word) for word in words], "salt": None if salt is None else [str(word) for word in salt]}
        return self.call("POST", f"/v1/inputs/{task}", body)

    def task(self, task: str) -> dict[str, object]:
        return self.call("GET", f"/v1/tasks/{task}")

    def wait_for(self, task: str, chain: str, seconds: float = 20) -> dict[str, object]:
        found = until(lambda: (state := self.task(task))["chain"] == chain and state, seconds=seconds)
        assert isinstance(found, dict)
        return found


def trusted_hash(words: tuple[int, ...]) -> bytes:
    return words_hash([to_word(word) for word in words])
