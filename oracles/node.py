"""Puts the parts of a node together, starts and stops them, and says how it is.

One node per home and per sending key, held by file locks. Each part is a loop in a thread; one that fails is started again
after a pause, and three failures within a minute make the node not ready, with the reason. Nothing is sent before every
stored transaction was looked up on the chain.
"""

from __future__ import annotations

import fcntl
import os
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from oracles import config as node_config
from oracles import earnings, keys, telemetry
from oracles.attest import Attester
from oracles.endpoints import Endpoints
from oracles.listener import Head, Listener, ReorgTooDeep
from oracles.offers import Catalogue, Offer
from oracles.outbox import Outbox
from oracles.prover import Prover
from oracles.quotes import Facts, Quotes
from oracles.store import IntentRow, Store
from oracles.tasks import Tasks
from oracles.vouchers import Vouchers
from oracles.workbench import Workbench
from prsm_protocol import __version__
from prsm_protocol.chain import Deployment
from prsm_protocol.chain.client import Call
from prsm_protocol.chain.sender import Sender
from prsm_protocol.content import Retriever
from prsm_protocol.content import Store as Blocks
from prsm_protocol.errors import ChainError, NodeError, PrsmError
from prsm_protocol.journal import Journal

COIN = 10**18
_FAILURES_A_MINUTE = 3
_STALE_SECONDS = 30.0
"""A head that has not been read for so long is no ground to quote on."""


class HomeBusy(NodeError):
    exit_code = 7
    text = "another node runs on {path} (process {holder}); stop it first, or use another home"


class RecordUnknown(NodeError):
    text = "record {record} is not registered; its listing is ignored"


class Node:
    """A running operator's node."""

    def __init__(self, home: Path, log: telemetry.Log) -> None:
        self.home = home
        self.log = log
        self._lock_files: list[IO[str]] = []
        self._hold(home / "node.lock")
        self.config = node_config.load(home)
        secret = keys.passphrase(home)
        self.keys = keys.open_keys(home, secret, self.config.operator)
        self.operator = self.keys.operator
        self.payee = self.config.payee or self.operator
        self.deployment = Deployment.load(self.config.network)
        self.store = Store(home / "node.db")
        self.store.check()
        self.blocks = Blocks(home / "blocks.db")
        self.chain = Endpoints(self.config.endpoints, self.deployment)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._broken: dict[str, str] = {}
        self._draining = self.store.setting("draining") == "1"
        self._synced = False
        self._last_head = 0.0
        self._build(secret)

    def _build(self, secret: str) -> None:
        config = self.config
        journal = Journal(self.home / "sendings.db")
        sender = Sender(self.chain, self.keys.sender, journal)
        self.retriever = Retriever(self.blocks, list(config.gateways))
        self.prover = None if config.prover is None else Prover(config.prover.url, config.prover.token_file)
        self.attester = Attester(
            self.store,
            self.keys.signer,
            chain_id=self.chain.chain_id,
            escrow=self.chain.escrow.address,
            hub=self.chain.hub.address,
        )
        files = self.home / "models"
        files.mkdir(exist_ok=True)
        self.catalogue = Catalogue(
            config, self.store, self.retriever, self.prover, files=files, owner_of=self._owner_of
        )
        self.listener = Listener(self.store, self.chain, operator=self.operator, payee=self.payee)

        def sender_for(kind: str) -> Sender:
            # Only the payee itself may end a channel, so its key is opened for that one transaction.
            if kind != "close":
                return sender
            return Sender(self.chain, keys.open_role(self.home, "operator", secret), journal)

        self.outbox = Outbox(
            self.store,
            self.chain,
            sender_for,
            self._call_for,
            confirmations=config.confirmations,
            gas_per_day_wei=int(config.gas.per_day_coin * COIN),
        )
        self.bench = Workbench(
            self.store, self.chain, self.blocks, self.catalogue, self.prover, self.attester, self.keys.identity
        )
        self.tasks = Tasks(
            self.store,
            self.chain,
            self.catalogue,
            self.bench,
            self.outbox,
            operator=self.operator,
            head=self.listener.head,
            confirmations=config.confirmations,
            log=self.log,
        )
        self.quotes = Quotes(
            config,
            self.store,
            self.chain,
            self.catalogue,
            self.attester,
            operator=self.operator,
            payee=self.payee,
            facts=self.facts,
        )
        self.vouchers = Vouchers(
            config,
            self.store,
            self.chain,
            self.blocks,
            self.catalogue,
            self.outbox,
            self.keys.identity,
            home=self.home,
            operator=self.operator,
            payee=self.payee,
            head=self.listener.head,
            log=self.log,
        )

    def _call_for(self, intent: IntentRow) -> Call | None:
        if intent.kind in ("settle", "close"):
            return self.vouchers.call_for(intent)
        return self.bench.call_for(intent)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Reconcile, replay, then let the loops run."""
        self._hold(self._sending_lock())
        self.outbox.reconcile()
        self.listener.start()
        while self.listener.advance():
            pass
        self._synced = True
        self._last_head = time.monotonic()
        self.catalogue.refresh()
        poll = self.config.poll_seconds
        self._loop("listener", self._follow, poll)
        self._loop("tasks", self.tasks.tick, min(poll, 0.2), wakes=True)
        self._loop("outbox", self.outbox.step, min(poll, 0.2))
        self._loop("offers", self.catalogue.refresh, max(poll, 1.0))
        self._loop("vouchers", self._watch_vouchers, max(poll, 1.0))

    def stop(self) -> None:
        """End the loops; whatever was begun is stored and goes on with the next start."""
        self._stop.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout=10)
        self.tasks.stop()
        self.vouchers.close_files()
        if self.prover is not None:
            self.prover.close()
        self.retriever.close()
        self.store.close()
        for file in self._lock_files:
            file.close()

    def hand_over(self, seconds: float) -> None:
        """Take no new quotes and wait, so long at most, until nothing is in the middle of a step."""
        self._draining = True
        end = time.monotonic() + seconds
        pause = threading.Event()
        while time.monotonic() < end:
            waiting = [row for row in self.store.intents(states=["written", "sent"])]
            if self.tasks.idle() and not waiting:
                return
            pause.wait(0.1)

    def drain(self) -> None:
        """No new quotes, over restarts, until the owner says otherwise; open tasks go on."""
        self._draining = True
        self.store.set_setting("draining", "1")

    def wake(self) -> None:
        """Something came in: the loop over tasks need not wait for its next turn."""
        self._wake.set()

    def _loop(self, name: str, work: Callable[[], object], every: float, *, wakes: bool = False) -> None:
        def run() -> None:
            failures: deque[float] = deque(maxlen=_FAILURES_A_MINUTE)
            while not self._stop.is_set():
                pause = every
                try:
                    work()
                    self._broken.pop(name, None)
                except ReorgTooDeep as error:
                    self._broken[name] = str(error)
                    self.log.write("error", "stopped acting", task=name, error=error.name, detail=str(error))
                    self._stop.set()
                except Exception as error:
                    # A loop must outlive whatever an endpoint, a prover or a stranger's file does to it.
                    failures.append(time.monotonic())
                    if len(failures) == _FAILURES_A_MINUTE and failures[-1] - failures[0] < 60:
                        self._broken[name] = f"{type(error).__name__}: {error}"
                    level = "warning" if isinstance(error, PrsmError) else "error"
                    self.log.seldom(level, f"{name} failed", error=type(error).__name__, detail=str(error)[:500])
                    pause = min(5.0, every * 2 ** len(failures))
                if wakes:
                    self._wake.wait(pause)
                    self._wake.clear()
                else:
                    self._stop.wait(pause)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _follow(self) -> None:
        while self.listener.advance() and not self._stop.is_set():
            self._wake.set()
        self._last_head = time.monotonic()

    def _watch_vouchers(self) -> None:
        self.vouchers.adopt()
        self.vouchers.watch()

    def _hold(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise HomeBusy(path=path, holder=holder) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock_files.append(file)

    def _sending_lock(self) -> Path:
        """One file a key beside the homes of this machine, so that two homes with one key notice each other."""
        return self.home.parent / f".sending-{self.chain.chain_id}-{self.keys.sender.address[2:10].lower()}.lock"

    # ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def head(self) -> Head | None:
        return self.listener.head()

    def facts(self) -> Facts:
        """What a quote rests on, asked of the chain at that moment."""
        most, _ = self.chain.fees()
        return Facts(
            now=self.chain.block().timestamp,
            chain_id=self.chain.chain_id,
            escrow=self.chain.escrow.address,
            window_min=self.chain.hub.limits().window_min,
            is_draining=self._draining or self._stop.is_set() or not self._synced,
            is_registered=self.chain.operators.signer_of(self.operator) == self.keys.signer.address,
            gas_price=most,
            gas_is_low=self.chain.balance(self.keys.sender.address) < int(self.config.gas.floor_coin * COIN),
        )

    def _owner_of(self, record: bytes) -> str:
        found = self.chain.provenance.record_of(record)
        if found is None:
            raise RecordUnknown(record="0x" + record.hex())
        return found.owner

    def about(self) -> dict[str, object]:
        cover = self.chain.operators.cover_of(self.operator)
        return {
            "operator": self.operator,
            "signer": self.keys.signer.address,
            "payee": self.payee,
            "did": self.keys.identity.did,
            "chain_id": self.chain.chain_id,
            "hub": self.chain.hub.address,
            "stake_free_wei": str(cover.free),
            "stake_covered_wei": str(cover.locked),
            "version": __version__,
            "proving": "none" if self.prover is None else f"cpu ({os.cpu_count()} threads)",
            "models": "cpu, exact integers",
            "draining": self._draining,
        }

    def not_ready(self) -> list[str]:
        """Every reason why this node should get no work now."""
        reasons = [f"{name}: {reason}" for name, reason in self._broken.items()]
        reasons += [f"{alarm.what}: {alarm.detail}" for alarm in list(self.outbox.alarms.values())]
        if not self._synced or time.monotonic() - self._last_head > _STALE_SECONDS:
            reasons.append("head: the chain has not been read lately")
        if self._draining:
            reasons.append("draining")
        if self.prover is not None and not self.prover.is_ready():
            reasons.append("prover: it is not ready, nothing is offered as proved")
        return reasons

    def seconds(self, offer: Offer) -> tuple[float, float]:
        """(p50, p95) of results of this listing made here; what its circuit's build measured before the first."""
        measured = sorted(self.bench.seconds_of(str(offer.cid)))
        if len(measured) >= 2:
            cuts = statistics.quantiles(measured, n=20, method="inclusive")
            return round(cuts[9], 3), round(cuts[18], 3)
        first = max((circuit.held.prove_seconds for circuit in offer.circuits), default=offer.loaded.run_seconds)
        return round(first, 3), round(first, 3)

    def status(self) -> dict[str, object]:
        return {
            **self.about(),
            "ready": not self.not_ready(),
            "needs_a_person": [f"{alarm.what}: {alarm.detail}" for alarm in list(self.outbox.alarms.values())],
            "endpoints": self.chain.health(),
            "head": None if (head := self.head()) is None else head.number,
            "listings_refused": self.catalogue.refused(),
            "intents": [
                {"kind": row.kind, "task": row.task, "state": row.state, "detail": row.detail, "transaction": row.hash}
                for row in self.store.intents(states=["written", "sent", "mined", "refused", "foreign"])
            ],
            "net_wei": str(earnings.total_net(self.store)),
        }

    def metrics(self) -> bytes:
        head = self.head()
        samples: list[telemetry.Sample] = [
            ("prsm_node_head_lag_blocks", (), float(self.listener.latest - head.number) if head is not None else 0.0),
            ("prsm_node_reorg_depth", (), float(self.listener.deepest_reorganisation)),
            ("prsm_node_earned_wei", (), float(earnings.total_net(self.store))),
            ("prsm_node_gas_spent_wei", (), float(sum(row.gas_wei for row in self.store.intents()))),
            ("prsm_node_drift", (), float(self.bench.drifts)),
            ("prsm_node_alarms", (), float(len(self.outbox.alarms))),
            ("prsm_node_waiting_oldest_seconds", (), self.tasks.oldest_seconds()),
        ]
        rows = [
            (row.work.value, self.tasks.step_of(row)[0].state.value, str(row.quote.get("tier", "")))
            for row in self.store.open_tasks()
        ]
        samples += [("prsm_node_tasks", labels, value) for labels, value in telemetry.count(rows)]
        states = [(row.state,) for row in self.store.intents()]
        samples += [("prsm_node_intents", labels, value) for labels, value in telemetry.count(states)]
        samples += [("prsm_node_declines", (code,), float(n)) for code, n in self.tasks.declined.items()]
        samples += [
            ("prsm_node_endpoint_up", (str(place),), float(bool(entry["up"])))
            for place, entry in enumerate(self.chain.health())
        ]
        samples += self._chain_samples()
        return telemetry.render(samples)

    def _chain_samples(self) -> list[telemetry.Sample]:
        try:
            balance = self.chain.balance(self.keys.sender.address)
            free = self.chain.operators.cover_of(self.operator).free
        except ChainError:
            return []  # an endpoint that is away shows in its own metric; a made-up balance would hide it
        return [("prsm_node_gas_balance_wei", (), float(balance)), ("prsm_node_stake_free_wei", (), float(free))]


__all__ = ["HomeBusy", "Node"]
