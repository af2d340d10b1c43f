"""`prsm circuit`: whether a model can be proved and at what cost; its circuit, built, listed, checked and announced."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prsm_protocol.cli.common import As, Ended, Json, app, err, out, print_json, reporting
from prsm_protocol.errors import UsageError

if TYPE_CHECKING:
    from prsm_protocol.distillation.circuit import Prover
    from prsm_protocol.types import Progress
    from prsm_protocol.workflow.network import Network

circuit = typer.Typer(help="circuits of the world's prover", no_args_is_help=True)
app.add_typer(circuit, name="circuit")

Circuit = Annotated[str, typer.Argument(metavar="CIRCUIT", help="a circuit's name, manifest CID or id")]


class VisibilityUnknown(UsageError):
    text = "--input {value!r} is unknown; hashed keeps rows private, public shows them to whoever sees the proof"


class LabelsUnknown(UsageError):
    text = "--labels {value!r} is unknown; sign (two classes), argmax (more) or value (a number)"


class BitsRefused(UsageError):
    text = "--bits {value} cannot be; fixed-point words of a circuit have 7 to 13 bits behind the point"


class ModelUnreadable(UsageError):
    exit_code = 1
    text = "{path} cannot be read: {reason}"


class CellNotNumber(UsageError):
    exit_code = 1
    text = "{path} line {line}, column {column!r}: {cell!r} is not a number"


@circuit.command()
def build(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="ONNX file: one float input [1, n], one output [1, m]")
    ],
    rows: Annotated[
        Path, typer.Option(help="CSV with a header: numbers as the model takes them, for calibration and checks")
    ],
    name: Annotated[str, typer.Option(help="small letters, digits and underscores")],
    input_: Annotated[
        str, typer.Option("--input", help="hashed: rows stay private; public: rows stand in the proof")
    ] = "hashed",
    labels: Annotated[
        str, typer.Option(help="how answers are read when agreement is measured: sign, argmax or value")
    ] = "value",
    bits: Annotated[int, typer.Option(help="bits behind the point of an input word, 7 to 13")] = 10,
    estimate_only: Annotated[
        bool, typer.Option("--estimate-only", help="say what a proof would cost, build nothing")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a circuit from a model, and check it against the model on every row."""
    with reporting(as_json):
        if input_ not in ("hashed", "public"):
            raise VisibilityUnknown(value=input_)
        if labels not in ("sign", "argmax", "value"):
            raise LabelsUnknown(value=labels)
        if not 7 <= bits <= 13:
            raise BitsRefused(value=bits)
        data = _read(model)
        words = read_rows(rows, bits)
        prover = prover_of_world()[1]
        if estimate_only:
            _show_estimate(prover.estimate(data, input_visibility=input_), as_json)
            return
        built = prover.build(
            name, data, words, bits=bits, input_visibility=input_, labels_from=labels, report=_progress()
        )  # fmt: skip
        shown = prover.circuit(str(built.report.manifest))
        if as_json:
            print_json(shown)
        else:
            _show_circuit(shown)
            out.print(f"next: prsm prove {name} --input row.csv, or prsm circuit announce {name}")


@circuit.command("list")
def list_(as_json: Json = False) -> None:
    """Circuits that the prover holds."""
    with reporting(as_json):
        found = prover_of_world()[1].circuits()
        if as_json:
            print_json({"circuits": found})
            return
        for each in found:
            out.print(
                f"{each['name']}  {each['input_visibility']}  2^{each['k']} rows  {each['prove_us'] / 1e6:.2f} s  {each['manifest']}",
                markup=False,
            )
        if not found:
            out.print("no circuits yet; next: prsm circuit build MODEL --rows FILE --name NAME")


@circuit.command()
def show(name: Circuit, as_json: Json = False) -> None:
    """Everything measured about a circuit."""
    with reporting(as_json):
        found = prover_of_world()[1].circuit(name)
        if as_json:
            print_json(found)
        else:
            _show_circuit(found)


@circuit.command()
def check(name: Circuit, as_json: Json = False) -> None:
    """Build its key and verifier once more and compare, as a stranger does during a circuit's notice. Exit 1 when they differ."""
    with reporting(as_json):
        err.print("  building key and verifier again", style="dim")
        found = prover_of_world()[1].check(name)
        if as_json:
            print_json(found)
        elif found["same"]:
            out.print(f"{name}: key and verifier are the ones that its model and settings give")
        else:
            for difference in found["differences"]:
                out.print(f"DIFFERS {difference}", markup=False)
        if not found["same"]:
            raise Ended(1)


@circuit.command()
def announce(name: Circuit, person: As = "asker", as_json: Json = False) -> None:
    """Deploy the circuit's verifier and announce it against the bond, which returns after its hold."""
    from prsm_protocol.distillation import publish
    from prsm_protocol.distillation.circuit import BuiltCircuit, report_from_json
    from prsm_protocol.types import format_ftns
    from prsm_protocol.workflow.world import World

    with reporting(as_json):
        _, prover = prover_of_world()
        home = World().home(person)
        report = report_from_json(prover.circuit(name))
        home.store.put_many([(report.manifest, prover.file(report.manifest, "manifest.cbor"))])
        bond = home.chain.router.announce_bond()
        key = f"announce:{report.circuit_id.hex()[:16]}"
        known = home.chain.router.bond_of(report.circuit_id)[0] != publish.NOBODY
        if not known:
            home.fund_vault(f"{key}:bond", bond)
        publish.announce(home.chain, home.sender, key, BuiltCircuit(report, prover.verifier(report.manifest)))
        state = home.chain.router.state_of(report.circuit_id)
        announcer, held = home.chain.router.bond_of(report.circuit_id)
        if as_json:
            print_json({"circuit_id": "0x" + report.circuit_id.hex(), "announcer": announcer, "bond_wei": str(held),
                        "enabled_from": state.enabled_from, "was_announced": known})  # fmt: skip
            return
        out.print(
            f"circuit 0x{report.circuit_id.hex()} {'was announced already' if known else 'announced'} by {announcer}"
        )
        out.print(f"  bond {format_ftns(held)} FTNS; usable from {state.enabled_from} (chain time)")


# ── shared with `prsm prove` ─────────────────────────────────────────────────────────────────────────────────────────


def prover_of_world() -> tuple[Network, Prover]:
    """The running world's prover, with its token."""
    from prsm_protocol.distillation.circuit import Prover
    from prsm_protocol.workflow.world import World

    network = World().network()
    return network, Prover(network.prover, Path(network.prover_token_file))


def read_rows(path: Path, bits: int) -> list[list[int]]:
    """A table's numbers as words of a circuit."""
    from prsm_protocol.content.table import read_table
    from prsm_protocol.rules.front import number
    from prsm_protocol.rules.oracle.instances import quantise

    table = read_table(path)
    words = []
    for line, cells in zip(table.lines, table.rows, strict=True):
        row = []
        for column, cell in zip(table.columns, cells, strict=True):
            value = number(cell)
            if value is None:
                raise CellNotNumber(path=path, line=line, column=column, cell=cell)
            row.append(quantise(value, bits))
        words.append(row)
    return words


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelUnreadable(path=path, reason=(error.strerror or str(error)).lower()) from None


def _progress() -> Any:
    last = ""

    def show(progress: Progress) -> None:
        nonlocal last
        line = f"{progress.note} {progress.done}/{progress.total}"
        if line != last:
            err.print(f"  {line}", style="dim", markup=False)
            last = line

    return show


def _show_estimate(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for key, value in found.items():
        for name, each in value.items() if isinstance(value, dict) else [(key, value)]:
            out.print(f"{name:18}{each:,}" if isinstance(each, int) else f"{name:18}{each}", markup=False)


def _show_circuit(found: dict[str, Any]) -> None:
    out.print(
        f"{found['name']}: {found['inputs']} inputs ({found['input_visibility']}), {found['outputs']} outputs",
        markup=False,
    )
    out.print(f"  manifest  {found['manifest']}")
    out.print(f"  id        {found['circuit_id']}")
    out.print(f"  size      2^{found['k']} rows, {found['rows']:,} used; {found['words']} words in a proof")
    out.print(
        f"  proof     {found['prove_us'] / 1e6:.2f} s, {found['peak_bytes'] / 2**20:.0f} MiB; {found['verify_gas']:,} gas to verify"
    )
    out.print(
        f"  agrees    with the model on {found['agreement_ppm'] / 10_000:g} % of rows, largest error {found['largest_error_ppm']} ppm"
    )
    out.print(f"  set-up    {found['setup']}{'; ' + found['warning'] if found['warning'] else ''}")
    if found["aside"]:
        out.print(f"  SET ASIDE: {found['aside']}", markup=False)
