"""An owner's file or folder as a record: its content in the home's store, a signed artifact about it, its id on the chain."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from prsm_protocol.content.unixfs import FileUnreadable, add_tree
from prsm_protocol.distillation import provenance, publish
from prsm_protocol.rules.registry.lineage import Kind
from prsm_protocol.types import Cid, Steps
from prsm_protocol.workflow.home import Home

KINDS = {"data": Kind.DATA, "model": Kind.MODEL, "result": Kind.OTHER}
_TERMS = {
    Kind.DATA: (0, provenance.DATA_DERIVATIVE_BPS),
    Kind.MODEL: (provenance.MODEL_ROYALTY_BPS, provenance.TEACHER_DERIVATIVE_BPS),
    Kind.OTHER: (0, 0),
}
"""What a record asks of each price and of each direct descendant; the same terms as those that distilling sets."""


@dataclass(frozen=True)
class SharedContent:
    content: Cid
    artifact: Cid
    record: bytes
    size_bytes: int
    was_registered: bool


def share_path(home: Home, steps: Steps, path: Path, kind: Kind, name: str, licence: str) -> SharedContent:
    """Store, pin, sign, register. The same content under the same name is the same record, so repeating changes nothing."""
    entry = add_tree(home.store, path)
    home.store.pin(entry.cid, name)
    royalty_bps, derivative_bps = _TERMS[kind]
    artifact = provenance.make(
        home.store,
        home.identity,
        home.address,
        kind=kind,
        name=name,
        files={name: entry.cid},
        content_sha256=None if path.is_dir() else _sha256(path),
        licence=licence,
        parents=(),
        created_us=0,
        royalty_bps=royalty_bps,
        derivative_bps=derivative_bps,
    )
    known = home.chain.provenance.record_of(artifact.record) is not None
    publish.register(home.chain, home.sender, steps, f"share:{artifact.record.hex()[:16]}", artifact)
    return SharedContent(entry.cid, artifact.cid, artifact.record, entry.size_bytes, known)


def _sha256(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").digest()
    except OSError as error:
        raise FileUnreadable(path=str(path), reason=error.strerror or error) from None
