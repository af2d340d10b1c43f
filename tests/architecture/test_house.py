"""The house as it is drawn: one stem a feature through every layer, no empty room. That exported ABIs are those of a fresh compile
is held by tests/chain/test_abi.py."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from prsm_protocol.chain.client import ContractClient
from scripts import export_abi
from tests.architecture.files import ROOT, tracked

CONTRACTS = sorted(export_abi.SOURCES)


def modules(*folders: str) -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py" and path.parts[0] in folders]


def clients() -> dict[str, str]:
    """Contract name → module of its client."""
    import importlib

    for path in modules("prsm_protocol"):
        if path.parts[1] == "chain" and len(path.parts) == 3:
            importlib.import_module(".".join(path.with_suffix("").parts).removesuffix(".__init__"))
    return {kind.NAME: kind.__module__.rpartition(".")[2] for kind in ContractClient.__subclasses__()}


@pytest.mark.parametrize("name", CONTRACTS)
def test_contract_has_interface_client_abi_and_tests(name: str) -> None:
    source = Path(export_abi.SOURCES[name])
    assert source in tracked()
    assert source.with_name(f"I{name}.sol") in tracked()
    assert Path(f"prsm_protocol/chain/abi/{name}.json") in tracked()
    assert Path(f"tests/contracts/forge/{name}.t.sol") in tracked()
    assert name in clients()


def test_every_deployable_contract_is_exported() -> None:
    found = {
        path.stem
        for path in tracked()
        if path.parts[0] == "contracts"
        and path.suffix == ".sol"
        and path.parts[1] not in ("base", "mocks")
        and f"\ncontract {path.stem} " in (ROOT / path).read_text()
    }
    assert found == set(CONTRACTS)


def test_rules_lie_in_the_domains_of_the_contracts() -> None:
    domains = {path.parts[1] for path in tracked() if path.parts[0] == "contracts" and len(path.parts) > 2}
    folders = {path.parts[2] for path in modules("prsm_protocol") if path.parts[1] == "rules" and len(path.parts) > 3}
    assert folders <= domains


@pytest.mark.parametrize("name", CONTRACTS)
def test_runtime_code_fits_a_chain(name: str) -> None:
    document = json.loads((ROOT / f"prsm_protocol/chain/abi/{name}.json").read_text())
    sizes = [value for key, value in document.items() if key == "code_size"]
    assert sizes, f"no code_size among {sorted(document)}"
    assert 0 < sizes[0] <= export_abi.RUNTIME_LIMIT == 24_576


def test_no_package_is_empty() -> None:
    packages = {path.parent for path in modules("prsm_protocol", "oracles", "provers") if path.name == "__init__.py"}
    empty = []
    for package in packages:
        inside = [path for path in tracked() if package in path.parents and path.name != "__init__.py"]
        body = ast.parse((ROOT / package / "__init__.py").read_text()).body
        if not inside and len(body) <= 1:
            empty.append(str(package))
    assert empty == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in modules("prsm_protocol", "oracles", "provers")}
    assert [str(folder) for folder in folders if folder / "__init__.py" not in tracked()] == []


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path)
        for path in modules("prsm_protocol", "oracles", "provers", "scripts")
        if (ROOT / path).stat().st_size and not ast.get_docstring(ast.parse((ROOT / path).read_text()))
    ]
    assert silent == []


def test_only_settings_reads_our_environment() -> None:
    """`PRSM_…` variables have one reader; a private one between a process and its own child is named here."""
    private = {"PRSM_LOCAL_MODEL_KEY"}
    found = []
    for path in modules("prsm_protocol", "oracles", "provers"):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            read = (
                isinstance(node, ast.Call | ast.Subscript)
                and "environ" in ast.unparse(node).split("(")[0].split("[")[0]
            )
            if read and "PRSM_" in ast.unparse(node) and not any(name in ast.unparse(node) for name in private):
                found.append(f"{path}:{node.lineno}")
    assert found == []
