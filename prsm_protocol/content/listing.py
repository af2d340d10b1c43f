"""A listing as a signed DAG-CBOR block: how an offer travels, is found by its CID, and is believed only with its signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import TypeVar, cast

from prsm_protocol.errors import ContentError
from prsm_protocol.trace import dag_cbor
from prsm_protocol.types import DAG_CBOR, Cid, CircuitRef, Feature, Listing, Price, Signer, wei_bytes, wei_from_bytes

T = TypeVar("T")

DOMAIN = "listing"
_LIMIT = 1 << 20


class ListingInvalid(ContentError):
    text = "block {cid} is not a listing that can be used: {reason}"


class ListingUnsigned(ContentError):
    text = "listing {cid} is not signed by {by}; it is ignored"


def to_map(listing: Listing, *, signed: bool = True) -> dict[str, object]:
    """The block's map; without `signature` it is what is signed."""
    block: dict[str, object] = {
        "v": 1,
        "kind": "listing",
        "name": listing.name,
        "record": listing.record,
        "owner": listing.owner,
        "kinds": list(listing.kinds),
        "features": [
            {"name": f.name, "mean": f.mean, "spread": f.spread, "unit": f.unit, "aliases": list(f.aliases)}
            for f in listing.features
        ],
        "classes": list(listing.classes),
        "target": listing.target,
        "target_mean": listing.target_mean,
        "target_spread": listing.target_spread,
        "bits": listing.bits,
        "model": listing.model,
        "weights": listing.weights,
        "price": {"base": wei_bytes(listing.price.base), "per_row": wei_bytes(listing.price.per_row)},
        "tiers": list(listing.tiers),
        "circuits": [
            {"id": c.id, "manifest": c.manifest, "key": c.key, "batch_rows": c.batch_rows, "input": c.input_visibility}
            for c in listing.circuits
        ],
        "licence": listing.licence,
        "may_distill": listing.may_distill,
        "trained_on": list(listing.trained_on),
        "evaluations": list(listing.evaluations),
        "endpoints": list(listing.endpoints),
        "ancestors": list(listing.ancestors),
        "proved_from": listing.proved_from,
        "by": listing.by,
    }
    if signed:
        block["signature"] = listing.signature
    return block


def sign_listing(listing: Listing, signer: Signer) -> Listing:
    """The listing with its signature and its CID."""
    unsigned = replace(listing, by=signer.did, signature=b"", cid=None)
    body = Cid.of(dag_cbor.encode(to_map(unsigned, signed=False)), DAG_CBOR)
    signed = replace(unsigned, signature=signer.sign(DOMAIN, body.bytes))
    return replace(signed, cid=Cid.of(encode_listing(signed), DAG_CBOR))


def encode_listing(listing: Listing) -> bytes:
    return dag_cbor.encode(to_map(listing))


Verify = Callable[[str, str, bytes, bytes], bool]
"""`identity.verify`, handed in: content knows no keys."""


def check_listing(listing: Listing, verify: Verify) -> None:
    """Refuse a listing whose signature does not fit."""
    body = Cid.of(dag_cbor.encode(to_map(listing, signed=False)), DAG_CBOR)
    if not verify(listing.by, DOMAIN, body.bytes, listing.signature):
        raise ListingUnsigned(cid=listing.cid, by=listing.by)


def decode_listing(data: bytes, cid: Cid) -> Listing:
    """Read a stranger's block; every field is checked for its type."""
    if len(data) > _LIMIT:
        raise ListingInvalid(cid=cid, reason=f"{len(data)} bytes, the limit is {_LIMIT}")
    block = dag_cbor.decode(data)
    if not isinstance(block, dict) or block.get("kind") != "listing" or block.get("v") != 1:
        raise ListingInvalid(cid=cid, reason="kind or version")
    try:
        features = tuple(
            Feature(
                _text(f, "name"), _text(f, "mean"), _text(f, "spread"), _text(f, "unit"), tuple(_texts(f, "aliases"))
            )
            for f in _maps(block, "features")
        )
        circuits = tuple(
            CircuitRef(_bytes(c, "id"), _cid(c, "manifest"), _cid(c, "key"), _int(c, "batch_rows"), _text(c, "input"))
            for c in _maps(block, "circuits")
        )
        price = block["price"]
        listing = Listing(
            name=_text(block, "name"),
            record=_bytes(block, "record"),
            owner=_text(block, "owner"),
            kinds=tuple(_texts(block, "kinds")),
            features=features,
            classes=tuple(_texts(block, "classes")),
            target=_text(block, "target"),
            bits=_int(block, "bits"),
            model=_cid(block, "model"),
            weights=_cid(block, "weights"),
            price=Price(wei_from_bytes(_bytes(price, "base")), wei_from_bytes(_bytes(price, "per_row"))),
            tiers=tuple(_texts(block, "tiers")),
            circuits=circuits,
            licence=_text(block, "licence"),
            may_distill=block["may_distill"] is True,
            trained_on=tuple(_typed(block, "trained_on", Cid)),
            evaluations=tuple(_typed(block, "evaluations", Cid)),
            endpoints=tuple(_texts(block, "endpoints")),
            ancestors=tuple(_typed(block, "ancestors", bytes)),
            target_mean=_text(block, "target_mean"),
            target_spread=_text(block, "target_spread"),
            proved_from=None if block["proved_from"] is None else _int(block, "proved_from"),
            by=_text(block, "by"),
            signature=_bytes(block, "signature"),
            cid=cid,
        )
    except (KeyError, TypeError) as error:
        raise ListingInvalid(cid=cid, reason=error) from None
    if encode_listing(listing) != data:
        raise ListingInvalid(cid=cid, reason="it holds fields this version does not know")
    return listing


def _text(block: Mapping[str, object], name: str) -> str:
    return _one(block, name, str)


def _bytes(block: Mapping[str, object], name: str) -> bytes:
    return _one(block, name, bytes)


def _cid(block: Mapping[str, object], name: str) -> Cid:
    return _one(block, name, Cid)


def _int(block: Mapping[str, object], name: str) -> int:
    return _one(block, name, int)


def _one(block: Mapping[str, object], name: str, kind: type[T]) -> T:
    value = block[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _typed(block: Mapping[str, object], name: str, kind: type[T]) -> list[T]:
    value = block[name]
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise TypeError(f"{name} is not a list of {kind.__name__}")
    return cast("list[T]", value)


def _texts(block: Mapping[str, object], name: str) -> list[str]:
    return _typed(block, name, str)


def _maps(block: Mapping[str, object], name: str) -> list[dict[str, object]]:
    return _typed(block, name, dict)


LISTING_FIELDS = tuple(field.name for field in fields(Listing) if field.name != "cid")
