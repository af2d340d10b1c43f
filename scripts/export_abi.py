"""Compile the nine contracts and write what the package needs of each into prsm_protocol/chain/abi/<Name>.json.

A file holds the ABI, the creation bytecode, the hash and size of the runtime code with its immutables set to zero,
where those lie, and the notice of every error, which becomes the sentence of the Python exception. The settings are
foundry.toml's.

    python scripts/export_abi.py           write the files
    python scripts/export_abi.py --check   exit 1 and name the files that a fresh compile would change
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "prsm_protocol" / "chain" / "abi"

SOURCES = {
    "FTNS": "contracts/token/FTNS.sol",
    "Vault": "contracts/token/Vault.sol",
    "Provenance": "contracts/registry/Provenance.sol",
    "Royalties": "contracts/registry/Royalties.sol",
    "OracleRegistry": "contracts/oracle/OracleRegistry.sol",
    "VerifierRouter": "contracts/oracle/VerifierRouter.sol",
    "AttestationHub": "contracts/oracle/AttestationHub.sol",
    "Channels": "contracts/channel/Channels.sol",
    "Escrow": "contracts/market/Escrow.sol",
}

RUNTIME_LIMIT = 24_576  # bytes of code that a chain accepts (EIP-170)


class CompileFailed(Exception):
    """The compiler's own words."""


def standard_input(sources: dict[str, str], profile: dict[str, Any]) -> dict[str, Any]:
    """The compiler's input for these contracts with the settings of foundry.toml."""
    return {
        "language": "Solidity",
        "sources": {path: {"content": (ROOT / path).read_text()} for path in sources.values()},
        "settings": {
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "evmVersion": profile["evm_version"],
            "viaIR": profile["via_ir"],
            "metadata": {"bytecodeHash": profile["bytecode_hash"]},
            "remappings": profile["remappings"],
            "outputSelection": {
                path: {name: ["abi", "userdoc", "evm.bytecode.object", "evm.deployedBytecode"]}
                for name, path in sources.items()
            },
        },
    }


def compile_contracts(sources: dict[str, str] = SOURCES) -> dict[str, dict[str, Any]]:
    """What would be written for each contract, from a fresh compile."""
    profile = tomllib.loads((ROOT / "foundry.toml").read_text())["profile"]["default"]
    solc = ROOT / profile["solc"]
    done = subprocess.run(
        [str(solc), "--standard-json"],
        input=json.dumps(standard_input(sources, profile)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if done.returncode != 0:
        raise CompileFailed(done.stderr)
    answer = json.loads(done.stdout)
    problems = [entry["formattedMessage"] for entry in answer.get("errors", []) if entry["severity"] == "error"]
    if problems:
        raise CompileFailed("\n".join(problems))
    version = json.loads((ROOT / "package.json").read_text())["devDependencies"]["solc"]
    compiler = {"solc": version, "evm": profile["evm_version"], "runs": profile["optimizer_runs"]}
    return {
        name: _document(name, answer["contracts"][path][name]) | {"compiler": compiler}
        for name, path in sources.items()
    }


def to_text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _document(name: str, output: dict[str, Any]) -> dict[str, Any]:
    runtime = output["evm"]["deployedBytecode"]
    code = bytearray.fromhex(runtime["object"])
    if len(code) > RUNTIME_LIMIT:
        raise CompileFailed(f"{name} has {len(code)} bytes of code; a chain accepts {RUNTIME_LIMIT}")
    ranges = sorted(
        [place["start"], place["length"]]
        for places in runtime.get("immutableReferences", {}).values()
        for place in places
    )
    for start, length in ranges:
        code[start : start + length] = bytes(length)
    notices = {
        signature: " ".join(entry["notice"] for entry in entries if "notice" in entry)
        for signature, entries in output["userdoc"].get("errors", {}).items()
    }
    bytecode = output["evm"]["bytecode"]["object"]
    if not re.fullmatch(r"[0-9a-f]+", bytecode):
        raise CompileFailed(f"{name} is abstract or needs a library to be linked")
    return {
        "abi": output["abi"],
        "bytecode": "0x" + bytecode,
        "code_keccak": "0x" + keccak(bytes(code)).hex(),
        "code_size": len(code),
        "immutables": ranges,
        "notices": {signature: notice for signature, notice in notices.items() if notice},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Export ABIs and bytecode of the contracts")
    parser.add_argument("--check", action="store_true", help="compare only")
    parser.add_argument("names", nargs="*", help="these contracts alone")
    options = parser.parse_args()
    sources = {name: SOURCES[name] for name in options.names} if options.names else SOURCES
    try:
        documents = compile_contracts(sources)
    except CompileFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    stale = []
    for name, document in documents.items():
        path = TARGET / f"{name}.json"
        if path.is_file() and path.read_text() == to_text(document):
            continue
        stale.append(name)
        if not options.check:
            path.write_text(to_text(document))
            print(f"{path.relative_to(ROOT)}: {document['code_size']} bytes of code")
    if options.check and stale:
        print(f"stale: {', '.join(stale)}; run scripts/export_abi.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
