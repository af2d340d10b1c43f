"""The development node: one operator's real ledger in one process and one SQLite file.

It speaks Stardust's REST interface, so the unmodified iota-sdk uses it, and signs milestones with its own two keys.
It takes data blocks; transactions of the ledger's own coin are refused. It is no peer of Hornet: it does not
gossip.
"""
