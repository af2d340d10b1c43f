"""Milestones for a private Hornet over plain REST.

One step: tips → parents (the last milestone's block and up to seven tips) → the node computes the roots → build,
sign → write the signed block to the journal and sync → post → wait until the node has it. After a crash the *same
bytes* are posted again: posting before writing could sign an index twice, and two milestones of one index are proof
of fault.

`python -m prsm_protocol.ledger.coordinator --node URL --home DIR` runs it; DIR/keys holds the secrets, one a line in
hexadecimal, readable by its owner only.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prsm_protocol.errors import LedgerError, PrsmError
from prsm_protocol.journal import Journal
from prsm_protocol.journal import State as EffectState
from prsm_protocol.ledger.codec import MAX_PARENTS, Milestone, block_id, decode, decode_milestone
from prsm_protocol.ledger.milestones import milestone_block, sign_milestone
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.transport import LedgerBusy, LedgerUnavailable
from prsm_protocol.types import Waiting, poll

_KIND = "milestone"
_DRAWS = 6  # Hornet gives two to eight tips a draw


class CoordinatorRunning(LedgerError):
    exit_code = 7
    text = "coordinator of {home} runs already as process {pid}; two would sign one index twice"


class CoordinatorBehind(LedgerError):
    text = (
        "coordinator signed up to milestone {own}, the node has {node}; somebody else signs with these keys: stop both"
    )


class NodeNotSynced(LedgerError):
    text = "node stands at milestone {node} and does not take {own} again; start it with --syncedAtStartup"


class Coordinator:
    """Issues milestones to one node. One instance a home, by an operating-system lock."""

    def __init__(self, rest: RestTransport, home: Path, keys: Sequence[Ed25519PrivateKey]) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rest = rest
        self._keys = list(keys)
        self._lock = _lock(home)
        self._journal = Journal(home / "coordinator.sqlite")
        self._known: tuple[Milestone, bytes] | None = None

    def close(self) -> None:
        os.close(self._lock)

    def step(self, now: int) -> Milestone:
        """Issue the next milestone; a step that a crash cut short is finished first, with the same bytes."""
        last, last_block = self._known or self._last()
        node = self._rest.info().latest
        if node < last.index:
            last, last_block = self._last()
            node = last.index
        if node > last.index:
            raise CoordinatorBehind(own=last.index, node=node)
        tips = [each for each in self._tips() if each != last_block]
        parents = sorted({last_block, *tips[: MAX_PARENTS - 1]})
        timestamp = max(now, last.timestamp + 1)
        index = last.index + 1
        inclusion, applied = self._rest.white_flag(index, timestamp, parents, last.id)
        milestone = sign_milestone(index, timestamp, last.id, parents, inclusion, applied, self._keys)
        raw = milestone_block(milestone)
        self._journal.prepare(f"{_KIND}/{index}", _KIND, raw, reference=milestone.id)
        self._known = None  # until the node has it: a step that fails here begins by sending these bytes again
        self._send(index, raw)
        self._known = milestone, block_id(raw)
        return milestone

    def run(self, stop: threading.Event, interval: timedelta) -> None:
        """Issue until `stop`. A node that is away is waited for; anything else ends the run."""
        while not stop.wait(interval.total_seconds()):
            try:
                self.step(int(datetime.now(UTC).timestamp()))
            except LedgerUnavailable:
                continue

    def _last(self) -> tuple[Milestone, bytes]:
        """Our last milestone, on the node for certain; at the very first the node's own (its bootstrap's)."""
        for entry in self._journal.unfinished(kind=_KIND):
            self._send(int(entry.key.partition("/")[2]), entry.payload)
        entries = self._journal.entries(f"{_KIND}/")
        if not entries:
            milestone = decode_milestone(self._rest.milestone(self._rest.info().latest))
            id = block_id(milestone_block(milestone))
            self._rest.block(id)  # a block with another nonce would be another parent: the node must know this one
            return milestone, id
        payload = decode(entries[-1].payload).payload
        assert isinstance(payload, Milestone)
        if self._rest.info().latest < payload.index:  # the node was set back: it gets the same bytes again
            self._send(payload.index, entries[-1].payload)
        return payload, block_id(entries[-1].payload)

    def _send(self, index: int, raw: bytes) -> None:
        key = f"{_KIND}/{index}"
        if self._journal.need(key).state is not EffectState.CONFIRMED:
            self._journal.sent(key)
        self._rest.post(raw)
        waiting = Waiting(f"milestone {index} on the node", datetime.now(UTC) + timedelta(seconds=10), "the run ends")
        node = poll(waiting, lambda: self._reached(index), timedelta(milliseconds=20))
        if node < index:
            raise NodeNotSynced(own=index, node=node)
        if self._journal.need(key).state is not EffectState.CONFIRMED:
            self._journal.confirmed(key, {})

    def _reached(self, index: int) -> int | None:
        node = self._rest.info().latest
        return node if node >= index else None

    def _tips(self) -> list[bytes]:
        """Tips that no milestone references yet. Hornet draws at random, also among referenced ones: it is asked often.

        A block that is never drawn is orphaned after the depth limit, and its sender must attach it again.
        """
        found: dict[bytes, None] = {}
        for _ in range(_DRAWS):
            try:
                found.update(dict.fromkeys(self._rest.tips()))
            except LedgerBusy:  # Hornet answers 503 while nothing hangs on the last milestone
                break
        return [each for each in found if self._rest.metadata(each).milestone is None]


def _lock(home: Path) -> int:
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(handle, 32, 0).decode().strip() or "unknown"
        os.close(handle)
        raise CoordinatorRunning(home=str(home), pid=pid) from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


# ── as a process ─────────────────────────────────────────────────────────────────────────────────────────────────────


class CoordinatorKeysExposed(LedgerError):
    text = "file of coordinator keys {path} can be read by others (mode {mode}); make it 0600"


def _read_keys(path: Path) -> list[Ed25519PrivateKey]:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise CoordinatorKeysExposed(path=str(path), mode=oct(mode))
    return [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(line)) for line in path.read_text().split()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m prsm_protocol.ledger.coordinator", description=__doc__)
    parser.add_argument("--node", required=True, help="URL of the node")
    parser.add_argument("--home", type=Path, required=True, help="folder of keys and journal")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between milestones")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rest = RestTransport([options.node])
    try:
        coordinator = Coordinator(rest, options.home, _read_keys(options.home / "keys"))
        coordinator.run(stop, timedelta(seconds=options.interval))
        coordinator.close()
    except PrsmError as error:
        print(json.dumps({"type": error.name, "detail": str(error)}), file=sys.stderr)
        return error.exit_code
    finally:
        rest.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
