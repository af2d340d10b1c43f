"""What is expected to go wrong.

Every error of the project derives from `PrsmError`, names one cause and carries the values that show it. An error writes its
own sentence and says what to do next; it does nothing else. Each package keeps its own leaves beside the code that raises
them, under one of these branches:

    PrsmError
    ├── UsageError            the caller asked for something that cannot be (exit 2)
    ├── ChainError            the chain refused or could not be reached; contract errors by their own names
    ├── LedgerError           the tangle
    ├── ContentError          blocks, CIDs, stores, gateways
    ├── IdentityError         keys, key files, signatures
    ├── ModelError            models that chat, embed or predict
    ├── TraceError            blocks, seals, bundles of a run's record
    ├── OrchestrationError    questions, plans, routes, answers
    ├── DistillationError     from a teacher to a listed student
    ├── WorkflowError         durable runs, effects, recovery, funds
    ├── ProverError           circuits, set-up files, proofs
    ├── NodeError             an operator's node
    └── WorldError            the local world of `prsm up`
"""

from __future__ import annotations

_RESERVED = {"name", "values", "text", "exit_code", "args"}
"""Values of these names are read from `values`, since the attributes mean something else."""


class PrsmError(Exception):
    """Base of everything that is expected to go wrong.

    Subclasses are written with keyword values: `class BudgetTooLow(WorkflowError): text = "budget {budget} …"`. The values
    become attributes and fill `text`; `exit_code` is what the command line ends with.
    """

    text: str = ""
    exit_code: int = 1

    def __init__(self, **values: object) -> None:
        self.values: dict[str, object] = values
        for name, value in values.items():
            if name not in _RESERVED:
                setattr(self, name, value)
        super().__init__(self.text.format(**values))

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.values)

    @property
    def name(self) -> str:
        """The error's name as it appears in `--json`, in HTTP answers and in traces."""
        return type(self).__name__


def _rebuild(kind: type[PrsmError], values: dict[str, object]) -> PrsmError:
    return kind(**values)


class UsageError(PrsmError):
    exit_code = 2


class ChainError(PrsmError): ...


class LedgerError(PrsmError): ...


class ContentError(PrsmError): ...


class IdentityError(PrsmError): ...


class ModelError(PrsmError): ...


class TraceError(PrsmError): ...


class OrchestrationError(PrsmError): ...


class DistillationError(PrsmError): ...


class WorkflowError(PrsmError): ...


class ProverError(PrsmError): ...


class NodeError(PrsmError): ...


class WorldError(PrsmError): ...
