"""Ten categories of failure, decided from the error alone: pure and total; the unknown is INPUT_OR_CODE.

Lower packages' errors are recognised by name, so that no import points upwards or sideways.
"""

from __future__ import annotations

from enum import Enum

import httpx

from prsm_protocol.errors import PrsmError
from prsm_protocol.types import DeadlinePassed


class Category(Enum):
    TRANSIENT_NETWORK = "TRANSIENT_NETWORK"
    TIMEOUT_STALL = "TIMEOUT_STALL"
    RESOURCE_EXHAUSTED = "RESOURCE_EXHAUSTED"
    WORKER_LOST = "WORKER_LOST"
    DEPENDENCY_DOWN = "DEPENDENCY_DOWN"
    INPUT_OR_CODE = "INPUT_OR_CODE"
    DATA_INTEGRITY = "DATA_INTEGRITY"
    ECONOMIC = "ECONOMIC"
    SECURITY_POLICY = "SECURITY_POLICY"
    VERSION_MISMATCH = "VERSION_MISMATCH"


_BY_NAME = {
    Category.TRANSIENT_NETWORK: {"LedgerBusy", "ModelBusy", "NodeUnreachable", "EndpointBusy"},
    Category.DEPENDENCY_DOWN: {
        "EndpointUnreachable", "LedgerUnavailable", "KuboUnavailable", "ProverUnreachable", "ModelUnavailable", "NotFoundAnywhere",
        "NoEndpoint",
    },
    Category.RESOURCE_EXHAUSTED: {"StoreFull", "CacheFull", "ModelTooLarge", "CircuitTooLarge", "QueueFull"},
    Category.DATA_INTEGRITY: {"BlockMismatch", "BlockCorrupt", "CircuitDamaged", "SealMismatch", "ChainBroken", "GatewayLied"},
    Category.SECURITY_POLICY: {"AccessRefused", "ListingUnsigned", "ReceiptInvalid", "ProofRejected", "RequestSignatureInvalid"},
    Category.VERSION_MISMATCH: {"UnknownRecord", "GenerationUnknown", "ProverVersionOther"},
}  # fmt: skip


def classify(error: BaseException) -> Category:
    """The category of an error."""
    if isinstance(error, DeadlinePassed | TimeoutError):
        return Category.TIMEOUT_STALL
    if isinstance(error, httpx.TransportError | ConnectionError):
        return Category.TRANSIENT_NETWORK
    if isinstance(error, MemoryError):
        return Category.RESOURCE_EXHAUSTED
    if isinstance(error, PrsmError):
        for category, names in _BY_NAME.items():
            if error.name in names:
                return category
        if error.name.startswith(("Escrow", "Vault", "Channels")) or error.name in {
            "BudgetExceeded",
            "BudgetTooLow",
            "FeeAboveLimit",
        }:
            return Category.ECONOMIC
    return Category.INPUT_OR_CODE


def is_transient(error: BaseException) -> bool:
    """May the same call succeed a moment later?"""
    return classify(error) in (Category.TRANSIENT_NETWORK, Category.DEPENDENCY_DOWN)
