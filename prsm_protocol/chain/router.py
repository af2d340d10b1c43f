"""Circuits: which verifier a circuit has, on what set-up it rests, whether it may be used (VerifierRouter)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from prsm_protocol.chain.abi import HasValues
from prsm_protocol.chain.client import Call, ContractClient
from prsm_protocol.rules.oracle.circuits import Circuit
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import Wei


@dataclass(frozen=True)
class CircuitState:
    """From when on a circuit may be used, the hash of its verifier's code, and whether it was removed for good."""

    enabled_from: int
    code_hash: bytes
    is_removed: bool


class Router(ContractClient):
    NAME: ClassVar[str] = "VerifierRouter"

    def announce(self, circuit: HasValues, manifest: bytes) -> Call:
        """Announce a circuit (`rules.oracle.circuits.Circuit`) against the bond; `manifest` is a SHA-256 digest."""
        return self._call("announce", circuit, manifest)

    def reclaim_bond(self, circuit_id: bytes) -> Call:
        return self._call("reclaimBond", circuit_id)

    def remove(self, circuit_id: bytes, reason: bytes) -> Call:
        return self._call("remove", circuit_id, reason)

    def verify(self, circuit_id: bytes, proof: bytes, instances: Sequence[int]) -> bool:
        """Whether the circuit's verifier accepts; raises for a circuit that may not be used now."""
        return self._is("verify", circuit_id, proof, list(instances))

    def circuit_of(self, circuit_id: bytes) -> Circuit:
        found = self._one("circuitOf", circuit_id)
        assert isinstance(found, dict)
        layout = Layout(inputs=found["inputs"], outputs=found["outputs"], hashed_input=found["hashed_input"])
        return Circuit(verifier=found["verifier"], layout=layout, setup=Setup(found["setup"]))

    def state_of(self, circuit_id: bytes) -> CircuitState:
        enabled_from, code_hash, is_removed = self.read("stateOf", circuit_id)
        assert isinstance(enabled_from, int)
        assert isinstance(code_hash, bytes)
        return CircuitState(enabled_from, code_hash, bool(is_removed))

    def is_enabled(self, circuit_id: bytes) -> bool:
        return self._is("isEnabled", circuit_id)

    def bond_of(self, circuit_id: bytes) -> tuple[str, Wei]:
        """Who announced the circuit and the bond still held for it."""
        announcer, bond = self.read("bondOf", circuit_id)
        assert isinstance(announcer, str)
        assert isinstance(bond, int)
        return announcer, Wei(bond)

    def announce_bond(self) -> Wei:
        return Wei(self._number("announceBond"))
