"""The deployed protocol on a local chain, for parity with the contract."""

from prsm_protocol.testing import accounts, advance, anvil, chain, deployment, send

__all__ = ["accounts", "advance", "anvil", "chain", "deployment", "send"]
