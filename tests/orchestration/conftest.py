"""A network whose models are real (trained here on real rows, in integer layers) and whose nodes are scripted.

Everything below the `NodeClient` seam is the asker's own code: signatures, receipts, hashes and blocks are genuine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import pytest

from prsm_protocol.content.listing import encode_listing, sign_listing
from prsm_protocol.identity import Identity
from prsm_protocol.orchestration import nodes, samples
from prsm_protocol.orchestration.listings import NodeOffer, OfferedCircuit
from prsm_protocol.orchestration.nodes import NodeRefused, NodeUnreachable
from prsm_protocol.orchestration.payments import SignedQuote
from prsm_protocol.rules import integer_layers
from prsm_protocol.rules.integer_layers import IntegerNetwork, Layer
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, job_id
from prsm_protocol.rules.oracle.attestation import Attestation
from prsm_protocol.rules.oracle.instances import output_hash, to_word
from prsm_protocol.rules.oracle.tiers import Tier
from prsm_protocol.rules.rows import Part
from prsm_protocol.trace import blocks, dag_cbor
from prsm_protocol.trace.recorder import Recorder
from prsm_protocol.trace.store import open_store
from prsm_protocol.types import (
    DAG_CBOR,
    Cid,
    CircuitRef,
    Feature,
    Immediate,
    Listing,
    Price,
    Receipt,
    Usage,
    Wei,
    new_run_id,
)

BITS = 10
PRICE = Wei(10**16)
ADDRESS = "0x" + "11" * 20
TERMS = JobTerms(ADDRESS, ADDRESS, bytes(32), 3600, 7)
JOB = job_id(31337, ADDRESS, TERMS)


# ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def train(name, *, linear, classes=None):
    """(features, integer network) learnt on the training part of a sample."""
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.neural_network import MLPClassifier

    chosen, loaded = samples.sample(name), samples.load(name)
    rows = loaded.part(Part.TRAIN)
    data = np.array([[float(cell) for cell in loaded.rows[i]] for i in rows])
    mean, spread = data.mean(0), np.where(data.std(0) > 0, data.std(0), 1)
    features = tuple(
        Feature(column, f"{m:.6f}", f"{s:.6f}") for column, m, s in zip(loaded.columns, mean, spread, strict=True)
    )
    x = (data - mean) / spread
    if not chosen.classes:
        y = np.array([float(loaded.labels[i]) for i in rows])
        model = LinearRegression().fit(x, (y - y.mean()) / y.std())
        return (
            features,
            network([(model.coef_.reshape(1, -1), np.array([model.intercept_]), False)]),
            (y.mean(), y.std()),
        )
    order = classes or chosen.classes
    y = np.array([order.index(loaded.labels[i]) for i in rows])
    if linear:
        model = LogisticRegression(max_iter=500).fit(x, y)
        return features, network([(model.coef_, model.intercept_, False)]), None
    model = MLPClassifier((8,), solver="lbfgs", max_iter=2000, random_state=1, alpha=1.0).fit(x, y)
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    return features, network([(w1.T, b1, True), (w2.T, b2, False)]), None


def network(layers):
    return IntegerNetwork(
        BITS,
        tuple(
            Layer(
                tuple(tuple(round(float(v) * 2**BITS) for v in row) for row in w),
                tuple(round(float(v) * 2 ** (2 * BITS)) for v in b),
                relu,
            )
            for w, b, relu in layers
        ),
    )


OWNER = Identity.generate()


def listed(name, net, features, target, classes, *, circuit=True, scale=None, store, **changes):
    """A signed listing in the store."""
    weights = dag_cbor.encode(integer_layers.to_block(net))
    cid = Cid.of(weights, DAG_CBOR)
    store[cid] = weights
    manifest = dag_cbor.encode({"v": 1, "kind": "circuit", "name": name, "output_bits": 2 * BITS})
    store[Cid.of(manifest, DAG_CBOR)] = manifest
    circuits = (
        (CircuitRef(Cid.of(name.encode()).digest, Cid.of(manifest, DAG_CBOR), cid, 1, "hashed"),) if circuit else ()
    )
    mean, spread = scale or ("0", "1")
    listing = Listing(
        name=name,
        record=Cid.of(b"record" + name.encode()).digest,
        owner=ADDRESS,
        kinds=("predict",),
        features=features,
        classes=classes,
        target=target,
        bits=BITS,
        model=cid,
        weights=cid,
        price=Price(Wei(0), PRICE),
        tiers=("proved", "trusted") if circuit else ("trusted",),
        circuits=circuits,
        licence="Apache-2.0",
        may_distill=True,
        trained_on=(),
        evaluations=(),
        endpoints=(),
        target_mean=f"{float(mean):.4f}",
        target_spread=f"{float(spread):.4f}",
    )
    signed = sign_listing(replace(listing, **changes), OWNER)
    store[signed.cid] = encode_listing(signed)
    return signed


@pytest.fixture(scope="session")
def market():
    """(blocks, listings by name): a network and a linear model for each of two samples, and a regressor."""
    store, listings = {}, {}
    for sample in ("breast-cancer", "wine"):
        chosen = samples.sample(sample)
        classes = tuple(reversed(chosen.classes)) if sample == "breast-cancer" else chosen.classes
        for kind in ("network", "linear"):
            features, net, _ = train(sample, linear=kind == "linear", classes=classes)
            name = f"{sample} {kind}"
            listings[name] = listed(name, net, features, chosen.target, classes, circuit=kind == "network", store=store)
    features, net, scale = train("diabetes", linear=True)
    listings["diabetes"] = listed("diabetes", net, features, "progression", (), scale=scale, store=store)
    return store, listings


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class ScriptedNode:
    """A node that computes on real integer layers, signs real receipts, and fails as a test tells it to."""

    url: str
    network: ScriptedNetwork
    identity: Identity = field(default_factory=Identity.generate)
    operator: str = "0x" + "22" * 20
    price: int = int(PRICE)
    dies_after: int | None = None  # results that it still delivers
    declines: bool = False
    refuses_quotes: bool = False
    tamper: str = ""
    offered: dict = field(default_factory=dict)
    quoted: dict = field(default_factory=dict)
    inputs: dict = field(default_factory=dict)
    delivered: int = 0

    def offer(self, listing):
        circuits = tuple(
            OfferedCircuit(c.id, c.manifest.text, c.input_visibility, c.batch_rows) for c in listing.circuits
        )
        return NodeOffer(
            self.url,
            self.operator,
            self.identity.did,
            listing.cid.text,
            listing.tiers,
            circuits,
            Wei(0),
            Wei(self.price),
            1,
            1,
        )

    def quotes(self, query):
        if self.refuses_quotes:
            raise NodeRefused(url=self.url, code="Declined", detail="queue full")
        answer = []
        for part in query["parts"]:
            circuit = query["circuit_id"]
            assignment = Assignment(
                job_id=JOB,
                operator=self.operator,
                payee=self.operator,
                records=(),
                circuit_id=bytes(32) if circuit is None else bytes.fromhex(circuit[2:]),
                input_hash=bytes.fromhex(part["input_hash"][2:]),
                spec=bytes.fromhex(query["spec"][2:]),
                price=Wei(self.price * (2 if self.tamper == "price" else 1)),
                at_risk=Wei(0),
                tier=int(Tier[query["tier"].upper()]),
                verdict_class=0,
                deliver_within=query["deliver_within"],
                window=60,
                started_bps=0,
                quote_until=2**39,
                salt=int(part["salt"]),
            )
            self.quoted[assignment.struct_hash()] = (assignment, query["listing"], query["tier"])
            answer.append({"assignment": assignment.to_json(), "signature": "0x" + "00" * 65, "seconds": 1})
        return {"quotes": answer}

    def send_input(self, task_id, body):
        if self.dies_after is not None and self.delivered >= self.dies_after:
            raise NodeUnreachable(url=self.url, reason="ConnectError")
        assert task_id in self.network.assigned, "an input was sent before its assignment was confirmed"
        self.inputs[task_id] = body

    def task(self, task_id):
        if self.dies_after is not None and self.delivered >= self.dies_after and task_id not in self.network.paid:
            raise NodeUnreachable(url=self.url, reason="ConnectError")
        if self.declines:
            return {"chain": "assigned", "decline_code": "NODE_FAULT"}
        if task_id not in self.network.paid:
            self.delivered += 1
            if self.tamper != "unpaid":
                self.network.paid.add(task_id)
        return {"chain": "paid", "decline_code": None}

    def result(self, task_id):
        assignment, cid, tier = self.quoted[task_id]
        listing = next(one for one in self.network.known if one.cid.text == cid)
        body = self.inputs[task_id]
        words = [int(word) for word in body["words"]]
        net = integer_layers.from_block(dag_cbor.decode(self.network.store[listing.weights]))
        output = integer_layers.run(net, words)
        if tier == "proved":
            output = [word << BITS for word in output]  # the circuit's words have twice the scale
        if self.tamper == "output":
            output = [-word for word in output]
        field_words = [to_word(word) for word in output]
        salt = [int(word) for word in body["salt"] or []]
        digest = dag_digest(nodes.output_block(field_words))
        receipt = Receipt(
            job=assignment.job_id,
            task=task_id,
            listing=listing.cid,
            input=dag_digest(nodes.input_block(words, salt)),
            output=digest,
            usage=Usage(rows=1, run_us=900),
            charged=Wei(self.price),
            tier=tier,
            proof=None,
            public_values=None,
            circuit=assignment.circuit_id,
            operator=self.operator,
        )
        signed = blocks.sign(receipt, self.identity)
        if self.tamper == "output":
            signed = replace(signed, output=bytes(32))
        attestation = Attestation(
            task_id=task_id,
            request=bytes(32),
            model_id=bytes(32),
            circuit_id=assignment.circuit_id,
            input_hash=assignment.input_hash,
            output_hash=output_hash(field_words),
            result=digest,
            execution=bytes(32),
            tier=assignment.tier,
            verdict_class=0,
            operator=self.operator,
            at_risk=Wei(0),
            window=60,
            signed_at=1,
        )
        return {
            "output_words": [str(word) for word in field_words],
            "attestation": attestation.to_json(),
            "signature": "0x" + "00" * 65,
            "proof": "0x01" if tier == "proved" else None,
            "proof_inputs": ["0"],
            "receipt": receipt_json(signed),
            "receipt_cid": blocks.cid_of(signed).text,
            "deliver_transaction": "0x" + "33" * 32,
        }


def dag_digest(block):
    return Cid.of(dag_cbor.encode(block), DAG_CBOR).digest


def receipt_json(receipt):
    return {
        "job": "0x" + receipt.job.hex(),
        "task": "0x" + receipt.task.hex(),
        "listing": receipt.listing.text,
        "input": "0x" + receipt.input.hex(),
        "output": "0x" + receipt.output.hex(),
        "usage": {"rows": receipt.usage.rows, "input_tokens": 0, "output_tokens": 0, "run_us": receipt.usage.run_us},
        "charged": str(receipt.charged),
        "tier": receipt.tier,
        "proof": None,
        "public_values": None,
        "circuit": None if receipt.circuit is None else "0x" + receipt.circuit.hex(),
        "operator": receipt.operator,
        "voucher": None,
        "by": receipt.by,
        "signature": "0x" + receipt.signature.hex(),
    }


@dataclass
class ScriptedNetwork:
    store: dict
    known: list
    scripted: dict = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity.generate)
    assigned: set = field(default_factory=set)
    paid: set = field(default_factory=set)
    stopped: set = field(default_factory=set)
    job_known: bool = True

    def listings(self):
        return list(self.known)

    def offers(self):
        return [node.offer(listing) for node in self.scripted.values() for listing in self.known]

    def node(self, url):
        return self.scripted[url]

    def block(self, cid):
        return self.store[cid]

    def task_status(self, task_id):
        return "paid" if task_id in self.paid else "assigned"

    def halted(self, record):
        return record in self.stopped

    def add(self, name, **changes):
        url = f"http://{name}"
        operator = "0x" + name.encode().hex().ljust(40, "0")[:40]
        self.scripted[url] = ScriptedNode(url, self, operator=operator, **changes)
        return self.scripted[url]


@dataclass
class ScriptedPayments:
    """Keeps books as the run would: what was locked, assigned and acknowledged."""

    network: ScriptedNetwork
    locked: int = 0
    quotes: list[SignedQuote] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    transactions: int = 0
    on_settle: Callable[[], None] = lambda: None
    job_terms: JobTerms = TERMS
    job_id: bytes = JOB

    def lock(self, estimate):
        self.locked = estimate.high

    def assign(self, quotes):
        self.transactions += 1
        self.quotes += quotes
        assert sum(quote.assignment.price for quote in self.quotes) <= self.locked
        self.network.assigned |= {quote.task_id for quote in quotes}

    def acknowledge(self, receipt):
        self.receipts.append(receipt)

    def settle(self):
        self.on_settle()

    def refund(self):
        return None


@pytest.fixture(autouse=True)
def _fast_polling(monkeypatch):
    monkeypatch.setattr(nodes, "POLL", timedelta(milliseconds=5))


@pytest.fixture
def network_of(market):
    """A fresh scripted network with two nodes over the named listings (all by default)."""

    def make(*names, nodes=("alice", "bob")):
        store, listings = market
        made = ScriptedNetwork(dict(store), [listings[name] for name in names or listings])
        for name in nodes:
            made.add(name)
        return made

    return make


@pytest.fixture
def recorder(tmp_path):
    return Recorder(open_store(tmp_path / "trace.sqlite"), new_run_id(), Identity.generate())


@pytest.fixture
def payments_of():
    return ScriptedPayments


@pytest.fixture
def steps():
    return Immediate()


@pytest.fixture
def sample_files(tmp_path):
    def write(name):
        return list(samples.write_sample(name, tmp_path))

    return write
