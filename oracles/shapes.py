"""What comes in and goes out over HTTP: sizes and types are checked here once, inside are plain dataclasses.

Amounts are decimal strings of wei, bytes 0x-hex, numbers that JavaScript would round decimal strings.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from oracles.quotes import Part, Request
from prsm_protocol.ledger.voucher_message import SignedVoucher
from prsm_protocol.rules.market.escrow import JobTerms

Hex32 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{64}$")]
Number = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,77})$")]
CidText = Annotated[str, StringConstraints(pattern=r"^b[a-z2-7]{20,120}$")]


def _uint256(value: str) -> str:
    if value.startswith("-") or int(value) >= 1 << 256:
        raise ValueError("is not below 2**256")
    return value


Uint256 = Annotated[Number, AfterValidator(_uint256)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobBody(_Body):
    terms: dict[str, str | int]


class PartBody(_Body):
    input_hash: Hex32
    salt: Uint256
    rows: int = Field(default=1, ge=1, le=1024)


class QuotesBody(_Body):
    job: JobBody
    listing: CidText
    tier: Literal["proved", "trusted"]
    circuit_id: Hex32 | None = None
    spec: Hex32
    parts: list[PartBody] = Field(min_length=1, max_length=1024)
    deliver_within: int = Field(ge=1, le=0xFFFFFFFF)

    def to_request(self, asker: str, circuit: bytes | None) -> Request:
        return Request(
            asker=asker,
            terms=JobTerms.from_json(self.job.terms),
            listing=self.listing,
            tier=self.tier,
            circuit_id=circuit,
            spec=unhex(self.spec),
            parts=tuple(Part(unhex(part.input_hash), int(part.salt), part.rows) for part in self.parts),
            deliver_within=self.deliver_within,
        )


class InputBody(_Body):
    words: list[Number] = Field(min_length=1, max_length=65_536)
    salt: list[Number] | None = Field(default=None, max_length=16)
    terms: dict[str, str | int] | None = None


class RowsBody(_Body):
    listing: CidText
    rows: list[list[Number]] = Field(min_length=1, max_length=1024)


class VoucherBody(_Body):
    terms: dict[str, object]
    voucher: dict[str, object]
    signature: Annotated[str, StringConstraints(pattern=r"^0x[0-9a-fA-F]{130}$")]
    lines: int | None = Field(default=None, ge=0)

    def signed(self) -> SignedVoucher:
        return SignedVoucher.from_json(self.model_dump())


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def hexed(data: bytes) -> str:
    return "0x" + data.hex()


def is_hex32(text: str) -> bool:
    return re.fullmatch(r"0x[0-9a-f]{64}", text) is not None
