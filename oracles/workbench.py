"""The steps of one task that make something: run the model, have it proved, sign it, build the transaction that says so.

Each step stores what it made before the task moves on, in one transaction; made twice, the first one counts.
"""

from __future__ import annotations

import json
import time
from collections import deque

from oracles import inputs, quotes
from oracles.attest import Attester
from oracles.next_step import DeclineCode, Work
from oracles.offers import Catalogue, Offer
from oracles.prover import Proved, Prover, ProverBusy, ProverRefused, ProverUnreachable
from oracles.runners import onnx
from oracles.store import IntentRow, Store, TaskRow, WouldContradict
from prsm_protocol.chain import Chain
from prsm_protocol.chain.client import Call
from prsm_protocol.content import Store as Blocks
from prsm_protocol.errors import NodeError
from prsm_protocol.identity import Identity
from prsm_protocol.rules.market.escrow import Assignment, JobTerms, Result
from prsm_protocol.rules.oracle.attestation import Attestation, Proof
from prsm_protocol.rules.oracle.context import context, request
from prsm_protocol.rules.oracle.instances import Layout, from_word, instances, words_hash
from prsm_protocol.trace import blocks as trace_blocks
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, RAW, Cid, Receipt, Usage, Wei


class CircuitGone(NodeError):
    text = "circuit {circuit} is no longer held by the prover"


class ProofUnusable(NodeError):
    text = "the proof of task {task} cannot be delivered: {reason}"


class Workbench:
    """Makes results of this node's tasks."""

    def __init__(
        self,
        store: Store,
        chain: Chain,
        blocks: Blocks,
        catalogue: Catalogue,
        prover: Prover | None,
        attester: Attester,
        identity: Identity,
    ) -> None:
        self._store = store
        self._chain = chain
        self._blocks = blocks
        self._catalogue = catalogue
        self._prover = prover
        self._attester = attester
        self._identity = identity
        self._proofs: dict[str, str] = {}
        self._floats = onnx.FloatRunner()
        self._seconds: dict[str, deque[float]] = {}
        self.drifts = 0

    def stop(self) -> None:
        self._floats.stop()

    def seconds_of(self, listing: str) -> list[float]:
        """Seconds of work of the results made here for a listing."""
        return list(self._seconds.get(listing, ()))

    def run(self, row: TaskRow) -> None:
        """TRUSTED: the integer network's words are the output. PROVED: only the float reference for the drift check."""
        offer, data = self._offer(row), self._input(row)
        started = time.monotonic()
        if row.quote["tier"] == "proved":
            output: dict[str, object] = {"floats": self._float_reference(offer, data)}
        else:
            words = inputs.field_words(onnx.run_rows(offer.loaded, data.words))
            output = {"words": inputs.words_bytes(words)}
        output["run_us"] = int((time.monotonic() - started) * 1_000_000)
        with self._store.transaction():
            self._store.put_file(row.task, "output", dag_cbor.encode(output))
            self._store.advance(row.task, Work.OUTPUT)

    def _float_reference(self, offer: Offer, data: inputs.TaskInput) -> list[str]:
        width, bits = len(offer.listing.features), offer.listing.bits
        model = self._catalogue.model_file(offer.listing)
        found: list[str] = []
        for at in range(0, len(data.words), width):
            row = data.words[at : at + width]
            found += [repr(value) for value in self._floats.run(model, row, bits, listing=str(offer.cid))]
        return found

    def prove(self, row: TaskRow) -> None:
        """Ask for the proof, once; look again at each tick until it is there."""
        if self._prover is None:
            raise ProverUnreachable(url="(none in node.toml)", reason="no prover is configured")
        offer, data, assignment = self._offer(row), self._input(row), quotes.assignment_of(row)
        circuit = offer.circuit(assignment.circuit_id)
        if circuit is None:
            # A prover that is away says nothing about the circuit: its answer is asked for, and may raise.
            if all(held.circuit_id != assignment.circuit_id for held in self._prover.circuits()):
                raise CircuitGone(circuit="0x" + assignment.circuit_id.hex())
            raise ProverBusy(kind="CatalogueBehind", detail="the circuit is held, the catalogue is a moment behind")
        bound = self._context(assignment)
        job = self._proofs.get(row.task)
        if job is None:
            left = self._chain.escrow.task(bytes.fromhex(row.task[2:])).deliver_by - self._chain.escrow.active_time()
            job = self._prover.start(
                key=row.task,
                circuit=circuit.ref.manifest,
                context=bound,
                words=data.words,
                salt=data.salt,
                deadline=int(time.time()) + max(1, left),
            )
            self._proofs[row.task] = job
        try:
            proved = self._prover.poll(job, row.task)
        except (ProverBusy, ProverRefused):
            self._proofs.pop(row.task, None)  # it may have lost the job: the same key asks for it again
            raise
        if proved is None:
            return
        layout = Layout(circuit.held.inputs, circuit.held.outputs, circuit.held.input_visibility == "hashed")
        self._check_proof(row, offer, proved, layout, assignment, bound)
        block = {
            "proof": proved.proof,
            "inputs": inputs.words_bytes(proved.inputs),
            "outputs": inputs.words_bytes(proved.outputs),
            "run_us": int(proved.seconds * 1_000_000),
        }
        with self._store.transaction():
            self._store.put_file(row.task, "proof", dag_cbor.encode(block))
            self._store.advance(row.task, Work.PROOF)

    def _check_proof(
        self, row: TaskRow, offer: Offer, proved: Proved, layout: Layout, assignment: Assignment, bound: bytes
    ) -> None:
        """The prover's word is checked with what the chain will check: hashes, and the registered verifier itself."""
        got = words_hash(proved.inputs) if not layout.hashed_input else proved.input_hash
        if got != assignment.input_hash:
            raise ProofUnusable(task=row.task, reason="its input hash is not the assignment's")
        words = instances(
            layout, bound, proved.inputs, proved.outputs, hash_word=int.from_bytes(assignment.input_hash, "big")
        )
        if not self._chain.router.verify(assignment.circuit_id, proved.proof, words):
            raise ProofUnusable(task=row.task, reason="the registered verifier refuses it")
        floats = _floats_of(self._store.file(row.task, "output"))
        fixed = [from_word(word) for word in proved.outputs]
        held = next(entry.held for entry in offer.circuits if entry.ref.id == assignment.circuit_id)
        try:
            onnx.check_drift(fixed, held.output_bits, floats, held.allowed_error)
        except onnx.OutputDrift:
            self.drifts += 1
            raise

    def sign(self, row: TaskRow) -> None:
        """Fix the attestation in the store, then sign exactly that; receipt and public blocks are kept beside it."""
        assignment = quotes.assignment_of(row)
        words, proof, run_us = self._outcome(row)
        output = inputs.output_block(words)
        fresh = Attestation(
            task_id=assignment.struct_hash(),
            request=request(assignment.job_id, assignment.salt),
            model_id=assignment.records[0],
            circuit_id=assignment.circuit_id,
            input_hash=assignment.input_hash,
            output_hash=words_hash(words),
            result=inputs.digest_of(output),
            execution=bytes(32),
            tier=assignment.tier,
            verdict_class=assignment.verdict_class,
            operator=assignment.operator,
            at_risk=assignment.at_risk,
            window=assignment.window,
            signed_at=self._chain.escrow.active_time(),
        )
        self._store.put_file(row.task, "attestation", json.dumps(fresh.to_json()).encode())
        attestation = stored_attestation(self._store, row.task)
        assert attestation is not None
        self._attester.result(attestation)
        receipt = self._receipt(row, assignment, attestation, proof, run_us)
        with self._store.transaction():
            self._store.put_file(row.task, "result", output)
            self._store.put_file(row.task, "receipt", receipt)
            self._store.advance(row.task, Work.SIGNED)
        self._seconds.setdefault(str(row.quote["listing"]), deque(maxlen=256)).append(run_us / 1e6)

    def _outcome(self, row: TaskRow) -> tuple[list[int], Proof | None, int]:
        """(output words, proof, microseconds of work)."""
        raw = (
            self._store.file(row.task, "proof")
            if row.quote["tier"] == "proved"
            else self._store.file(row.task, "output")
        )
        assert raw is not None
        block = dag_cbor.decode(raw)
        assert isinstance(block, dict)
        run_us = block["run_us"]
        assert isinstance(run_us, int)
        if row.quote["tier"] != "proved":
            return _ints(block["words"]), None, run_us
        outputs = _ints(block["outputs"])
        data = block["proof"]
        assert isinstance(data, bytes)
        return outputs, Proof(data, tuple(_ints(block["inputs"])), tuple(outputs)), run_us

    def _receipt(
        self, row: TaskRow, assignment: Assignment, attestation: Attestation, proof: Proof | None, run_us: int
    ) -> bytes:
        proof_cid = public_cid = None
        if proof is not None:
            # What goes into calldata anyway is public: anybody may fetch it here by its id.
            proof_cid = self._blocks.put(proof.data, RAW)
            public = {"v": 1, "kind": "public_values", "inputs": inputs.words_bytes(proof.inputs)}
            public["outputs"] = inputs.words_bytes(proof.outputs)
            public_cid = self._blocks.put(dag_cbor.encode(public), DAG_CBOR)
        rows = row.quote["rows"]
        assert isinstance(rows, int)
        receipt = Receipt(
            job=assignment.job_id,
            task=attestation.task_id,
            listing=Cid.parse(str(row.quote["listing"])),
            input=inputs.digest_of(inputs.input_block(self._input(row))),
            output=attestation.result,
            usage=Usage(rows=rows, run_us=run_us),
            charged=Wei(assignment.price),
            tier=str(row.quote["tier"]),
            proof=proof_cid,
            public_values=public_cid,
            circuit=assignment.circuit_id if proof is not None else None,
            operator=assignment.operator,
        )
        block = trace_blocks.receipt_block(trace_blocks.sign(receipt, self._identity))
        self._blocks.put(block, DAG_CBOR)
        return block

    # ── calls ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def call_for(self, intent: IntentRow) -> Call | None:
        """The transaction of an intent, built anew from what is stored: the same bytes of data every time."""
        row = self._store.task(intent.task)
        if row is None:
            return None
        terms = quotes.terms_of(row)
        assignment = quotes.assignment_of(row)
        if terms is None:
            return None
        if intent.kind == "decline":
            return self._decline_call(row, terms, assignment)
        attestation = stored_attestation(self._store, intent.task)
        signature = self._store.signature(intent.task)
        if attestation is None or signature is None:
            return None
        result = Result(attestation.output_hash, attestation.result, attestation.execution, attestation.signed_at)
        if intent.kind == "release":
            return self._chain.escrow.release(terms, assignment, result)
        _, proof, _ = self._outcome(row)
        return self._chain.escrow.deliver(terms, assignment, result, signature, proof or Proof())

    def _decline_call(self, row: TaskRow, terms: JobTerms, assignment: Assignment) -> Call | None:
        code = row.decline_code or int(DeclineCode.NODE_FAULT)
        try:
            signature = self._attester.decline(assignment.struct_hash(), code)
        except WouldContradict:
            return None  # a result is bound already; only it may ever be sent
        return self._chain.escrow.decline(terms, assignment, code, signature)

    # ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _offer(self, row: TaskRow) -> Offer:
        return self._catalogue.offer(str(row.quote["listing"]))

    def _input(self, row: TaskRow) -> inputs.TaskInput:
        raw = self._store.file(row.task, "input")
        assert raw is not None, "a task at INPUT or beyond keeps its input until it is closed"
        return inputs.decode(raw)

    def _context(self, assignment: Assignment) -> bytes:
        asked = request(assignment.job_id, assignment.salt)
        return context(self._chain.chain_id, self._chain.hub.address, asked, assignment.circuit_id, assignment.operator)


def stored_attestation(store: Store, task: str) -> Attestation | None:
    raw = store.file(task, "attestation")
    return None if raw is None else Attestation.from_json(json.loads(raw))


def _floats_of(raw: bytes | None) -> list[float]:
    block = dag_cbor.decode(raw) if raw is not None else None
    floats = block["floats"] if isinstance(block, dict) else []
    return [float(str(value)) for value in floats] if isinstance(floats, list) else []


def _ints(value: object) -> list[int]:
    assert isinstance(value, list)
    return [int.from_bytes(word, "big") for word in value]
