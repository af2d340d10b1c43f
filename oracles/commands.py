"""What an operator types beside `run`: make a home, check it, look at it, stake and leave.

Only these commands open the operator's key, and only for their own transactions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from oracles import config as node_config
from oracles import keys
from oracles.endpoints import Endpoints
from oracles.policy import DELIVER_GAS
from oracles.prover import Prover
from prsm_protocol.chain import Call, Deployment, Sender
from prsm_protocol.content import Store as Blocks
from prsm_protocol.errors import NodeError, PrsmError
from prsm_protocol.journal import Journal
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Wei, format_ftns, parse_ftns

CLOCK_SECONDS = 5
DELIVERIES = 20
DISK_FLOOR_BYTES = 1 << 30


class NodeSilent(NodeError):
    exit_code = 3
    text = "the node at {url} does not answer ({reason}); start it with `prsm node run`"


class AllowanceShort(NodeError):
    text = "the operator holds {balance} FTNS, {amount} are to be staked; send it FTNS first"


# ── init ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def init(options: argparse.Namespace) -> int:
    """Write a new home. Everything is given or made; nothing is overwritten."""
    home: Path = options.home
    raw: dict[str, object] = {
        "network": str(options.network.resolve()),
        "endpoints": options.endpoint,
        "listen": options.listen,
        "public_url": options.public_url,
        "gateways": options.gateway,
        "confirmations": options.confirmations,
        "poll_seconds": options.poll_seconds,
        "payee": options.payee,
        "serve": "listed",
        "price": {"margin_bps": options.margin_bps},
        "keys": {"scrypt_n": options.scrypt_n},
    }
    if options.prover:
        token = options.prover_token_file or Path("prover-token")
        raw["prover"] = {"url": options.prover, "token_file": str(token.resolve() if token.is_absolute() else token)}
    if options.ledger:
        raw["ledger"] = {
            "url": options.ledger,
            "keys": options.ledger_key,
            "threshold": options.ledger_threshold,
            "network": options.ledger_network,
        }
    config = node_config.save(home, raw)
    keys.write_passphrase(home)
    imported = {role: path for role in keys.ROLES if (path := getattr(options, f"{role}_key_file")) is not None}
    made = keys.create(home, secret=keys.passphrase(home), scrypt_n=config.keys.scrypt_n, imported=imported)
    keys.write_token(home)
    following = [f"prsm node stake AMOUNT --home {home}", f"prsm node run --home {home}"]
    _say(options, {"home": str(home), **made, "next": following}, f"node home {home} for operator {made['operator']}")
    return 0


# ── stake ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def stake(options: argparse.Namespace) -> int:
    """Register with this home's signer and profile, or add to the stake; brings FTNS into the Vault as needed."""
    amount = parse_ftns(options.amount)
    home: Path = options.home
    config = node_config.load(home)
    chain = _chain(config)
    secret = keys.passphrase(home)
    held = keys.open_keys(home, secret, config.operator)
    profile = _profile(home, config, held)
    calls: list[tuple[str, Call]] = []
    free = chain.vault.free_of(held.operator)
    missing = Wei(max(0, amount - free))
    if missing:
        balance = chain.ftns.balance_of(held.operator)
        if balance < missing:
            raise AllowanceShort(balance=format_ftns(balance), amount=format_ftns(missing))
        calls.append(("approve", chain.ftns.approve(chain.vault.address, missing)))
        calls.append(("deposit", chain.vault.deposit(held.operator, missing)))
    if chain.operators.signer_of(held.operator) is None:
        calls.append(("register", chain.operators.register(held.signer.address, profile, amount)))
    else:
        if amount:
            calls.append(("add stake", chain.operators.add_stake(amount)))
        if chain.operators.signer_of(held.operator) != held.signer.address:
            calls.append(("set signer", chain.operators.set_signer(held.signer.address)))
        if chain.operators.profile_of(held.operator) != profile:
            calls.append(("set profile", chain.operators.set_profile(profile)))
    if options.print:
        _print_calls(options, held.operator, calls)
        return 0
    hashes = _send_all(home, chain, secret, calls)
    cover = chain.operators.cover_of(held.operator)
    document = {
        "operator": held.operator,
        "signer": held.signer.address,
        "stake_wei": str(cover.stake),
        "profile": "0x" + profile.hex(),
        "transactions": hashes,
    }
    _say(options, document, f"operator {held.operator} stands with {format_ftns(cover.stake)} FTNS")
    return 0


def unstake(options: argparse.Namespace) -> int:
    """Ask a part back while the node goes on."""
    return _leave(options, parse_ftns(options.amount))


def leave(options: argparse.Namespace) -> int:
    """Drain a running node, then ask everything back."""
    url = _url(options.home, "")
    if url:
        try:
            _owner_request(options.home, url, "POST", "/v1/drain")
        except NodeSilent:
            print("the node does not run, so there is nothing to drain", file=sys.stderr)
    return _leave(options, None)


def _leave(options: argparse.Namespace, amount: Wei | None) -> int:
    config = node_config.load(options.home)
    chain = _chain(config)
    secret = keys.passphrase(options.home)
    operator = keys.open_keys(options.home, secret, config.operator).operator
    wanted = chain.operators.cover_of(operator).free if amount is None else amount
    calls = [("request exit", chain.operators.request_exit(wanted))]
    if options.print:
        _print_calls(options, operator, calls)
        return 0
    hashes = _send_all(options.home, chain, secret, calls)
    ready = datetime.fromtimestamp(chain.operators.cover_of(operator).leaving_at, UTC)
    document = {"operator": operator, "leaving_wei": str(wanted), "ready_at": ready.isoformat(), "transactions": hashes}
    _say(options, document, f"{format_ftns(wanted)} FTNS leave; from {ready:%Y-%m-%d %H:%M} UTC on: prsm claim")
    return 0


def _profile(home: Path, config: node_config.NodeConfig, held: keys.Keys) -> bytes:
    """The block by which askers find this node from the chain; served by the node's own gateway."""
    url = config.public_url or f"http://{config.listen}"
    block = dag_cbor.encode(
        {
            "v": 1,
            "kind": "profile",
            "operator": held.operator,
            "url": url,
            "did": held.identity.did,
            "gateways": [url],
        }
    )
    return Blocks(home / "blocks.db").put(block, DAG_CBOR).digest


def _send_all(home: Path, chain: Endpoints, secret: str, calls: list[tuple[str, Call]]) -> dict[str, str]:
    sender = Sender(chain, keys.open_role(home, "operator", secret), Journal(home / "operator.db"))
    at = time.time_ns()
    return {name: "0x" + sender.transact(f"operator/{at}/{name}", call).hash.hex() for name, call in calls}


def _print_calls(options: argparse.Namespace, operator: str, calls: list[tuple[str, Call]]) -> None:
    """Unsigned transactions, for a wallet that holds the operator's key elsewhere."""
    rows = [{"name": name, "from": operator, "to": call.to, "data": "0x" + call.data.hex()} for name, call in calls]
    _say(options, {"transactions": rows}, "\n".join(json.dumps(row) for row in rows))


# ── check and status ─────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Line:
    """One thing that must hold, and what mends it."""

    what: str
    ok: bool
    detail: str


def check(options: argparse.Namespace) -> int:
    """Exit 0 when all holds, 4 when something does not."""
    lines = list(_lines(options.home))
    failed = [line for line in lines if not line.ok]
    if options.json:
        print(json.dumps({"ok": not failed, "lines": [line.__dict__ for line in lines]}))
    else:
        for line in lines:
            print(f"{'ok  ' if line.ok else 'MEND'} {line.what}: {line.detail}")
    return 4 if failed else 0


def _lines(home: Path) -> Iterator[Line]:
    config = node_config.load(home)
    yield Line("node.toml", True, f"network {config.network}, {len(config.endpoints)} endpoints, serve {config.serve}")
    try:
        held = keys.open_keys(home, keys.passphrase(home), config.operator)
    except PrsmError as error:
        yield Line("keys", False, str(error))
        return
    yield Line("keys", True, f"operator {held.operator}, signer {held.signer.address}, sender {held.sender.address}")
    try:
        chain = _chain(config)
        block = chain.block()
    except PrsmError as error:
        yield Line("endpoints", False, str(error))
        return
    yield Line("endpoints", True, f"chain {chain.chain_id} at block {block.number}, all contracts have code")
    drift = abs(time.time() - block.timestamp)
    yield Line("clock", drift <= CLOCK_SECONDS, f"{drift:.0f} s from block time, at most {CLOCK_SECONDS}")
    signer = chain.operators.signer_of(held.operator)
    yield Line(
        "registration",
        signer == held.signer.address,
        "the chain knows this signer" if signer == held.signer.address else "run: prsm node stake AMOUNT",
    )
    cover = chain.operators.cover_of(held.operator)
    yield Line("stake", True, f"{format_ftns(cover.stake)} FTNS, {format_ftns(cover.free)} free")
    needed = DELIVERIES * DELIVER_GAS["proved"] * chain.fees()[0]
    balance = chain.balance(held.sender.address)
    yield Line("gas", balance >= needed, f"{balance} wei, {DELIVERIES} deliveries take about {needed} wei")
    yield Line("one key one use", held.sender.address != held.operator, "sender and operator are different accounts")
    free = shutil.disk_usage(home).free
    yield Line("disk", free >= DISK_FLOOR_BYTES, f"{free >> 20} MiB free, at least {DISK_FLOOR_BYTES >> 20}")
    yield _prover_line(config)
    believed = bool(config.ledger.keys)
    detail = (
        f"{config.ledger.url}, milestones of {len(config.ledger.keys)} keys"
        if believed
        else "not read: give --ledger-key"
    )
    yield Line("ledger", believed or not config.ledger.url, detail)


def _prover_line(config: node_config.NodeConfig) -> Line:
    if config.prover is None:
        return Line("prover", True, "none: nothing is offered as proved")
    prover = Prover(config.prover.url, config.prover.token_file)
    try:
        circuits = prover.circuits()
    except PrsmError as error:
        return Line("prover", False, str(error))
    finally:
        prover.close()
    return Line("prover", True, f"{config.prover.url} holds {len(circuits)} circuits")


def status(options: argparse.Namespace) -> int:
    """Ask the running node; exit 4 when something needs a person."""
    url = _url(options.home, options.url)
    document = _owner_request(options.home, url, "GET", "/v1/status")
    if options.json:
        print(json.dumps(document))
        return 4 if document["needs_a_person"] else 0
    print(f"operator {document['operator']} at {url}, block {document['head']}, ready {document['ready']}")
    for alarm in _list(document["needs_a_person"]):
        print(f"needs a person: {alarm}")
    for task in _list(document["tasks"]):
        assert isinstance(task, dict)
        waiting = task["waiting"] or {"for_what": "nothing", "deadline": "", "then": ""}
        print(f"{str(task['task_id'])[:14]}… {task['work']}/{task['chain']}: waits for {waiting['for_what']}", end=" ")
        print(f"until {waiting['deadline']}, then {waiting['then']}")
    print(f"earned {format_ftns(int(str(document['net_wei'])))} FTNS")
    return 4 if document["needs_a_person"] else 0


def _url(home: Path, given: str) -> str:
    path = home / "url"
    return given or (path.read_text().strip() if path.exists() else "")


def _owner_request(home: Path, url: str, method: str, path: str) -> dict[str, object]:
    token = (home / "token").read_text().strip()
    try:
        answer = httpx.request(
            method, url + path, headers={"Authorization": f"Bearer {token}"}, timeout=10, trust_env=False
        )
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NodeSilent(url=url or "(never started)", reason=error) from None
    found: dict[str, object] = answer.json()
    return found


def _chain(config: node_config.NodeConfig) -> Endpoints:
    return Endpoints(config.endpoints, Deployment.load(config.network))


def _say(options: argparse.Namespace, document: Mapping[str, object], sentence: str) -> None:
    print(json.dumps(document) if options.json else sentence)


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
