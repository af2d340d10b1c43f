"""A run that never happened, with everything real about it: keys, signatures, seals, integer models, statistics, claims.

Its chain is a dictionary behind JSON-RPC on loopback. `build` takes hooks by stage name, so that a test changes one thing and
everything that depends on it is sealed, hashed and signed again.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from eth_abi import encode as abi
from eth_utils.crypto import keccak

from prsm_protocol.content.listing import encode_listing, sign_listing
from prsm_protocol.identity import Identity
from prsm_protocol.orchestration import claims, compiler, record
from prsm_protocol.orchestration.claims import Source
from prsm_protocol.orchestration.question import DataInput, Question, Table
from prsm_protocol.orchestration.tasks import calculate, compare, explain, predict, retrieve
from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.channel import vouchers as voucher_rules
from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer
from prsm_protocol.rules.market import escrow
from prsm_protocol.rules.oracle import context as context_rules
from prsm_protocol.rules.oracle.instances import Layout, context_hash, input_hash, instances, output_hash, to_word
from prsm_protocol.trace import blocks, bundle, car, dag_cbor, evidence, merkle
from prsm_protocol.trace.blocks import (
    Attempt,
    Check,
    Decision,
    Event,
    EventBody,
    GraphNode,
    TaskGraph,
    TaskSpec,
    Verdict,
)
from prsm_protocol.trace.seal import Opening, Sealed, seal
from prsm_protocol.trace.verify import read_car, task_id
from prsm_protocol.types import DAG_CBOR, Cid, CircuitRef, Feature, Listing, Price, Receipt, Usage, VoucherRef, Wei

CHAIN_ID = 31337
BITS = 10
RUN = bytes(range(16))
SECRET = hashlib.sha256(b"the run's secret").digest()
FTNS = 10**18


def address(name: str) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(hashlib.sha256(name.encode()).digest()[:20]))


def raw(checksum: str) -> bytes:
    return bytes.fromhex(checksum[2:])


def digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


CONTRACTS = {name: raw(address(name)) for name in ("escrow", "hub", "router", "royalties", "provenance", "channels")}
CIRCUIT, RECORD = digest("circuit"), digest("record")
LAYOUT = Layout(inputs=4, outputs=1, hashed_input=True)
PAYEE, OPERATOR, BUYER = address("payee"), address("operator"), address("buyer")

ASKER, RUN_KEY, NODE, OWNER = (Identity.from_seed32(digest(name)) for name in ("asker", "run key", "node", "owner"))
VOUCHER_KEY = PrivateKey(digest("voucher key"))
VOUCHER_ADDRESS = keccak(VOUCHER_KEY.public_key.format(compressed=False)[1:])[12:]

DOCUMENT = "Clump thickness decides most cases. The mean radius was 14.1 in this study.\nNothing else was measured."


def _network(layers: list[tuple[list[list[int]], list[int], bool]]) -> IntegerNetwork:
    return IntegerNetwork(BITS, tuple(Layer(tuple(map(tuple, w)), tuple(b), relu) for w, b, relu in layers))


DEEP = _network(
    [
        ([[900, -300, 120, 40], [-200, 700, 60, -90], [50, 30, -800, 400]], [100_000, -50_000, 20_000], True),
        ([[1100, -700, 350]], [-90_000], False),
    ]
)
FLAT = _network([([[800, -450, 200, 90]], [30_000], False)])


def _rows(count: int, start: int) -> list[tuple[str, ...]]:
    """Cells that repeat nothing and look measured."""
    rows = []
    for row in range(start, start + count):
        numbers = [hashlib.sha256(f"{row}/{column}".encode()).digest()[0] for column in range(4)]
        rows.append(tuple(f"{number / 16 + 5:.2f}" for number in numbers))
    return rows


@dataclass
class Built:
    path: Path
    chain: FakeChain
    data: bytes
    head: Cid
    notes: dict[str, Any] = field(default_factory=dict)


Hooks = dict[str, Callable[[Any], Any]]


class Builder:
    """Blocks and seals of one made-up run."""

    def __init__(self, hooks: Hooks) -> None:
        self.hooks = hooks
        self.blocks: dict[Cid, bytes] = {}
        self.openings: dict[bytes, Opening] = {}
        self.rewritten: dict[Cid, bytes] = {}
        self.events: list[tuple[str, Any]] = []
        self.attempts: list[Attempt] = []
        self.specs: dict[str, Cid] = {}
        self.tasks: list[evidence.TaskEvidence] = []
        self.transactions: dict[bytes, list[dict[str, Any]]] = {}

    def at(self, stage: str, value: Any) -> Any:
        return self.hooks.get(stage, lambda same: same)(value)

    def put(self, block: Any) -> Cid:
        data = block if isinstance(block, bytes) else blocks.encode(block)
        cid = Cid.of(data, DAG_CBOR)
        self.blocks[cid] = data
        return cid

    def put_as(self, stage: str, data: bytes) -> Cid:
        """A block whose bytes a hook may write in another form; the file is made of what it should have been, then changed."""
        written = self.at(stage, data)
        cid = Cid.of(written, DAG_CBOR)
        self.blocks[cid] = data
        if written != data:
            self.rewritten[cid] = written
        return cid

    def seal(self, payload: Any) -> Sealed:
        data = dag_cbor.encode(payload)
        cid = self.put(data)
        sealed, opening = seal(SECRET, cid, len(data))
        self.openings[sealed.digest] = opening
        return sealed

    def event(self, name: str, subject: Any = None) -> None:
        self.events.append((name, subject))

    def attempt(self, attempt: Attempt) -> Cid:
        attempt = self.at(f"attempt {attempt.node}", attempt)
        choice = Decision("route", blocks.DecidedBy("rule", "own"), (blocks.Option("own", 0, attempt.node),), "own")
        self.event("attempt_started", self.put_as(f"route {attempt.node}", blocks.encode(choice)))
        cid = self.put(attempt)
        self.event("attempt_ended", cid)
        self.attempts.append(attempt)
        return cid


def listing(name: str, network: IntegerNetwork, weights: Cid, circuits: tuple[CircuitRef, ...]) -> Listing:
    features = tuple(
        Feature(text, mean, spread)
        for text, mean, spread in (
            ("radius", "14.1", "3.5"),
            ("texture", "12", "4"),
            ("area", "13", "5"),
            ("depth", "11", "2"),
        )
    )
    unsigned = Listing(
        name=name,
        record=RECORD,
        owner=address("owner"),
        kinds=("predict",),
        features=features,
        classes=("benign", "malignant"),
        target="diagnosis",
        bits=BITS,
        model=Cid.of(name.encode()),
        weights=weights,
        price=Price(Wei(0), Wei(FTNS // 20)),
        tiers=("proved", "trusted"),
        circuits=circuits,
        licence="Apache-2.0",
        may_distill=True,
        trained_on=(Cid.of(b"training data"),),
        evaluations=(),
        endpoints=(),
    )
    return sign_listing(unsigned, OWNER)


def build(folder: Path, hooks: Hooks | None = None, keep: bundle.Keep = lambda kind, opening: True) -> Built:
    b = Builder(hooks or {})
    question = Question(
        "Which of these cases are malignant, which measurements decide it, and is the linear model as good?",
        (DataInput("study.txt", "text/plain", digest(DOCUMENT), None, (DOCUMENT,)),),
    )
    cases = Table("cases.csv", ("id", "radius (mm)", "texture", "area", "depth"), tuple(
        (f"P{row}", *cells) for row, cells in enumerate([*_rows(6, 0), ("", "1", "2", "3")])
    ))  # fmt: skip
    known_rows = _rows(12, 40)
    labels = [predict.label(_named("deep"), integer_layers.run(DEEP, words), BITS) for words in _words(known_rows)]
    labels[3] = "malignant" if labels[3] == "benign" else "benign"
    known = Table("known.csv", ("radius", "texture", "area", "depth", "diagnosis"), tuple(
        (*cells, label) for cells, label in zip(known_rows, labels, strict=True)
    ))  # fmt: skip

    circuits = (CircuitRef(CIRCUIT, Cid.of(b"manifest"), Cid.of(b"key"), 1, "hashed"),)
    weights = {
        name: b.put(dag_cbor.encode(integer_layers.to_block(net))) for name, net in (("deep", DEEP), ("flat", FLAT))
    }
    deep = listing("deep", DEEP, weights["deep"], circuits)
    flat = listing("flat", FLAT, weights["flat"], ())
    for each in (deep, flat):
        b.put(encode_listing(each))
    assert deep.cid is not None
    assert flat.cid is not None

    question_ref = b.seal(record.question_payload(question))
    goal = b.seal({"v": 1, "kind": "goal", "text": question.text})
    spare = b.seal({"v": 1, "kind": "goal", "text": "an assumption that nobody needs"})
    tables = {
        "cases": b.seal(record.table_payload(cases, deep, None)),
        "known": b.seal(b.at("known", record.table_payload(known, deep, 4))),
    }
    document = {"v": 1, "kind": "document", "name": "study.txt", "media_type": "text/plain", "sha256": digest(DOCUMENT)}
    document_ref = b.seal({**document, "pages": [DOCUMENT]})

    # ── the plan ─────────────────────────────────────────────────────────────────────────────────────────────────────
    wanted = {
        "root": ("write", ()),
        "predict": (
            "predict",
            (Check("rows", "/rows"), Check("labels", "/labels", {"labels": ["benign", "malignant"]})),
        ),
        "explain": ("explain", (Check("sum", "/attributions"),)),
        "compare": ("compare", (Check("recompute"),)),
        "compare.a": ("predict", (Check("rows", "/rows"), Check("labels", "/labels"))),
        "compare.b": ("predict", (Check("rows", "/rows"), Check("labels", "/labels"))),
        "calculate": ("calculate", (Check("recompute"),)),
        "retrieve": ("retrieve", (Check("quote", "/quotes"),)),
    }
    for name, (kind, acceptance) in wanted.items():
        goal_of = goal if name == "root" else b.seal(b.at("spec goal", {"v": 1, "kind": "goal", "text": name}))
        ref = document_ref if name == "retrieve" else tables["known" if name.startswith("compare") else "cases"]
        inputs = () if name == "root" else (blocks.Input("data", ref, "text/plain"),)
        b.specs[name] = b.put(TaskSpec(kind, goal_of, inputs, None, b.at(f"checks {name}", acceptance), "trusted"))
    nodes = {
        name: GraphNode(spec, None if name == "root" else "root", 3 if name == "root" else 2, Wei(0), 1)
        for name, spec in b.specs.items()
    }
    nodes["root"] = replace(nodes["root"], budget=Wei(2 * FTNS))
    nodes["predict"] = replace(nodes["predict"], budget=Wei(FTNS))
    edges = tuple(
        blocks.Edge(a, c) for a, c in (("predict", "explain"), ("compare.a", "compare"), ("compare.b", "compare"))
    )
    planned = b.put(Decision("plan", blocks.DecidedBy("rule", "planner"), (), "root", 1_000_000, (spare,)))
    b.event("run_started", question_ref)
    b.event("decision_made", planned)
    b.event("graph_split", b.put(b.at("graph", TaskGraph("root", nodes, edges, planned))))

    # ── money ────────────────────────────────────────────────────────────────────────────────────────────────────────
    terms = b.at("terms", escrow.JobTerms(BUYER, BUYER, question_ref.digest, 3600, 77))
    job = escrow.job_id(CHAIN_ID, address("escrow"), terms)
    channel_terms = voucher_rules.ChannelTerms(BUYER, PAYEE, "0x" + VOUCHER_ADDRESS.hex(), (RECORD,), Wei(0), 86400, 5)
    channel_terms = replace(channel_terms, signer=_checksum(VOUCHER_ADDRESS))
    channel = voucher_rules.channel_id(CHAIN_ID, address("channels"), channel_terms)
    vouchers = []

    # ── predict: one proved part a row ───────────────────────────────────────────────────────────────────────────────
    prepared = predict.prepare(cases, deep)
    price = Wei(FTNS // 20)
    fee, royalty = price * 200 // 10_000, price * 500 // 10_000
    receipts, outputs, expected = [], {}, []
    for number, (row, words) in enumerate(zip(prepared.rows, prepared.words, strict=True)):
        salt = [int.from_bytes(digest(f"salt {row} {i}")[:4], "big") >> 1 for i in range(5)]
        assignment = escrow.Assignment(
            job_id=job, operator=OPERATOR, payee=PAYEE, records=(RECORD,), circuit_id=CIRCUIT,
            input_hash=input_hash(LAYOUT, words, salt), spec=b.specs["predict"].digest, price=price, at_risk=Wei(0),
            tier=0, verdict_class=0, deliver_within=600, window=60, started_bps=0, quote_until=2_000_000_000,
            salt=int.from_bytes(digest(f"task {row}"), "big"),
        )  # fmt: skip
        task = escrow.task_id(assignment)
        outputs[row] = [word + 1 for word in integer_layers.run(DEEP, words)]  # a circuit errs by its quantisation
        field_words = [to_word(word) for word in outputs[row]]
        given = {"v": 1, "kind": "input", "words": [_word(to_word(w)) for w in words], "salt": [_word(w) for w in salt]}
        result_digest = Cid.of(dag_cbor.encode({"v": 1, "kind": "output", "words": [*map(_word, field_words)]})).digest
        result = escrow.Result(output_hash(field_words), result_digest, bytes(32), 1_800_000_000)
        request = context_rules.request(job, assignment.salt)
        bound = context_rules.context(CHAIN_ID, address("hub"), request, CIRCUIT, OPERATOR)
        proof = digest(f"proof {row}") * 40 + b"tail"
        hidden = [context_hash(bound)]
        expected.append(
            (
                proof,
                instances(LAYOUT, bound, hidden, field_words, hash_word=int.from_bytes(assignment.input_hash, "big")),
            )
        )
        receipt = Receipt(
            job=job, task=task, listing=deep.cid, input=Cid.of(dag_cbor.encode(given)).digest, output=result_digest,
            usage=Usage(rows=1), charged=price, tier="proved", proof=Cid.of(proof), public_values=None, circuit=CIRCUIT,
            operator=OPERATOR, voucher=VoucherRef(channel, number + 1, Wei(0)),
        )  # fmt: skip
        receipt_cid = b.put(b.at("signed receipt", blocks.sign(b.at("receipt", receipt), NODE)))
        receipts.append(receipt_cid)
        transaction = digest(f"deliver {row}")
        b.transactions[transaction] = [
            log("escrow", "TaskDelivered(bytes32)", [task]),
            log("royalties", "RoyaltyAccrued(bytes32,uint96)", [RECORD], ["uint96"], [royalty]),
            log("escrow", "TaskPaid(bytes32,address,uint96,uint96,uint96)", [task, _pad(raw(PAYEE))],
                ["uint96"] * 3, [price - fee - royalty, fee, royalty]),
        ]  # fmt: skip
        b.tasks.append(b.at("task", evidence.TaskEvidence(
            receipt=receipt_cid, rows=(row,), assignment=evidence.struct_map(assignment), result=evidence.struct_map(result),
            signature=bytes(65), deliver_tx=transaction, net=Wei(price - fee - royalty), fee=Wei(fee), royalty=Wei(royalty),
            paid_tx=transaction, input=b.seal(given), proof=proof, proof_inputs=tuple(map(_word, hidden)),
            proof_outputs=tuple(map(_word, field_words)), verifier=raw(address("verifier")),
            layout=evidence.LayoutEvidence(4, 1, True, BITS), manifest=Cid.of(b"manifest"),
        )))  # fmt: skip
        voucher = voucher_rules.Voucher(channel, number + 1, Wei(0), digest(f"usage {number}"))
        signature = VOUCHER_KEY.sign_recoverable(voucher.digest(CHAIN_ID, address("channels")), hasher=None)
        vouchers.append(evidence.VoucherEvidence(
            voucher.sequence, voucher.cumulative, voucher.usage_root, signature[:64] + bytes((27 + signature[64],))
        ))  # fmt: skip
        b.event("payment_acknowledged", receipt_cid)
    spoken = {row: predict.label(deep, words, BITS) for row, words in outputs.items()}
    block = predict.block(
        deep.cid, tables["cases"].digest, prepared, outputs, spoken, tier="proved", method="circuit", receipts=receipts,
        close=predict.too_close(deep, DEEP, prepared, outputs, BITS),
    )  # fmt: skip
    spent = Wei(price * len(receipts))
    sources: dict[str, Source] = {}

    def finish(
        node: str, payload: dict[str, Any], tier: str, table: str, used: tuple[Listing, ...], **more: Any
    ) -> None:
        payload = b.at(f"output {node}", payload)
        passed = tuple(Verdict(check.name, True) for check in wanted[node][1])
        actor = NODE.did if tier == "proved" else RUN_KEY.did
        one = Attempt(b.specs[node], node, 1, wanted[node][0], actor, "accepted", tier, verdicts=passed, **more)
        cid = b.attempt(replace(one, output=b.seal(payload)))
        sources[node] = Source(node, wanted[node][0], cid, payload, tier, table, used)

    finish("predict", block, "proved", "cases.csv", (deep,), receipts=tuple(receipts), quoted=spent, charged=spent,
           model=blocks.ModelUse("deep", deep.cid, weights["deep"]))  # fmt: skip

    # ── own steps ────────────────────────────────────────────────────────────────────────────────────────────────────
    network = DEEP
    finish("explain", explain.block(deep, deep.cid, tables["cases"].digest, network, prepared, prepared.rows[:3]), "own",
           "cases.csv", (deep,))  # fmt: skip
    sides = []
    for node, each, net in (("compare.a", deep, DEEP), ("compare.b", flat, FLAT)):
        ready = predict.prepare(known, each)
        words_of = dict(zip(ready.rows, predict.own(net, ready), strict=True))
        named = {row: predict.label(each, words, BITS) for row, words in words_of.items()}
        assert each.cid is not None
        payload = predict.block(
            each.cid,
            tables["known"].digest,
            ready,
            words_of,
            named,
            close=[],
            tier="own",
            method="integer_layers",
            receipts=[],
        )
        finish(node, payload, "own", "known.csv", (each,))
        sides.append([named[row] for row in ready.rows])
    rows = tuple(range(len(known.rows)))
    statistics = compare.block(
        (deep.cid, flat.cid), tables["known"].digest, rows, compare.truth_of(deep, known, 4, rows), (sides[0], sides[1])
    )
    finish("compare", statistics, "own", "known.csv", (deep, flat))
    mean = calculate.from_column("mean", tables["cases"].digest, "cases.csv", "area", [row[3] for row in cases.rows])
    finish("calculate", mean, "own", "cases.csv", ())
    finish("retrieve", retrieve.block("What decides most cases?", question.documents), "own", "", ())

    # ── answer, head ─────────────────────────────────────────────────────────────────────────────────────────────────
    found = compiler.compile_answer(question, sources, (), (), spent, lambda name: 900_000)
    answer = b.seal(b.at("answer", record.answer_payload(question, found)))
    b.event("answer_compiled", answer)
    later = {**record.answer_payload(question, found), "notes": ["said later"]}
    answer, _ = b.at("answer in the head", (answer, b.seal(later)))
    b.event("run_ended")
    delegation = blocks.sign(blocks.Delegation(RUN, ASKER.did, RUN_KEY.did, 2 * 10**15), ASKER)
    delegation_cid = b.put(delegation)
    cids = chain_of_events(b)
    locked, refunded = Wei(FTNS), Wei(FTNS - spent)
    first = make_head(b, cids[:-1], "answered", question_ref, answer, delegation_cid, None, locked, spent, refunded)
    second = make_head(b, cids, "answered", question_ref, answer, delegation_cid, first, locked, spent, refunded)
    root = blocks.decode(blocks.RunHead, b.blocks[second]).merkle_root

    open_tx, close_tx, anchor_tx, settle_tx = (digest(name) for name in ("open", "close", "anchor", "settle"))
    b.transactions[open_tx] = [
        log("escrow", "EscrowOpened(bytes32,address,address,uint96,(address,address,bytes32,uint32,uint256))",
            [job, _pad(raw(BUYER)), _pad(raw(BUYER))], ["uint96", "(address,address,bytes32,uint32,uint256)"],
            [locked, (BUYER, BUYER, terms.question, 3600, 77)]),
    ]  # fmt: skip
    b.transactions[close_tx] = [log("escrow", "EscrowClosed(bytes32,uint96)", [job], ["uint96"], [refunded])]
    b.transactions[anchor_tx] = [
        log("provenance", "DigestAnchored(bytes32,bytes32,address,uint8,uint64)", [root, job, _pad(raw(BUYER))],
            ["uint8", "uint64"], [0, len(cids)]),
    ]  # fmt: skip
    b.transactions[settle_tx] = [
        log("channels", "VoucherSettled(bytes32,address,address,uint96,uint96,uint64,bytes32)",
            [channel, _pad(raw(PAYEE)), _pad(raw(PAYEE))], ["uint96", "uint96", "uint64", "bytes32"],
            [0, 0, len(vouchers), vouchers[-1].usage_root]),
    ]  # fmt: skip
    proofs = b.at("evidence", evidence.Evidence(
        CHAIN_ID, CONTRACTS, evidence.JobEvidence(evidence.struct_map(terms), open_tx, (), close_tx), tuple(b.tasks),
        (evidence.ChannelEvidence(evidence.struct_map(channel_terms), tuple(vouchers), settle_tx, Wei(0)),),
        evidence.AnchorEvidence(root, raw(BUYER), anchor_tx),
    ))  # fmt: skip
    path = folder / f"run-{RUN.hex()}.car"
    root_block, parts = evidence.pack(proofs)
    b.blocks |= parts
    bundle.write(path, second, root_block, b.blocks.__getitem__, b.openings.get, keep)
    if b.rewritten:
        roots, sections = read_car(path.read_bytes())  # does not look at hashes
        found = [(Cid.from_bytes(cid), data) for cid, data in sections]
        with path.open("wb") as out:
            car.write(out, [Cid.from_bytes(root) for root in roots], [(c, b.rewritten.get(c, d)) for c, d in found])
    chain = FakeChain(b.at("transactions", b.transactions), job, expected, [escrow_task(task) for task in b.tasks])
    return Built(path, chain, path.read_bytes(), second, {"spare": spare, "planned": planned, "openings": b.openings})


def chain_of_events(b: Builder) -> list[Cid]:
    cids: list[Cid] = []
    for seq, (name, subject) in enumerate(b.events):
        prev = cids[-1] if cids else None
        body = EventBody(RUN, seq, prev, name, subject, 1_800_000_000_000_000 + seq, seq, RUN_KEY.did)
        event = blocks.sign(Event(b.at("body", body)), RUN_KEY)
        cids.append(b.put(b.at("event", event)))
    return cids


def make_head(
    b: Builder, cids: list[Cid], state: str, question: Sealed, answer: Sealed, delegation: Cid, previous: Cid | None,
    locked: Wei, spent: Wei, refunded: Wei,
) -> Cid:  # fmt: skip
    head = blocks.RunHead(
        run=RUN, asker=ASKER.did, question=question, state=state, answer=answer, tier="proved", events=len(cids),
        merkle_root=merkle.root([cid.bytes for cid in cids]), last=cids[-1], delegation=delegation, locked=locked,
        spent=spent, refunded=refunded, open=Wei(0), previous=previous, started_us=1, ended_us=2,
    )  # fmt: skip
    return b.put(blocks.sign(b.at("head", head), ASKER))


def escrow_task(task: evidence.TaskEvidence) -> bytes:
    return task_id({"assignment": task.assignment})


def _named(name: str) -> Listing:
    return listing(name, DEEP, Cid.of(b"weights", DAG_CBOR), ())


def _words(rows: list[tuple[str, ...]]) -> list[list[int]]:
    from prsm_protocol.rules import front

    return [front.words(cells, _named("deep").features, BITS) for cells in rows]


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _pad(value: bytes) -> bytes:
    return value.rjust(32, b"\0")


def _checksum(value: bytes) -> str:
    from eth_utils.address import to_checksum_address

    return str(to_checksum_address(value))


def log(
    contract: str, signature: str, topics: list[bytes], types: Sequence[str] = (), values: Sequence[Any] = ()
) -> dict[str, Any]:
    return {
        "address": "0x" + CONTRACTS[contract].hex(),
        "topics": ["0x" + topic.hex() for topic in (keccak(text=signature), *topics)],
        "data": "0x" + abi(types, values).hex(),
    }


class FakeChain:
    """What an Ethereum node would answer about this run; the numbers stand in dictionaries that tests may change."""

    def __init__(
        self,
        transactions: dict[bytes, list[dict[str, Any]]],
        job: bytes,
        proofs: list[tuple[bytes, list[int]]],
        tasks: list[bytes],
    ) -> None:
        self.transactions = transactions
        self.job = job
        self.proofs = proofs
        self.tasks = dict.fromkeys(tasks, 3)
        self.chain_id = CHAIN_ID
        self.getters = {("escrow", "hub()"): "hub", ("escrow", "royalties()"): "royalties",
                        ("escrow", "provenance()"): "provenance", ("hub", "router()"): "router"}  # fmt: skip
        self.assigned = list(tasks)

    def call(self, to: bytes, data: bytes) -> bytes:
        name = {value: key for key, value in CONTRACTS.items()}.get(to, "verifier")
        for (contract, getter), target in self.getters.items():
            if name == contract and data == keccak(text=getter)[:4]:
                return _pad(CONTRACTS[target])
        if data[:4] == keccak(text="jobOf(bytes32)")[:4] and data[4:] == self.job:
            return abi(["uint96", "uint96", "uint40", "uint16", "uint8"], [0, 0, 1, 0, 2])
        if data[:4] == keccak(text="taskOf(bytes32)")[:4]:
            return abi(["uint96", "uint40", "uint8", "uint8", "uint16"], [1, 1, self.tasks.get(data[4:], 0), 0, 0])
        if data[:4] == keccak(text="circuitOf(bytes32)")[:4] and data[4:] == CIRCUIT:
            return abi(["address", "uint16", "uint16", "bool", "uint8"], [address("verifier"), 4, 1, True, 2])
        if name == "verifier" and to == raw(address("verifier")):
            from eth_abi import decode

            proof, words = decode(["bytes", "uint256[]"], data[4:])
            return _word(
                int(data[:4] == keccak(text="verifyProof(bytes,uint256[])")[:4] and (proof, list(words)) in self.proofs)
            )
        raise ValueError("execution reverted")

    def answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_call":
            return "0x" + self.call(bytes.fromhex(params[0]["to"][2:]), bytes.fromhex(params[0]["data"][2:])).hex()
        if method == "eth_getTransactionReceipt":
            logs = self.transactions.get(bytes.fromhex(params[0][2:]))
            return None if logs is None else {"status": "0x1", "logs": logs, "blockNumber": "0x10"}
        if method == "eth_getLogs":
            topics = params[0]["topics"]
            signature = (
                "TaskAssigned(bytes32,bytes32,address,(bytes32,address,address,bytes32[],bytes32,bytes32,bytes32,uint96,"
                "uint96,uint8,uint8,uint32,uint32,uint16,uint40,uint256))"
            )
            assert topics == ["0x" + keccak(text=signature).hex(), "0x" + self.job.hex()]
            return [log("escrow", signature, [self.job, task, _pad(raw(OPERATOR))]) for task in self.assigned]
        raise ValueError(f"method {method}")

    def serve(self) -> tuple[ThreadingHTTPServer, str]:
        """A server on a free loopback port, and its URL."""
        chain = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    reply: dict[str, Any] = {"result": chain.answer(request["method"], request["params"])}
                except ValueError as error:
                    reply = {"error": {"code": 3, "message": str(error)}}
                body = json.dumps({"jsonrpc": "2.0", "id": request["id"], **reply}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server, f"http://127.0.0.1:{server.server_address[1]}"


__all__ = ["Built", "FakeChain", "build", "claims"]
