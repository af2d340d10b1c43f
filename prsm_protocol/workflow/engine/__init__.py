"""A run survives the death of its process."""

from prsm_protocol.workflow.engine.dbos_engine import DbosEngine
from prsm_protocol.workflow.engine.port import Definition, Engine, RunState

__all__ = ["DbosEngine", "Definition", "Engine", "RunState"]
