"""Which id a circuit has: the mirror of VerifierRouter's derivation.

The id comes from everything that makes a circuit what it is, so nobody can occupy it with another verifier or layout.
"""

from __future__ import annotations

from dataclasses import dataclass

from prsm_protocol.errors import UsageError
from prsm_protocol.rules.eip712 import keccak, word
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup

MAX_WORDS = 1_024
"""More instance words than this the router refuses: a proof has to fit a block."""
DEVELOPMENT_CHAINS = (31337, 1337)
CODE_LIMIT = 24_576
"""Bytes of a contract's code on any public chain."""


class TooManyWords(UsageError):
    text = "a proof would carry {words} instance words, the router takes {max}; hash the input or prove fewer rows"


class DevelopmentSetup(UsageError):
    text = "circuit {circuit_id} rests on a set-up that one party made; chain {chain_id} is no development chain"


@dataclass(frozen=True)
class Circuit:
    """A circuit as it is announced."""

    verifier: str
    layout: Layout
    setup: Setup

    def values(self) -> tuple[object, ...]:
        """The struct `VerifierRouter.announce` takes."""
        return (self.verifier, self.layout.inputs, self.layout.outputs, self.layout.hashed_input, int(self.setup))


def circuit_id(manifest: bytes, code_hash: bytes, layout: Layout, setup: Setup) -> bytes:
    """The router's id of a circuit: keccak of manifest digest, code hash, layout and set-up."""
    parts = (
        ("bytes32", manifest, "manifest"),
        ("bytes32", code_hash, "codeHash"),
        ("uint16", layout.inputs, "inputs"),
        ("uint16", layout.outputs, "outputs"),
        ("bool", layout.hashed_input, "hashedInput"),
        ("uint8", int(setup), "setup"),
    )
    return keccak(b"".join(word(kind, value, name) for kind, value, name in parts))


def check_announcement(manifest: bytes, code_hash: bytes, layout: Layout, setup: Setup, chain_id: int) -> bytes:
    """The id, or the refusal that the router would give."""
    if layout.words > MAX_WORDS:
        raise TooManyWords(words=layout.words, max=MAX_WORDS)
    found = circuit_id(manifest, code_hash, layout, setup)
    if setup is Setup.SINGLE and chain_id not in DEVELOPMENT_CHAINS:
        raise DevelopmentSetup(circuit_id="0x" + found.hex(), chain_id=chain_id)
    return found
