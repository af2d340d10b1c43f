"""Set-up files: where they come from, what is checked, and what they are called wherever they are shown.

A CEREMONY file is safe unless every participant of a public ceremony colluded; a SINGLE file was made here, and
**whoever made it can forge any proof**, so the router takes it on development chains only. Files lie read-only in a
folder, one a kind and size, each with a label beside it; nothing is fetched.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provers.errors import (
    SetupFormatInvalid,
    SetupHashUnknown,
    SetupKindRefused,
    SetupMissing,
    SetupOtherCeremony,
    SetupTooSmall,
    SetupTruncated,
)
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.rules.poseidon import FIELD_ORDER

G1_BYTES, G2_BYTES = 64, 128
MAX_K = 17
"""The largest circuit here: above it keys reach a gigabyte and proofs a minute."""

ANCHOR_POWERS = 256
"""Every file of one ceremony begins with the same powers, however many it holds."""
CEREMONY_FILES = {
    # BLAKE2b-512 of published .ptau files, by ceremony; the value of snarkjs's list for 2^8
    "d6a8fb3a04feb600096c3b791f936a578c4e664d262e4aa24beed1b7a9a96aa5"
    "eb72864d628db247e9293384b74b36ffb52ca8d148d6e1b8b51e279fdf57b583": "hermez",
}
CEREMONY_ANCHORS = {"hermez": "b005c088d7d16d47d6c33ab5e1146479877d8fa6c5b3497169ca7d9e9ebd1000"}
"""SHA-256 over the first 256 powers in G1 and [τ]G2, as halo2 writes points."""

# snarkjs takes its roots of unity from the non-residue 5, halo2 from 7; both of order 2**28.
_TWO_ADICITY = 28
_SNARKJS_ROOT = pow(5, (FIELD_ORDER - 1) >> _TWO_ADICITY, FIELD_ORDER)
_HALO2_ROOT = pow(7, (FIELD_ORDER - 1) >> _TWO_ADICITY, FIELD_ORDER)


@dataclass(frozen=True)
class SetupFile:
    """A checked set-up file. `g2` is the digest of [τ]G2, which a verifier's code contains."""

    path: Path
    kind: Setup
    k: int
    digest: str
    g2: str

    @property
    def warning(self) -> str:
        return "whoever made this set-up can forge any proof" if self.kind is Setup.SINGLE else ""


class SetupFiles:
    """The folder of this home and one shared, read-only folder before it."""

    def __init__(self, folder: Path, shared: Path | None = None) -> None:
        self._folder = folder
        self._folders = [part for part in (shared, folder) if part is not None]

    def find(self, kind: Setup, k: int) -> SetupFile | None:
        for folder in self._folders:
            label = folder / f"{_stem(kind, k)}.json"
            if label.is_file():
                return open_setup(label, k)
        return None

    def single(self, k: int, make: Callable[[int], Path]) -> SetupFile:
        """The development file of this size; `make` gives the path of a new one where there is none yet."""
        return self.find(Setup.SINGLE, k) or self._keep(make(k), Setup.SINGLE, k)

    def ceremony(self, k: int) -> SetupFile:
        found = self.find(Setup.CEREMONY, k)
        if found is None:
            raise SetupMissing(kind=Setup.CEREMONY.name, k=k)
        return found

    def import_ptau(self, path: Path, k: int) -> SetupFile:
        """Take in a ceremony's published file for circuits of 2^k rows."""
        made = self._folder / f"import_{k}.part"
        self._folder.mkdir(parents=True, exist_ok=True)
        from_ptau(path, k, made)
        return self._keep(made, Setup.CEREMONY, k)

    def _keep(self, made: Path, kind: Setup, k: int) -> SetupFile:
        """Move a file into the folder, label last: a file without its label does not exist."""
        self._folder.mkdir(parents=True, exist_ok=True)
        check_size(made, k)
        path = self._folder / f"{_stem(kind, k)}.srs"
        found = SetupFile(path, kind, k, _sha256(made), _g2_digest(made))
        made.chmod(0o444)
        os.replace(made, path)
        label = {"kind": kind.name, "k": k, "digest": found.digest, "g2": found.g2, "warning": found.warning}
        aside = path.with_suffix(".json.part")
        aside.write_text(json.dumps(label, indent=1) + "\n")
        os.replace(aside, path.with_suffix(".json"))
        return found


def open_setup(label: Path, k: int) -> SetupFile:
    """The file that a label names, if its bytes are still what was labelled."""
    try:
        said = json.loads(label.read_bytes())
        kind, held, digest = Setup[said["kind"]], int(said["k"]), str(said["digest"])
    except (ValueError, KeyError) as error:
        raise SetupFormatInvalid(where=label.name) from error
    path = label.with_suffix(".srs")
    if held < k:
        raise SetupTooSmall(k=held, needed=k)
    check_size(path, held)
    if (found := _sha256(path)) != digest:
        raise SetupHashUnknown(digest=found)
    return SetupFile(path, kind, held, digest, _g2_digest(path))


def check_size(path: Path, k: int) -> None:
    """Size and header: halo2 writes k, 2^k powers, 2^k Lagrange points, [1]G2 and [τ]G2."""
    expected = 4 + (1 << k) * 2 * G1_BYTES + 2 * G2_BYTES
    held = path.stat().st_size if path.is_file() else 0
    if held != expected:
        raise SetupTruncated(bytes=held, expected=expected)
    with open(path, "rb") as file:
        if struct.unpack("<I", file.read(4))[0] != k:
            raise SetupFormatInvalid(where="its size in the first 4 bytes")


def check_network(kind: Setup, network: str, *, is_development: bool) -> None:
    """A file that one party made proves nothing to strangers."""
    if kind is Setup.SINGLE and not is_development:
        raise SetupKindRefused(kind=kind.name, network=network)


def from_ptau(path: Path, k: int, out: Path, *, files: dict[str, str] | None = None) -> str:
    """Turn a ceremony's .ptau into the prover's form, and say whose it is. Points are copied, never recomputed.

    The Lagrange points are put in another order: snarkjs and halo2 take different roots of unity, and in the wrong
    order every verification fails.
    """
    data = path.read_bytes()
    digest = hashlib.blake2b(data).hexdigest()
    ceremony = (CEREMONY_FILES if files is None else files).get(digest)
    if ceremony is None:
        raise SetupHashUnknown(digest=digest)
    sections = _sections(data)
    power = struct.unpack("<I", sections[1][36:40])[0]
    if power < k:
        raise SetupTooSmall(k=power, needed=k)
    rows = 1 << k
    powers = _exact(sections[2], 0, rows * G1_BYTES)
    g2 = _exact(sections[3], 0, 2 * G2_BYTES)
    lagrange = _exact(sections[12], (rows - 1) * G1_BYTES, rows * G1_BYTES)
    first = _exact(sections[2], 0, ANCHOR_POWERS * G1_BYTES)
    anchor = hashlib.sha256(first + g2[G2_BYTES:]).hexdigest()
    if anchor != CEREMONY_ANCHORS[ceremony]:
        raise SetupOtherCeremony(expected=ceremony, found=anchor)
    with open(out, "wb") as file:
        file.write(struct.pack("<I", k) + powers + _reordered(lagrange, k) + g2)
    return ceremony


def _reordered(lagrange: bytes, k: int) -> bytes:
    """Lagrange point of halo2's root ω^j, from the list in the order of snarkjs's root."""
    rows = 1 << k
    theirs = pow(_SNARKJS_ROOT, 1 << (_TWO_ADICITY - k), FIELD_ORDER)
    ours = pow(_HALO2_ROOT, 1 << (_TWO_ADICITY - k), FIELD_ORDER)
    place: dict[int, int] = {}
    value = 1
    for at in range(rows):
        place[value] = at
        value = value * theirs % FIELD_ORDER
    ordered = bytearray()
    value = 1
    for _ in range(rows):
        at = place[value] * G1_BYTES
        ordered += lagrange[at : at + G1_BYTES]
        value = value * ours % FIELD_ORDER
    return bytes(ordered)


def _sections(data: bytes) -> dict[int, bytes]:
    if data[:4] != b"ptau":
        raise SetupFormatInvalid(where="its first 4 bytes")
    found: dict[int, bytes] = {}
    at = 12
    for _ in range(struct.unpack("<I", data[8:12])[0]):
        kind, size = struct.unpack("<IQ", data[at : at + 12])
        found[kind] = data[at + 12 : at + 12 + size]
        at += 12 + size
    if missing := {1, 2, 3, 12} - found.keys():
        raise SetupFormatInvalid(where=f"section {min(missing)}, which is missing")
    return found


def _exact(section: bytes, start: int, size: int) -> bytes:
    part = section[start : start + size]
    if len(part) != size:
        raise SetupTruncated(bytes=len(part), expected=size)
    return part


def _stem(kind: Setup, k: int) -> str:
    return f"{kind.name.lower()}_{k}"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _g2_digest(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(-G2_BYTES, os.SEEK_END)
        return hashlib.sha256(file.read()).hexdigest()
