"""The proving service: circuits of small models, their set-ups and keys, and proofs that are checked before they leave.

Uses the package's rules, trace, content, types, errors and settings, and reaches nothing else of it: a node talks to a
prover over HTTP only. The service's own process never loads the proof system; each heavy step is a fresh process with
limits.
"""
