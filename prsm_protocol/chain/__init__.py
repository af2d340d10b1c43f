"""The chain: a connection, one client a contract, signers, a sender that sends once, deployment, a local anvil.

Clients answer reads with values of the domain and writes with a `Call`; `Sender` journals, signs, sends and confirms
calls.
"""

from __future__ import annotations

from prsm_protocol.chain.client import Block, Call, Event
from prsm_protocol.chain.connection import Chain, Connection, TransactionReceipt, connect
from prsm_protocol.chain.deployed import Deployment
from prsm_protocol.chain.sender import Prepared, Sender
from prsm_protocol.chain.signer import PrivateKeySigner, WalletSigner

__all__ = [
    "Block",
    "Call",
    "Chain",
    "Connection",
    "Deployment",
    "Event",
    "Prepared",
    "PrivateKeySigner",
    "Sender",
    "TransactionReceipt",
    "WalletSigner",
    "connect",
]
