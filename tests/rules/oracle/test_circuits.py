"""A circuit's id is the router's, and its refusals are the router's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from prsm_protocol.rules.oracle.circuits import (
    MAX_WORDS,
    DevelopmentSetup,
    TooManyWords,
    check_announcement,
    circuit_id,
)
from prsm_protocol.rules.oracle.context import LIMBS
from prsm_protocol.rules.oracle.instances import Layout
from prsm_protocol.rules.oracle.tiers import Setup

MANIFEST, CODE_HASH, LAYOUT = b"\x01" * 32, b"\x02" * 32, Layout(30, 1, True)


def test_circuit_id_is_keccak_of_what_makes_a_circuit():
    packed = encode(["bytes32", "bytes32", "uint16", "uint16", "bool", "uint8"], [MANIFEST, CODE_HASH, 30, 1, True, 2])
    assert circuit_id(MANIFEST, CODE_HASH, LAYOUT, Setup.SINGLE) == keccak(packed)


def test_circuit_id_differs_with_each_part():
    layouts = [LAYOUT, replace(LAYOUT, inputs=31), replace(LAYOUT, outputs=2), replace(LAYOUT, hashed_input=False)]
    ids = {circuit_id(MANIFEST, CODE_HASH, layout, Setup.SINGLE) for layout in layouts}
    ids |= {
        circuit_id(CODE_HASH, CODE_HASH, LAYOUT, Setup.SINGLE),
        circuit_id(MANIFEST, MANIFEST, LAYOUT, Setup.SINGLE),
        circuit_id(MANIFEST, CODE_HASH, LAYOUT, Setup.CEREMONY),
    }
    assert len(ids) == 7


@pytest.mark.parametrize(("extra", "refused"), [(-1, False), (0, False), (1, True)])
def test_announcement_takes_words_up_to_the_limit(extra: int, refused: bool):
    layout = Layout(MAX_WORDS - LIMBS - 1 + extra, 1, False)
    if not refused:
        assert len(check_announcement(MANIFEST, CODE_HASH, layout, Setup.SINGLE, 31337)) == 32
        return
    with pytest.raises(TooManyWords, match=f"{MAX_WORDS + 1} instance words"):
        check_announcement(MANIFEST, CODE_HASH, layout, Setup.SINGLE, 31337)


def test_announcement_of_a_single_setup_is_refused_off_development_chains():
    for chain_id in (31337, 1337):
        assert check_announcement(MANIFEST, CODE_HASH, LAYOUT, Setup.SINGLE, chain_id)
    with pytest.raises(DevelopmentSetup, match="chain 1 "):
        check_announcement(MANIFEST, CODE_HASH, LAYOUT, Setup.SINGLE, 1)
    assert check_announcement(MANIFEST, CODE_HASH, LAYOUT, Setup.CEREMONY, 1)
