"""The local world: a chain, a tangle, a prover, two operators' nodes and the homes of a few people, on loopback.

Every part is the real one and a process of its own. One state folder holds everything; processes are found again by id and
start time, so a second `up` is harmless and `down` ends only what was started here.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from prsm_protocol.chain import Sender, connect
from prsm_protocol.chain.anvil import anvil_binary, development_account
from prsm_protocol.chain.connection import Connection
from prsm_protocol.chain.deployment import deploy
from prsm_protocol.chain.parameters import local_parameters
from prsm_protocol.errors import WorldError
from prsm_protocol.journal import Journal
from prsm_protocol.settings import settings
from prsm_protocol.types import FTNS, Wei
from prsm_protocol.workflow import processes
from prsm_protocol.workflow.home import Home
from prsm_protocol.workflow.network import LedgerAddress, Network
from prsm_protocol.workflow.processes import Started, module

PEOPLE = ("asker", "data-owner", "teacher-owner", "linear-owner", "distiller")
"""Whose homes the local world holds: each with keys, blocks and money of its own."""
NODES = ("node-1", "node-2")
GIFT = Wei(10_000 * FTNS)
GIFT_COIN = 10 * 10**18
STAKE = "100"
OPEN_PORT_TRIES = 20

Report = Callable[[str], None]


class PortTaken(WorldError):
    text = "port {port} of {process} is taken by another program; stop it, or `prsm down --purge` and `prsm up` to choose new ports"


class WorldBroken(WorldError):
    text = "the world in {state} cannot go on: {reason}; `prsm down --purge` removes it, then `prsm up`"


class WorldBusy(WorldError):
    exit_code = 7
    text = "another `prsm up` or `prsm down` works on {state}; wait for it"


@dataclass(frozen=True)
class Ports:
    chain: int
    ledger: int
    prover: int
    gateway: int
    nodes: tuple[int, ...]


class World:
    """The world in one state folder."""

    def __init__(self, state: Path | None = None) -> None:
        self.state = state or settings().state
        self.folder = self.state / "world"
        self.homes = self.state / "homes"
        self.logs = self.folder / "logs"
        self._processes_file = self.folder / "processes.json"
        self.network_file = self.folder / "network.json"
        self.deployment_file = self.folder / "deployment.json"

    # ── looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def started(self) -> list[Started]:
        try:
            return [Started(**entry) for entry in json.loads(self._processes_file.read_text())]
        except FileNotFoundError:
            return []

    def is_running(self) -> bool:
        """Every process of the world is there."""
        names = {started.name for started in self.started() if started.is_running()}
        return {"chain", "tangle", "prover", "gateway", *NODES} <= names and self.network_file.exists()

    def network(self) -> Network:
        return Network.load(self.network_file)

    def home(self, person: str = "asker") -> Home:
        return Home(self.homes / person, self.network())

    # ── up ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    def up(self, report: Report = lambda _: None) -> Network:
        """Start what is not running; returns when everything answers."""
        with self._exclusive():
            if self.is_running():
                return self.network()
            processes.stop(self.started())
            self.logs.mkdir(parents=True, exist_ok=True)
            ports = self._ports()
            started: list[Started] = []
            try:
                network = self._start(ports, started, report)
            except BaseException:
                processes.stop(started)
                raise
            return network

    def _start(self, ports: Ports, started: list[Started], report: Report) -> Network:
        report("chain, tangle and prover")
        chain = self._run(started, "chain", self._chain_command(ports.chain))
        tangle = self._run(
            started, "tangle",
            module("prsm_protocol.ledger.node", "--home", str(self.folder / "tangle"), "--listen", f"127.0.0.1:{ports.ledger}"),
        )  # fmt: skip
        prover = self._run(
            started, "prover",
            module("provers", "--home", str(self.folder / "prover"), "--listen", f"127.0.0.1:{ports.prover}"),
        )  # fmt: skip
        rpc = f"http://127.0.0.1:{ports.chain}"
        self._chain_answers(chain, rpc)
        report("contracts")
        self._deploy(rpc, report)
        tangle_ready = processes.ready(tangle)
        gateway_url = f"http://127.0.0.1:{ports.gateway}"
        node_urls = [f"http://127.0.0.1:{port}" for port in ports.nodes]
        network = Network(
            name="local",
            chain_id=31337,
            rpc=rpc,
            deployment=str(self.deployment_file),
            ledger=LedgerAddress(
                url=str(tangle_ready["url"]),
                keys=tuple(str(key) for key in _list(tangle_ready["keys"])),
                threshold=int(str(tangle_ready["threshold"])),
                network=str(tangle_ready["network"]),
            ),
            gateways=(gateway_url, *node_urls),
            prover=f"http://127.0.0.1:{ports.prover}",
            prover_token_file=str(self.folder / "prover" / "token"),
            homes={person: str(self.homes / person) for person in PEOPLE},
        )
        report("homes, money and two operators")
        with ThreadPoolExecutor(3) as pool:
            people = pool.submit(self._people, network)
            prepared = [
                pool.submit(self._prepare_node, name, port, network)
                for name, port in zip(NODES, ports.nodes, strict=True)
            ]
            nodes = []
            for name, ready in zip(NODES, prepared, strict=True):
                ready.result()
                command = module("oracles", "run", "--home", str(self.folder / name))
                nodes.append(self._run(started, name, command, {"PRSM_STATE": str(self.state)}))
            people.result()
        stores = [argument for person in PEOPLE for argument in ("--store", str(self.homes / person / "blocks.db"))]
        gateway = self._run(
            started, "gateway", module("prsm_protocol.content", *stores, "--listen", f"127.0.0.1:{ports.gateway}")
        )
        for process in (prover, gateway, *nodes):
            processes.ready(process)
        network.save(self.network_file)
        return network

    def _run(
        self, started: list[Started], name: str, command: list[str], environment: dict[str, str] | None = None
    ) -> Started:
        process = processes.start(name, command, self.logs, environment)
        started.append(process)
        aside = self._processes_file.with_suffix(".part")
        aside.write_text(json.dumps([asdict(each) for each in started], indent=1))
        os.replace(aside, self._processes_file)
        return process

    def _chain_command(self, port: int) -> list[str]:
        return [
            str(anvil_binary()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", "31337", "--accounts", "10",
            "--block-time", "1", "--mixed-mining", "--state", str(self.folder / "anvil.state"), "--state-interval", "2",
            "--color", "never", "--silent",
        ]  # fmt: skip

    def _chain_answers(self, chain: Started, rpc: str) -> None:
        connection = Connection(rpc)
        end = time.monotonic() + processes.READY_SECONDS
        while time.monotonic() < end:
            try:
                connection.block()
                return
            except WorldError:
                raise
            except Exception as error:
                if not chain.is_running():
                    log = Path(chain.log)
                    raise processes.ProcessEnded(
                        process="chain", code="unknown", log=log, tail=processes.tail(log)
                    ) from error
                _pause(0.05)
        raise processes.ProcessSlow(process="chain", seconds=processes.READY_SECONDS, log=chain.log)

    def _deploy(self, rpc: str, report: Report) -> None:
        connection = Connection(rpc)
        if self.deployment_file.exists():
            from prsm_protocol.chain import Deployment

            known = Deployment.load(self.deployment_file)
            if connection.code(known.address("Escrow")):
                return
            raise WorldBroken(state=self.state, reason="its chain was lost, and with it everybody's money")
        deploy(
            local_parameters(), rpc, development_account(0), self.folder / "deployment", registry=self.deployment_file
        )

    def _people(self, network: Network) -> None:
        """Homes with keys, and a gift for each from the development account that holds the local supply."""
        missing = [person for person in PEOPLE if not (self.homes / person / "seed.json").exists()]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda person: Home.create(self.homes / person, network), missing))
        self._give(network, {person: Home(self.homes / person, network).address for person in missing}, GIFT)

    def _give(self, network: Network, accounts: dict[str, str], amount: Wei) -> None:
        """Coin for gas by anvil's own call, FTNS by a transfer."""
        if not accounts:
            return
        from prsm_protocol.chain import Deployment

        chain = connect(network.rpc, Deployment.load(self.deployment_file))
        faucet = Sender(chain, development_account(0), Journal(self.folder / "faucet.journal"))
        for name, address in accounts.items():
            chain.rpc("anvil_setBalance", address, hex(GIFT_COIN))
            if amount:
                faucet.prepare(f"gift:{name}", chain.ftns.transfer(address, amount))
                faucet.send(f"gift:{name}")
        for name in accounts if amount else ():
            faucet.confirm(f"gift:{name}")

    def _prepare_node(self, name: str, port: int, network: Network) -> None:
        """Make the node's home as an operator would, give its keys money, register and stake."""
        home = self.folder / name
        if (home / "node.toml").exists():
            return
        gateways = [url for url in network.gateways if not url.endswith(f":{port}")]
        answer = self._oracles(
            "init", "--home", str(home), "--network", network.deployment, "--endpoint", network.rpc,
            "--listen", f"127.0.0.1:{port}", "--prover", network.prover, "--prover-token-file", network.prover_token_file,
            "--ledger", network.ledger.url, "--ledger-network", network.ledger.network,
            "--ledger-threshold", str(network.ledger.threshold),
            *[argument for key in network.ledger.keys for argument in ("--ledger-key", key)],
            "--confirmations", "1", "--poll-seconds", "0.25", "--scrypt-n", "4096",
            *[argument for url in gateways for argument in ("--gateway", url)],
            "--json",
        )  # fmt: skip
        addresses = {role: str(answer[role]) for role in ("operator", "sender")}
        self._give(network, {f"{name}:operator": addresses["operator"]}, Wei(1_000 * FTNS))
        self._give(network, {f"{name}:sender": addresses["sender"]}, Wei(0))
        self._oracles("stake", STAKE, "--home", str(home), "--json")

    def _oracles(self, *arguments: str) -> dict[str, object]:
        import subprocess

        done = subprocess.run(module("oracles", *arguments), capture_output=True, text=True, check=False)
        if done.returncode:
            raise WorldBroken(
                state=self.state, reason=f"oracles {arguments[0]}: {(done.stderr or done.stdout).strip()[-600:]}"
            )
        answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
        return answer

    def _ports(self) -> Ports:
        """Ports chosen once and kept, so that addresses written into listings stay good."""
        path = self.folder / "ports.json"
        if path.exists():
            raw = json.loads(path.read_text())
            ports = Ports(**{**raw, "nodes": tuple(raw["nodes"])})
            named = {"chain": ports.chain, "tangle": ports.ledger, "prover": ports.prover, "gateway": ports.gateway}
            named |= dict(zip(NODES, ports.nodes, strict=True))
            for process, port in named.items():
                if not _is_free(port):
                    raise PortTaken(port=port, process=process)
            return ports
        free = _free_ports(4 + len(NODES))
        ports = Ports(free[0], free[1], free[2], free[3], tuple(free[4:]))
        self.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(ports)))
        return ports

    # ── down ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def down(self, *, purge: bool = False) -> list[str]:
        """End what `up` started; with `purge` remove the state folder too. Returns the names of what was ended."""
        with self._exclusive():
            running = [started for started in self.started() if started.is_running()]
            # The chain goes last: nodes that drain still want to write their last transaction.
            processes.stop([started for started in running if started.name != "chain"])
            processes.stop([started for started in running if started.name == "chain"])
            self._processes_file.unlink(missing_ok=True)
            if purge:
                for folder in (self.folder, self.homes):
                    shutil.rmtree(folder, ignore_errors=True)
            return [started.name for started in running]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "world.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise WorldBusy(state=self.state) from None
            yield


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is not a list")
    return value


def _pause(seconds: float) -> None:
    import threading

    threading.Event().wait(seconds)
