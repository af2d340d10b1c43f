"""Every lock and its claim, read from the chain and never from memory; why somebody was paid, or was not.

Works from a wiped home with its key: what is listed here is what contracts hold for the account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from prsm_protocol.chain import Call, Chain
from prsm_protocol.chain.channels import Channel, ChannelStatus
from prsm_protocol.chain.client import Event
from prsm_protocol.chain.escrow import TaskStatus
from prsm_protocol.errors import WorkflowError
from prsm_protocol.rules.channel.vouchers import ChannelTerms
from prsm_protocol.rules.market.escrow import Assignment, JobStatus, JobTerms
from prsm_protocol.rules.registry.lineage import Share
from prsm_protocol.types import Wei, format_ftns

T = TypeVar("T")


class LockNotDue(WorkflowError):
    text = "{lock} is released {releases}; nothing was sent"


class LockUnknown(WorkflowError):
    exit_code = 2
    text = "no lock {lock!r}; `prsm funds` lists them"


@dataclass(frozen=True)
class Lock:
    """Money that is not free: whose, how much, held by what and why, when it is released and what takes it."""

    id: str
    owner: str
    amount: Wei
    held_by: str
    purpose: str
    releases: str
    claim: str
    claimable: bool
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Funds:
    wallet: Wei
    free: Wei
    locks: tuple[Lock, ...]


def funds(chain: Chain, account: str) -> Funds:
    locks = [*_exit(chain, account), *_jobs(chain, account), *_channels(chain, account), *_stake(chain, account)]
    locks += [*_royalties(chain, account), *_bonds(chain, account)]
    return Funds(chain.ftns.balance_of(account), chain.vault.free_of(account), tuple(locks))


def claim(chain: Chain, account: str, wanted: str | None, send: Callable[[str, Call], object]) -> list[Lock]:
    """Take one lock, or all that are due. Returns what was taken."""
    locks = funds(chain, account).locks
    if wanted is not None:
        chosen = [lock for lock in locks if lock.id == wanted]
        if not chosen:
            raise LockUnknown(lock=wanted)
        if not chosen[0].claimable:
            raise LockNotDue(lock=wanted, releases=chosen[0].releases)
    else:
        chosen = [lock for lock in locks if lock.claimable]
    for lock in chosen:
        for number, call in enumerate(lock.calls):
            send(f"claim:{lock.id}:{chain.block().number}:{number}", call)
    return chosen


# ── one contract each ────────────────────────────────────────────────────────────────────────────────────────────────


def _exit(chain: Chain, account: str) -> list[Lock]:
    waiting = chain.vault.exit_of(account)
    if not waiting.amount:
        return []
    due = chain.block().timestamp >= waiting.ready_at
    return [
        Lock(
            "exit", account, waiting.amount, "Vault", "withdrawal on its way", _at(waiting.ready_at), "prsm claim exit", due,
            (chain.vault.complete_exit(account),),
        )
    ]  # fmt: skip


def _jobs(chain: Chain, account: str) -> list[Lock]:
    found = []
    for event in _events(chain.escrow, chain, "EscrowOpened"):
        if event.fields["buyer"] != account:
            continue
        job_id = _bytes(event.fields["job_id"])
        job = chain.escrow.job(job_id)
        if job.status is not JobStatus.OPEN:
            continue
        terms = _struct(JobTerms, event.fields["terms"])
        active = chain.escrow.active_time()
        late = [
            assignment
            for assignment, task_id in assignments(chain, job_id)
            if (task := chain.escrow.task(task_id)).status is TaskStatus.ASSIGNED and active > task.deliver_by
        ]
        due = job.open_tasks == len(late)
        calls = (*(chain.escrow.refund(terms, assignment) for assignment in late), chain.escrow.close(terms))
        releases = "now" if due else f"when {job.open_tasks - len(late)} open tasks end, each by its own time"
        found.append(
            Lock(
                f"job-{job_id.hex()[:12]}", account, Wei(job.free + job.reserved), "Escrow", "budget of a question", releases,
                f"prsm claim job-{job_id.hex()[:12]}", due, calls if due else (),
            )
        )  # fmt: skip
    return found


def assignments(chain: Chain, job_id: bytes) -> list[tuple[Assignment, bytes]]:
    return [
        (_struct(Assignment, event.fields["assignment"]), _bytes(event.fields["task_id"]))
        for event in _events(chain.escrow, chain, "TaskAssigned")
        if event.fields["job_id"] == job_id
    ]


@dataclass(frozen=True)
class PaidChannel:
    """A channel that an account pays through, as the chain has it, under the name that `prsm funds` shows."""

    name: str
    id: bytes
    terms: ChannelTerms
    channel: Channel


def channels_of(chain: Chain, payer: str) -> list[PaidChannel]:
    """Every channel the account ever opened, closed ones too."""
    found = []
    for event in _events(chain.channels, chain, "ChannelOpened"):
        if event.fields["payer"] == payer:
            id = _bytes(event.fields["channel_id"])
            terms = _struct(ChannelTerms, event.fields["terms"])
            found.append(PaidChannel(f"channel-{id.hex()[:12]}", id, terms, chain.channels.channel(id)))
    return found


def _channels(chain: Chain, account: str) -> list[Lock]:
    found = []
    for each in channels_of(chain, account):
        name, terms, channel = each.name, each.terms, each.channel
        if channel.status is not ChannelStatus.OPEN:
            continue
        calls: tuple[Call, ...] = ()
        due = bool(channel.closes_at) and chain.escrow.active_time() >= channel.closes_at
        if due:
            releases, command, calls = "now", f"prsm claim {name}", (chain.channels.withdraw(terms),)
        elif channel.closes_at:
            releases, command, calls = _at(channel.closes_at), f"prsm claim {name}", calls
        else:
            releases, command, calls = f"{terms.close_delay} s after you close it", f"prsm channel close {name}", calls
        found.append(
            Lock(
                name, account, Wei(channel.deposit - channel.settled), "Channels", f"vouchers to {terms.payee}", releases, command,
                due, calls,
            )
        )  # fmt: skip
    return found


def _stake(chain: Chain, account: str) -> list[Lock]:
    if not chain.operators.is_registered(account):
        return []
    cover = chain.operators.cover_of(account)
    found = []
    if cover.stake:
        found.append(
            Lock(
                "stake",
                account,
                cover.stake,
                "OracleRegistry",
                "operator's stake",
                "after `prsm node exit`",
                "prsm node exit",
                False,
            )
        )
    if cover.leaving:
        due = chain.escrow.active_time() >= cover.leaving_at
        calls = (chain.operators.complete_exit(account),) if due else ()
        found.append(
            Lock(
                "stake-leaving", account, cover.leaving, "OracleRegistry", "stake asked back", _at(cover.leaving_at),
                "prsm claim stake-leaving", due, calls,
            )
        )  # fmt: skip
    return found


def _royalties(chain: Chain, account: str) -> list[Lock]:
    """What this account's records earned, themselves or as ancestors of others."""
    found = []
    for event in _events(chain.provenance, chain, "RecordRegistered"):
        record = _bytes(event.fields["record_id"])
        ancestors = _shares(event.fields["ancestors"])
        for index, owner_of in enumerate([*[share.record for share in ancestors], record]):
            owner = chain.provenance.record_of(owner_of)
            if owner is None or owner.owner != account:
                continue
            amount = chain.royalties.claimable(record, ancestors, index)
            if amount:
                name = f"royalty-{record.hex()[:8]}-{index}"
                kind = "use of your record" if owner_of == record else f"share in record 0x{record.hex()[:12]}…"
                call = chain.royalties.claim(record, ancestors, index)
                found.append(Lock(name, account, amount, "Royalties", kind, "now", f"prsm claim {name}", True, (call,)))
    return found


def _bonds(chain: Chain, account: str) -> list[Lock]:
    found = []
    for event in _events(chain.router, chain, "CircuitAnnounced"):
        circuit = _bytes(event.fields["circuit_id"])
        announcer, bond = chain.router.bond_of(circuit)
        if announcer != account or not bond:
            continue
        (hold,) = chain.router.read("bondHold")
        assert isinstance(hold, int)
        until = chain.router.state_of(circuit).enabled_from + hold
        due = chain.block().timestamp >= until
        name = f"bond-{circuit.hex()[:12]}"
        calls = (chain.router.reclaim_bond(circuit),) if due else ()
        found.append(
            Lock(
                name, account, bond, "VerifierRouter", "bond of a circuit", _at(until), f"prsm claim {name}", due, calls
            )
        )
    return found


# ── why ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Why:
    """One task's money, recomputed and compared with what the chain did."""

    task: bytes
    status: str
    lines: tuple[str, ...]
    agrees: bool


def why_paid(chain: Chain, task_id: bytes) -> Why:
    """Price → fee → royalties → net, or the reason why nothing was paid."""
    status = chain.escrow.task(task_id).status
    assignment = next(
        (
            _struct(Assignment, e.fields["assignment"])
            for e in _events(chain.escrow, chain, "TaskAssigned")
            if e.fields["task_id"] == task_id
        ),
        None,
    )
    if assignment is None:
        return Why(task_id, "unknown", ("no such task was assigned on this chain",), True)
    lines = [
        f"price agreed: {format_ftns(assignment.price)} FTNS to {assignment.payee}, operator {assignment.operator}"
    ]
    paid = next((e for e in _events(chain.escrow, chain, "TaskPaid") if e.fields["task_id"] == task_id), None)
    if paid is None:
        reasons = {
            TaskStatus.ASSIGNED: "not delivered yet",
            TaskStatus.DELIVERED: "delivered, in its window",
            TaskStatus.REFUNDED: "refunded: declined or delivered too late",
            TaskStatus.SPLIT: "split by agreement",
        }
        return Why(
            task_id, status.name.lower(), (*lines, f"not paid: {reasons.get(status, status.name.lower())}"), True
        )
    fee = assignment.price * chain.royalties.fee_bps() // 10_000
    royalties = []
    for record in assignment.records:
        owner = chain.provenance.record_of(record)
        bps = owner.royalty_bps if owner is not None else 0
        royalties.append(assignment.price * bps // 10_000)
        lines.append(f"royalty {bps / 100:g} % to record 0x{record.hex()[:12]}…: {format_ftns(royalties[-1])} FTNS")
    net = assignment.price - fee - sum(royalties)
    lines.insert(1, f"protocol fee {chain.royalties.fee_bps() / 100:g} %, burnt: {format_ftns(fee)} FTNS")
    lines.append(f"net: {format_ftns(net)} FTNS in transaction 0x{paid.transaction.hex()}")
    real = (paid.fields["net"], paid.fields["fee"], paid.fields["royalty"])
    agrees = real == (net, fee, sum(royalties))
    if not agrees:
        lines.append(f"DIFFERS: the chain paid net {real[0]}, fee {real[1]}, royalty {real[2]} wei")
    return Why(task_id, status.name.lower(), tuple(lines), agrees)


# ── reading events ───────────────────────────────────────────────────────────────────────────────────────────────────


def _events(client: object, chain: Chain, name: str) -> Sequence[Event]:
    from prsm_protocol.chain.client import ContractClient

    assert isinstance(client, ContractClient)
    return client.events(chain.deployment.start_block, "latest", {name})


def _struct(kind: type[T], value: object) -> T:
    assert isinstance(value, kind)
    return value


def _shares(raw: object) -> tuple[Share, ...]:
    assert isinstance(raw, tuple)
    return raw


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _at(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
