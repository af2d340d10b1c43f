"""Models, data, their ancestors, and digests anchored with a time (Provenance)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.chain.operators import NOBODY
from prsm_protocol.rules.registry.lineage import AnchorKind, Kind, Parent, Registration, commitment


@dataclass(frozen=True)
class Record:
    """A registered artifact: who owns it, what it asks for a use and of derivatives, how many ancestors it has."""

    owner: str
    royalty_bps: int
    derivative_bps: int
    kind: Kind
    ancestors: int
    halted_until: int


class Provenance(ContractClient):
    NAME: ClassVar[str] = "Provenance"

    def commit(self, registration: Registration, salt: bytes, caller: str) -> Call:
        """First half of a registration: `caller` must send both halves, the second some seconds later."""
        return self._call("commit", commitment(registration, salt, caller))

    def register(self, registration: Registration, parents: Sequence[Parent], salt: bytes) -> Call:
        return self._call("register", registration, list(parents), salt)

    def set_owner(self, record: bytes, owner: str) -> Call:
        return self._call("setOwner", record, owner)

    def lower_royalty(self, record: bytes, bps: int) -> Call:
        return self._call("lowerRoyalty", record, bps)

    def anchor(self, digest: bytes, subject: bytes, kind: AnchorKind, size: int) -> Call:
        """Fix a digest in time: once per digest and sender."""
        return self._call("anchor", digest, subject, int(kind), size)

    def record_of(self, record: bytes) -> Record | None:
        """The record; none if nobody registered it."""
        found = self._one("recordOf", record)
        assert isinstance(found, dict)
        if found["owner"] == NOBODY:
            return None
        return Record(**{**found, "kind": Kind(found["kind"])})

    def record_id_of(self, kind: Kind, digest: bytes) -> bytes:
        return self._bytes("recordIdOf", int(kind), digest)

    def ancestors_hash_of(self, record: bytes) -> bytes:
        return self._bytes("ancestorsHashOf", record)

    def is_halted(self, record: bytes) -> bool:
        return self._is("isHalted", record)

    def anchored_at(self, digest: bytes, by: str) -> int | None:
        """When `by` anchored the digest; none if it never did."""
        return self._number("anchorOf", digest, by) or None

    def committed_at(self, digest: bytes, by: str) -> int | None:
        """When `by` announced this commitment; none if it did not, or used it."""
        return self._number("commitmentOf", digest, by) or None
