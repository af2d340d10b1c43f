"""How a signed voucher travels: as JSON over HTTP, as a message over the ledger. Only the forms; nothing is judged
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prsm_protocol.errors import LedgerError
from prsm_protocol.ledger.messages import EnvelopeInvalid, Kind, open_envelope, seal_envelope, tag_of
from prsm_protocol.rules.channel.vouchers import ChannelTerms, Voucher
from prsm_protocol.types import Wei


class VoucherMalformed(LedgerError):
    text = "voucher is malformed at {field!r}; give terms, voucher and signature whole"


@dataclass(frozen=True)
class SignedVoucher:
    """What travels. `lines` says how many usage lines the root stands for; None where the sender did not tell."""

    terms: ChannelTerms
    voucher: Voucher
    signature: bytes
    lines: int | None = None

    def to_json(self) -> dict[str, object]:
        out: dict[str, object] = {
            "terms": self.terms.to_json(),
            "voucher": self.voucher.to_json(),
            "signature": "0x" + self.signature.hex(),
        }
        return out if self.lines is None else out | {"lines": self.lines}

    @classmethod
    def from_json(cls, value: object) -> SignedVoucher:
        if not isinstance(value, Mapping):
            raise VoucherMalformed(field="")
        terms, voucher, signature = value.get("terms"), value.get("voucher"), value.get("signature")
        lines = value.get("lines")
        if not isinstance(terms, Mapping):
            raise VoucherMalformed(field="terms")
        if not isinstance(voucher, Mapping):
            raise VoucherMalformed(field="voucher")
        if lines is not None and (not isinstance(lines, int) or isinstance(lines, bool) or lines < 0):
            raise VoucherMalformed(field="lines")
        try:
            raw = bytes.fromhex(signature.removeprefix("0x")) if isinstance(signature, str) else b""
        except ValueError:
            raw = b""
        if len(raw) != 65:
            raise VoucherMalformed(field="signature")
        return cls(ChannelTerms.from_json(terms), Voucher.from_json(voucher), raw, lines)


# ── vouchers as messages ─────────────────────────────────────────────────────────────────────────────────────────────


def voucher_message(network: bytes, signed: SignedVoucher) -> tuple[bytes, bytes]:
    """Tag and data. No outer signature: the voucher's own says who promised."""
    voucher = signed.voucher
    tag = tag_of(Kind.VOUCHER, voucher.channel_id)
    body = {
        "sequence": voucher.sequence,
        "cumulative": voucher.cumulative.to_bytes(32, "big"),
        "root": voucher.usage_root,
        "signature": signed.signature,
        "lines": signed.lines,
    }
    return tag, seal_envelope(network, tag, body, None)


def read_voucher(network: bytes, tag: bytes, data: bytes, terms: ChannelTerms) -> SignedVoucher:
    """The voucher in a message; its signature is not checked here."""
    envelope = open_envelope(network, tag, data, _nobody)
    body = envelope.body
    if not isinstance(body, dict) or set(body) != {"sequence", "cumulative", "root", "signature", "lines"}:
        raise VoucherMalformed(field="")
    sequence, lines = body["sequence"], body["lines"]
    if not isinstance(sequence, int) or isinstance(sequence, bool) or sequence < 1:
        raise VoucherMalformed(field="sequence")
    if lines is not None and (not isinstance(lines, int) or isinstance(lines, bool) or lines < 0):
        raise VoucherMalformed(field="lines")
    cumulative, root, signature = (
        _sized(body[name], name, size) for name, size in (("cumulative", 32), ("root", 32), ("signature", 65))
    )
    amount = int.from_bytes(cumulative, "big")
    if amount >> 96:
        raise VoucherMalformed(field="cumulative")
    channel = tag[len(tag_of(Kind.VOUCHER)) :]
    return SignedVoucher(terms, Voucher(_sized(channel, "channel", 32), sequence, Wei(amount), root), signature, lines)


def _nobody(_did: str, _domain: str, _message: bytes, _signature: bytes) -> bool:
    raise EnvelopeInvalid(rule="a voucher carries no outer signature")


def _sized(value: object, field: str, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise VoucherMalformed(field=field)
    return value
