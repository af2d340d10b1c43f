"""A run in one CAR file, as a stranger gets it: `run-<id>.car`.

Roots in this order: the newest head; the openings; the evidence, where money or proofs were involved (`evidence.py`).
The file holds every block that these reach: links, and payloads whose openings are given. Three cases are told apart:

- *withheld*: a sealed payload without opening, or a link named in `Openings.withheld`; the verifier says "not checked".
- *named*: a link that no check reads (`_NAMED`): a listing's ONNX file, circuit files, training data and evaluations, a
  receipt's proof (its bytes stand in the evidence), an attempt's weights. Their hash is known, their bytes lie on IPFS.
- *missing*: anything else. Exporting refuses, the verifier says FALSE. So does a block that nothing reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prsm_protocol.errors import TraceError
from prsm_protocol.trace import car, dag_cbor
from prsm_protocol.trace.blocks import Openings, RunHead, decode, encode
from prsm_protocol.trace.evidence import Evidence, pack, unpack
from prsm_protocol.trace.seal import Opening, Sealed
from prsm_protocol.trace.store import BlockMissing, TraceStore
from prsm_protocol.types import DAG_CBOR, Cid, RunId

BUNDLE_LIMIT = 256 * 1024 * 1024
"""What the standalone verifier reads."""
OPENINGS_LIMIT = 6_000
"""Openings have about 130 bytes each and share one block of 1 MiB."""

Fetch = Callable[[Cid], bytes | None]
Keep = Callable[[str, Opening], bool]
"""Is the payload of this kind (raw bytes: "raw") opened to the reader?"""


class BundleTooLarge(TraceError):
    text = "the run's file would have {bytes} bytes, the limit is {limit}; keep fewer payloads"


class TooManyOpenings(TraceError):
    text = "the run has {count} payloads to open, the limit is {limit}; keep fewer payloads"


class BundleInvalid(TraceError):
    text = "the file is no run's record: {reason}; ask for it again"


_NAMED = {
    "listing": frozenset({"model", "circuits", "trained_on", "evaluations"}),
    "receipt": frozenset({"proof", "public_values"}),
    "attempt": frozenset({"model"}),
    "task_evidence": frozenset({"manifest"}),
}


def references(block: object, kind: str | None = None) -> Iterator[Cid | Sealed]:
    """Links and seals of a decoded block that a bundle must hold or withhold; named links are left out."""
    if isinstance(block, Cid):
        yield block
    elif isinstance(block, list):
        for entry in block:
            yield from references(entry, kind)
    elif isinstance(block, dict):
        if set(block) == {"digest", "size_class"}:
            yield Sealed(block["digest"], block["size_class"])
            return
        if kind is None:
            own = block.get("kind")
            kind = own if isinstance(own, str) else ""
        for key, entry in block.items():
            if key not in _NAMED.get(kind, ()):
                yield from references(entry, kind)
            elif kind == "attempt" and isinstance(entry, dict) and isinstance(entry.get("listing"), Cid):
                yield entry["listing"]


@dataclass
class Bundle:
    """A run's file in memory."""

    roots: tuple[Cid, ...]
    blocks: dict[Cid, bytes]
    head: RunHead
    openings: Openings
    evidence: Evidence | None


@dataclass
class Exported:
    """What went into the file, for the screen that asks before it is given away."""

    path: Path
    blocks: int = 0
    bytes: int = 0
    opened: dict[str, int] = field(default_factory=dict)  # payloads a reader can see, by kind
    withheld: int = 0


def kind_of_payload(cid: Cid, data: bytes) -> str:
    if cid.codec != DAG_CBOR:
        return "raw"
    block = dag_cbor.decode(data)
    kind = block.get("kind") if isinstance(block, dict) else None
    return kind if isinstance(kind, str) else "raw"


def gather(
    head: Cid,
    evidence: bytes | None,
    get: Callable[[Cid], bytes],
    opening_of: Callable[[bytes], Opening | None],
    keep: Keep,
    withheld: frozenset[Cid] = frozenset(),
) -> tuple[dict[Cid, bytes], list[Opening], dict[str, int], int]:
    """Everything that head and evidence reach: (blocks, openings, opened payloads by kind, seals left closed)."""
    blocks: dict[Cid, bytes] = {}
    openings: dict[bytes, Opening] = {}
    closed: set[bytes] = set()
    opened: dict[str, int] = {}
    pending: list[Cid | Sealed] = [head]
    if evidence is not None:
        pending += references(dag_cbor.decode(evidence))
    while pending:
        reference = pending.pop()
        if isinstance(reference, Sealed):
            if reference.digest in openings or reference.digest in closed:
                continue
            opening = opening_of(reference.digest)
            if opening is None:
                closed.add(reference.digest)
                continue
            data = get(opening.cid)
            kind = kind_of_payload(opening.cid, data)
            if not keep(kind, opening):
                closed.add(reference.digest)
                continue
            openings[reference.digest] = opening
            opened[kind] = opened.get(kind, 0) + 1
            cid = opening.cid
        else:
            cid = reference
            if cid in blocks or cid in withheld:
                continue
            data = get(cid)
        if cid not in blocks:
            blocks[cid] = data
            if cid.codec == DAG_CBOR:
                pending.extend(references(dag_cbor.decode(data)))
    return blocks, list(openings.values()), opened, len(closed)


def write(
    path: Path,
    head: Cid,
    evidence: bytes | None,
    get: Callable[[Cid], bytes],
    opening_of: Callable[[bytes], Opening | None],
    keep: Keep,
    withheld: frozenset[Cid] = frozenset(),
) -> Exported:
    """Gather and write the file; it appears under its name only when it is whole."""
    blocks, openings, opened, closed = gather(head, evidence, get, opening_of, keep, withheld)
    if len(openings) > OPENINGS_LIMIT:
        raise TooManyOpenings(count=len(openings), limit=OPENINGS_LIMIT)
    ordered = sorted(openings, key=lambda opening: opening.digest)
    openings_block = encode(Openings(tuple(ordered), tuple(sorted(withheld))))
    roots = [head, Cid.of(openings_block, DAG_CBOR)]
    blocks[roots[1]] = openings_block
    if evidence is not None:
        roots.append(Cid.of(evidence, DAG_CBOR))
        blocks[roots[2]] = evidence
    size = sum(len(data) + 40 for data in blocks.values())
    if size > BUNDLE_LIMIT:
        raise BundleTooLarge(bytes=size, limit=BUNDLE_LIMIT)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        car.write(out, roots, blocks.items())
    part.replace(path)
    return Exported(path, len(blocks), path.stat().st_size, opened, closed)


def export(
    store: TraceStore,
    run: RunId,
    folder: Path,
    *,
    evidence: Evidence | None = None,
    keep: Keep = lambda kind, opening: True,
    fetch: Fetch = lambda cid: None,
    withheld: frozenset[Cid] = frozenset(),
) -> Exported:
    """Write `run-<id>.car` into the folder. Public blocks that the record lacks are asked of `fetch`."""
    head = store.head(run)
    if head is None:
        raise BundleInvalid(reason=f"run {run} has no head yet")

    def get(cid: Cid) -> bytes:
        if cid in parts:
            return parts[cid]
        if store.has(run, cid):
            return store.get(run, cid)
        data = fetch(cid)
        if data is None or Cid.of(data, cid.codec) != cid:
            raise BlockMissing(cid=cid)
        return data

    packed, parts = (None, {}) if evidence is None else pack(evidence)
    path = folder / f"run-{run}.car"
    return write(path, head, packed, get, lambda digest: store.opening(run, digest), keep, withheld)


def load(path: Path) -> Bundle:
    """Read a file back; whether it is true is `verify.py`'s business."""
    size = path.stat().st_size
    if size > BUNDLE_LIMIT:
        raise BundleTooLarge(bytes=size, limit=BUNDLE_LIMIT)
    with path.open("rb") as stream:
        roots, sections = car.read(stream)
        blocks = dict(sections)
    if not 2 <= len(roots) <= 3 or any(root not in blocks for root in roots):
        raise BundleInvalid(reason="its roots are not a head, openings and evidence")
    evidence = None
    if len(roots) == 3:
        evidence = unpack(blocks[roots[2]], blocks.__getitem__)
    return Bundle(roots, blocks, decode(RunHead, blocks[roots[0]]), decode(Openings, blocks[roots[1]]), evidence)
