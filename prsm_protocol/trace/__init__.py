"""Signed, content-addressed record of a run, and the script with which a stranger checks it.

Knows blocks, seals, events and bundles; nothing of chains or models. `verify.py` imports nothing of this package.
"""
