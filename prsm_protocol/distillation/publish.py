"""Put an artifact on the chain and a listing where others find it: commit, register, announce, anchor.

Everything that leaves goes through the caller's `Sender` under a key, so a repeated step changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from prsm_protocol.chain import Call, Chain, Sender
from prsm_protocol.content.listing import encode_listing, sign_listing
from prsm_protocol.content.store import Store
from prsm_protocol.distillation.circuit import BuiltCircuit
from prsm_protocol.distillation.provenance import Artifact
from prsm_protocol.errors import DistillationError
from prsm_protocol.rules.oracle.circuits import Circuit
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.rules.registry.lineage import AnchorKind
from prsm_protocol.types import DAG_CBOR, Cid, CircuitRef, Listing, Signer, Steps, Waiting

NOBODY = "0x" + "0" * 40


class VerifierDiffers(DistillationError):
    text = "the verifier at {address} has code hash 0x{found}, the manifest says 0x{expected}; it is not announced"


def register(chain: Chain, sender: Sender, steps: Steps, key: str, artifact: Artifact) -> bytes:
    """Commit, wait out the youngest age, register with the parents. Returns the record; known records are left alone."""
    provenance = chain.provenance
    if provenance.record_of(artifact.record) is not None:
        return artifact.record
    salt = sha256(b"prsm/registration" + key.encode() + artifact.record).digest()
    caller = sender.signer.address
    committed = sender.transact(f"{key}:commit", provenance.commit(artifact.registration, salt, caller))
    oldest = chain.block(committed.block).timestamp + _commit_min(chain)

    def is_old_enough() -> bool | None:
        return True if chain.block().timestamp >= oldest else None

    deadline = datetime.now(UTC) + timedelta(minutes=5)
    steps.wait(Waiting("the commitment to be old enough", deadline, "it may be committed again"), is_old_enough)
    sender.transact(f"{key}:register", provenance.register(artifact.registration, artifact.parents, salt))
    return artifact.record


def _commit_min(chain: Chain) -> int:
    (seconds,) = chain.provenance.read("commitMin")
    assert isinstance(seconds, int)
    return seconds


def announce(chain: Chain, sender: Sender, key: str, built: BuiltCircuit) -> CircuitRef:
    """Deploy the circuit's own verifier and announce it with the bond. The router derives the id, and it must be ours."""
    report = built.report
    router = chain.router
    ref = CircuitRef(report.circuit_id, report.manifest, report.manifest, report.batch_rows, report.input_visibility)
    if chain.router.bond_of(report.circuit_id)[0] != NOBODY:
        return ref  # the same model, settings and verifier are the same circuit, whoever announced it
    deployed = sender.transact(f"{key}:deploy", Call("", built.verifier, name="Verifier"))
    assert deployed.contract is not None
    found = chain.code(deployed.contract)
    from prsm_protocol.rules.eip712 import keccak

    if keccak(found) != report.code_hash:
        raise VerifierDiffers(address=deployed.contract, found=keccak(found).hex(), expected=report.code_hash.hex())
    hashed = report.input_visibility == "hashed"
    circuit = Circuit(
        verifier=deployed.contract,
        layout=Layout(inputs=report.inputs, outputs=report.outputs, hashed_input=hashed),
        setup=Setup[report.setup],
    )
    sender.transact(f"{key}:announce", router.announce(circuit, report.manifest.digest))
    return ref


def list_it(chain: Chain, sender: Sender, store: Store, signer: Signer, key: str, listing: Listing) -> Listing:
    """Sign the listing, store it, anchor its digest under its record."""
    signed = sign_listing(listing, signer)
    data = encode_listing(signed)
    cid = store.put(data, DAG_CBOR)
    assert cid == signed.cid
    if chain.provenance.anchored_at(cid.digest, sender.signer.address) is not None:
        return signed
    sender.transact(f"{key}:anchor", chain.provenance.anchor(cid.digest, listing.record, AnchorKind.LISTING, len(data)))
    return signed


def anchored(chain: Chain, sender: Sender, digests: Sequence[Cid]) -> bool:
    """Are all of these anchored by this account?"""
    return all(chain.provenance.anchored_at(cid.digest, sender.signer.address) is not None for cid in digests)
