from prsm_protocol.testing import accounts, advance, anvil, chain, deployment, send

__all__ = ["accounts", "advance", "anvil", "chain", "deployment", "send"]
