"""PRSM: Protocol for Recursive Scientific Modeling."""

__version__ = "0.1.0"
