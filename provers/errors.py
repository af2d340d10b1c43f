"""What goes wrong in a prover.

    ProverError
    ├── CircuitError       models, circuits and their folders
    ├── SetupFileError     set-up files
    ├── EstimateError      work that would be too large or too late
    ├── JobError           requests and jobs
    ├── WorkerError        one step's process
    └── RendererError      the verifier's source and code

A worker's error travels to its parent as name and values, hence they all stand in this one file.
"""

from __future__ import annotations

from prsm_protocol.errors import ProverError, UsageError


class CircuitError(ProverError): ...


class SetupFileError(ProverError): ...


class EstimateError(ProverError): ...


class JobError(ProverError): ...


class WorkerError(ProverError): ...


class RendererError(ProverError): ...


# ── models and circuits ──────────────────────────────────────────────────────────────────────────────────────────────


class ModelRefused(CircuitError):
    text = "the model cannot become a circuit: {reason} (node {node!r}); export static Gemm and Relu layers"


class NotProvable(CircuitError):
    text = "no circuit of this model fits: {reason}; list it as staked or trusted, or take a smaller student"


class NotFaithful(CircuitError):
    text = "the circuit agrees with its model on {agreement_ppm} rows of a million, wanted {wanted_ppm}; use more bits"


class SetupNotDeterministic(CircuitError):
    text = "two set-ups of circuit {name!r} gave different {file}; nothing is published, report the prover's version"


class VerifierAcceptsFalse(CircuitError):
    text = "the verifier accepted a spoilt proof ({case}); nothing is published, report the prover's version"


class VerifierRefusesTrue(CircuitError):
    text = "the verifier contract refused a good proof of row {row}; nothing is published, report the prover's version"


class CircuitDamaged(CircuitError):
    text = "circuit {name!r}: {file} has digest {found}, the manifest says {expected}; fetch or build it again"


class CircuitExists(CircuitError):
    text = "a circuit named {name!r} exists with manifest {manifest}; a circuit never changes, so choose another name"


class CircuitNameInvalid(CircuitError):
    text = "circuit name {name!r} is not small letters, digits and underscores, at most 64"


class ManifestInvalid(CircuitError):
    text = "the manifest's field {field!r} is missing or malformed; fetch or build the circuit again"


class ProverVersionOther(CircuitError):
    text = "the circuit was built with ezkl {circuit}, installed is {installed}; install that version or build it again"


class CircuitSetAside(CircuitError):
    text = "circuit {circuit!r} is set aside: {reason}; build it again and retire this one"


class CircuitUnknown(CircuitError):
    text = "this prover has no circuit {circuit!r}; see GET /v1/circuits"


class FileUnknown(CircuitError):
    text = "a circuit has no file {name!r}; files are {files}"


# ── set-up files ─────────────────────────────────────────────────────────────────────────────────────────────────────


class SetupHashUnknown(SetupFileError):
    text = "set-up file with digest {digest} belongs to no known ceremony; bring the published file"


class SetupOtherCeremony(SetupFileError):
    text = "the set-up file's powers are not those of the {expected} ceremony (first difference: {found})"


class SetupTooSmall(SetupFileError):
    text = "the set-up file holds 2^{k} rows, the circuit needs 2^{needed}; bring a larger one"


class SetupTruncated(SetupFileError):
    text = "the set-up file has {bytes} bytes, {expected} are expected; fetch it again"


class SetupKindRefused(SetupFileError):
    text = "a set-up of kind {kind} is refused on network {network!r}: whoever made it can forge any proof"


class SetupMissing(SetupFileError):
    text = "no {kind} set-up file for 2^{k} rows here; import one with python -m provers setup"


class SetupFormatInvalid(SetupFileError):
    text = "the set-up file is malformed at {where}; fetch it again"


# ── estimates ────────────────────────────────────────────────────────────────────────────────────────────────────────


class CircuitTooLarge(EstimateError):
    text = (
        "a proof would need about {needed_bytes} bytes of {available_bytes} and {needed_seconds} s of {limit_seconds} "
        "({basis}); prove fewer rows at once, take a smaller student, or list it as staked or trusted"
    )


class CacheFull(EstimateError):
    text = "the key cache holds {free} bytes beside what is in use and {needed} are needed; raise its limit"


class ProofTooSlow(EstimateError):
    text = "a proof takes about {predicted_seconds} s and {left_seconds} s are left until the deadline; ask earlier"


# ── requests and jobs ────────────────────────────────────────────────────────────────────────────────────────────────


class InputShapeWrong(JobError):
    text = "{name} has {got} values where the circuit takes {expected}"


class InputOutOfRange(JobError):
    text = "input {index} is {value}, outside {low} to {high} that the circuit was built for"


class ContextMissing(JobError):
    text = "context {context!r} is not 32 bytes in hexadecimal; a proof that is bound to nothing can be copied"


class SaltRefused(JobError):
    text = "{reason}; a hashed circuit takes 5 salt words below 2**31, a public one none"


class QueueFull(JobError):
    text = "{open} jobs are open and {limit} are taken at once; try again after one has ended"


class JobUnknown(JobError):
    text = "no job {id!r} here; proofs are kept for 7 days"


class JobOther(JobError):
    text = "key {key!r} was used for another request; a key names one request for ever"


class InputLost(JobError):
    text = "the private input of job {id!r} is gone (it lay in memory and the machine restarted); ask again"


class OutputDrift(JobError):
    text = "output {index} is {fixed} in the circuit and {floating} in the model, allowed {allowed}; circuit set aside"


class ProofInvalid(JobError):
    text = "the proof just made does not verify: {reason}; it is thrown away"


class Unprovable(JobError):
    text = "this input cannot be proved: {reason}; nobody is to blame and nothing is retried"


class HomeBusy(ProverError):
    exit_code = 7
    text = "another prover uses {home}; stop it or choose another home"


class TokenWrong(JobError):
    text = "the bearer token is missing or wrong; it lies in the prover's home in the file token"


class RequestTooLarge(UsageError):
    text = "the body has {bytes} bytes, {limit} are taken"


# ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class WorkerKilled(WorkerError):
    text = "step {task} was stopped after {seconds} s: {cause}"


class WorkerFault(WorkerError):
    text = "step {task} failed with exit code {exit}: {reason}"


class WorkerMemory(WorkerError):
    text = "step {task} needed more than its {limit_bytes} bytes of memory"


class FileDamaged(WorkerError):
    text = "file {file!r} has digest {found}, expected {expected}; it is made or fetched again"


# ── renderer ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class RendererFailed(RendererError):
    text = "the verifier's source could not be written: {reason}"


class CompilerMissing(RendererError):
    text = "no compiler at {path!r}; run scripts/setup_solc.sh or set {setting}"


class VerifierTooLarge(RendererError):
    text = "the verifier has {bytes} bytes, a contract may have {limit}; hash the input or use one inner column"


class ChainBinaryMissing(RendererError):
    text = "no anvil at {path!r}, on which a new verifier is tried; run npm ci or set {setting}"


_ALL: dict[str, type[ProverError] | type[UsageError]] = {
    kind.__name__: kind
    for kind in list(globals().values())
    if isinstance(kind, type) and issubclass(kind, ProverError | UsageError)
}


def rebuild(name: str, values: dict[str, object]) -> ProverError | UsageError:
    """The error that another process raised, from its name and values; an unknown name becomes a fault."""
    kind = _ALL.get(name)
    if kind is None:
        return WorkerFault(task=name, exit=2, reason=str(values)[:500])
    return kind(**values)
