"""Artifacts, records and who they descend from: parents come from what was used, never from what somebody typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prsm_protocol.content.store import Store
from prsm_protocol.content.unixfs import add_bytes
from prsm_protocol.rules.registry.lineage import Kind, Parent, Registration
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, Signer

ARTIFACT_DOMAIN = "artifact"
DATA_DERIVATIVE_BPS = 1_000
TEACHER_DERIVATIVE_BPS = 1_500
MODEL_ROYALTY_BPS = 1_000
"""A model's record asks a tenth of each price; of that, descendants give the shares above to what they were made from."""


@dataclass(frozen=True)
class Artifact:
    """A signed block that names files, their licence, and ancestors; its digest is what the chain registers."""

    kind: Kind
    cid: Cid
    registration: Registration
    parents: tuple[Parent, ...]

    @property
    def record(self) -> bytes:
        return self.registration.record


def make(
    store: Store,
    signer: Signer,
    owner: str,
    *,
    kind: Kind,
    name: str,
    files: Mapping[str, bytes | Cid],
    content_sha256: bytes | None,
    licence: str,
    parents: tuple[Parent, ...],
    created_us: int,
    royalty_bps: int,
    derivative_bps: int,
) -> Artifact:
    """Store the files and the signed artifact block. A CID names what the store holds already; private content is named by its
    SHA-256 and not stored."""
    entries = {file: data if isinstance(data, Cid) else add_bytes(store, data) for file, data in sorted(files.items())}
    block: dict[str, object] = {
        "v": 1,
        "kind": "artifact",
        "type": kind.name.lower(),
        "name": name,
        "files": entries,
        "content_sha256": content_sha256,
        "licence": licence,
        "ancestors": [{"record": parent.record, "share_bps": parent.share_bps} for parent in parents],
        "created_us": created_us,
        "creator": signer.did,
    }
    body = Cid.of(dag_cbor.encode(block), DAG_CBOR)
    cid = store.put(dag_cbor.encode({**block, "signature": signer.sign(ARTIFACT_DOMAIN, body.bytes)}), DAG_CBOR)
    return Artifact(kind, cid, Registration(int(kind), cid.digest, owner, royalty_bps, derivative_bps), parents)
