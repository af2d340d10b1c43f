"""A copy of a run's file that shows less: openings are left out, no CID and no signature changes."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from prsm_protocol.errors import TraceError
from prsm_protocol.trace import bundle
from prsm_protocol.trace.bundle import Bundle, Exported
from prsm_protocol.trace.seal import Opening
from prsm_protocol.trace.store import BlockMissing
from prsm_protocol.types import Cid


class NothingKept(TraceError):
    text = "nothing of the run would stay readable with --keep {keep}; the run's payloads are: {kinds}"


def redact(source: Bundle, keep: Collection[str], path: Path) -> Exported:
    """Write a copy to `path` that opens only payloads of a kind in `keep`, or whose seal begins as an entry of it."""

    def is_kept(kind: str, opening: Opening) -> bool:
        digest = opening.digest.hex()
        return kind in keep or any(len(prefix) >= 8 and digest.startswith(prefix) for prefix in keep)

    def get(cid: Cid) -> bytes:
        if cid not in source.blocks:
            raise BlockMissing(cid=cid)
        return source.blocks[cid]

    openings = {opening.digest: opening for opening in source.openings.openings}
    evidence = source.blocks[source.roots[2]] if len(source.roots) == 3 else None
    withheld = frozenset(source.openings.withheld)
    head = source.roots[0]
    _, _, everything, _ = bundle.gather(head, evidence, get, openings.get, lambda kind, opening: True, withheld)
    _, _, visible, _ = bundle.gather(head, evidence, get, openings.get, is_kept, withheld)
    if not visible:
        raise NothingKept(keep=",".join(sorted(keep)) or "(nothing)", kinds=",".join(sorted(everything)) or "(none)")
    return bundle.write(path, head, evidence, get, openings.get, is_kept, withheld)


def describe(result: Exported) -> str:
    """What a reader of the copy still sees, in one sentence."""
    opened = ", ".join(f"{count} {kind}" for kind, count in sorted(result.opened.items())) or "nothing"
    return (
        f"a reader sees: {opened}; {result.withheld} payloads stay sealed, of which only the size class shows; "
        "events, models, prices and signatures stay visible"
    )
