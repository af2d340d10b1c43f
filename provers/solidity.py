"""The verifier's source becomes code: one compiler version, fixed options, hence one code hash on every machine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from provers.errors import CompilerMissing, RendererFailed, VerifierTooLarge
from provers.evm import die_with_parent
from prsm_protocol.rules.eip712 import keccak
from prsm_protocol.rules.oracle.circuits import CODE_LIMIT
from prsm_protocol.settings import settings

COMPILER = "0.8.37"
RUNS = 1
"""Optimise for size: a verifier is deployed once and must fit a contract."""
EVM_VERSION = "cancun"
"""Said, and not left to the compiler: it decides the code, and every chain of interest runs it."""
_FILE = "Verifier.sol"


def compiler_path() -> Path:
    path = settings().solc_folder / f"solc-v{COMPILER}"
    if not path.is_file():
        raise CompilerMissing(path=str(path), setting="PRSM_SOLC")
    return path


def compile_source(folder: Path, source: Path, name: str) -> dict[str, object]:
    """Compile into folder/verifier.json {abi, bytecode, code_hash}; refuses what no chain deploys."""
    request = {
        "language": "Solidity",
        "sources": {_FILE: {"content": source.read_text()}},
        "settings": {
            "optimizer": {"enabled": True, "runs": RUNS},
            "evmVersion": EVM_VERSION,
            "metadata": {"bytecodeHash": "none"},
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
        },
    }
    done = subprocess.run(
        [str(compiler_path()), "--standard-json"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        cwd=folder,
        preexec_fn=die_with_parent,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        raise RendererFailed(reason=f"the compiler ended with {done.returncode}: {done.stderr[-500:]}") from None
    errors = [item["message"] for item in answer.get("errors", []) if item["severity"] == "error"]
    if errors:
        raise RendererFailed(reason=errors[0][:500])
    contract = answer["contracts"][_FILE][name]
    code = bytes.fromhex(contract["evm"]["deployedBytecode"]["object"])
    if len(code) > CODE_LIMIT:
        raise VerifierTooLarge(bytes=len(code), limit=CODE_LIMIT)
    document: dict[str, object] = {
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "code_hash": "0x" + keccak(code).hex(),
    }
    (folder / "verifier.json").write_text(json.dumps(document))
    return {"bytecode": document["bytecode"], "code_hash": keccak(code).hex(), "bytes": len(code)}
