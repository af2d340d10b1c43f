"""A step's process: its limits hold, its end has a name, and nothing of it stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from provers.circuits import Circuit, load
from provers.errors import FileDamaged, ProofInvalid, WorkerFault, WorkerKilled, WorkerMemory
from provers.keys import KeyCache, Keys, cache_key
from provers.launch import Limits, error_text, launch, start_time
from provers.setup_files import SetupFile, SetupFiles
from provers.tasks import EZKL_VERSION, digest, felt
from prsm_protocol.rules.oracle.tiers import Setup
from tests.provers.conftest import SALT, Built, Prover, rows

ROW, CONTEXT = rows(1, seed=33)[0], b"\x21" * 32
LIMITS = Limits(seconds=120, address_space=None, threads=2)


class Bench:
    """A built circuit's files, for steps that are started by hand."""

    def __init__(self, prover: Prover, name: str, folder: Path) -> None:
        self.circuit: Circuit = load(prover.home / "circuits" / name)
        manifest = self.circuit.manifest
        found = SetupFiles(prover.home / "setup").find(Setup.SINGLE, manifest.setup_k)
        assert found is not None
        self.setup: SetupFile = found
        key = cache_key(manifest.model.hex(), manifest.settings.hex(), found.digest, EZKL_VERSION)
        keys = KeyCache(prover.home / "cache", 1 << 40).find(key)
        assert keys is not None
        self.keys: Keys = keys
        self.folder = folder / name

    def values(self, **changes: object) -> dict[str, object]:
        manifest = self.circuit.manifest
        return {
            "row": ROW,
            "salt": SALT if manifest.hashed_input else [],
            "context": CONTEXT.hex(),
            "compiled": self.keys.path("compiled"),
            "compiled_digest": self.keys.digests["compiled"],
            "key": self.keys.path("proving"),
            "key_digest": self.keys.digests["proving"],
            "srs": str(self.setup.path),
            "srs_digest": self.setup.digest,
            "verifying_key": str(self.circuit.file("verifying.key")),
            "settings": str(self.circuit.file("settings.json")),
            "model": str(self.circuit.file("model.onnx")),
            "proof": str(self.folder / "proof.json"),
            "inputs": manifest.inputs,
            "outputs": manifest.outputs,
            "hashed": manifest.hashed_input,
            "bits": manifest.bits,
            "output_bits": manifest.output_bits,
            "allowed_ppm": manifest.allowed_error_ppm,
        } | changes

    def run(self, task: str, limits: Limits = LIMITS, **changes: object) -> dict[str, object]:
        values = self.values(**changes)
        return launch(task, values, self.folder, limits, tools=self.folder / "tools").values


@pytest.fixture
def bench(prover: Prover, built: dict[str, Built], tmp_path: Path) -> Callable[[str], Bench]:
    return lambda kind: Bench(prover, f"small_{kind}", tmp_path)


def is_gone(folder: Path) -> bool:
    """Whether no process works in this folder."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(folder) in (process / "cmdline").read_text() and start_time(int(process.name)):
                return False
        except OSError:
            continue
    return True


def test_foreign_key_hangs_and_is_stopped_at_the_limit(bench: Callable[[str], Bench]):
    ours, other = bench("public"), bench("hashed")
    ours.run("witness")
    limits = Limits(seconds=4, address_space=None)
    key = {"key": other.keys.path("proving"), "key_digest": other.keys.digests["proving"]}
    with pytest.raises((WorkerKilled, WorkerFault)) as caught:  # it hangs, or panics, depending on the two shapes
        ours.run("prove", limits, **key)
    if isinstance(caught.value, WorkerKilled):
        assert caught.value.values["cause"] == "TIMEOUT"
    assert is_gone(ours.folder)


def test_wrong_key_is_noticed_before_it_hangs(bench: Callable[[str], Bench]):
    ours, other = bench("public"), bench("hashed")
    ours.run("witness")
    with pytest.raises(FileDamaged, match=r"proving\.key"):
        ours.run("prove", key=other.keys.path("proving"))


def test_step_is_stopped_when_its_time_is_up(tmp_path: Path):
    started = time.monotonic()
    with pytest.raises(WorkerKilled, match="TIMEOUT"):
        launch("make_srs", {"k": 18}, tmp_path, Limits(seconds=0.3, address_space=None), tools=tmp_path / "tools")
    assert time.monotonic() - started < 5
    assert is_gone(tmp_path)


def test_step_is_stopped_when_it_is_cancelled(bench: Callable[[str], Bench]):
    ours, cancelled = bench("public"), Event()
    cancelled.set()
    with pytest.raises(WorkerKilled, match="CANCELLED"):
        launch("make_srs", {"k": 16}, ours.folder, LIMITS, tools=ours.folder, cancelled=cancelled)
    assert is_gone(ours.folder)


def test_step_is_stopped_at_its_deadline(tmp_path: Path):
    with pytest.raises(WorkerKilled, match="DEADLINE"):
        launch("make_srs", {"k": 17}, tmp_path, LIMITS, tools=tmp_path / "tools", deadline=time.time() + 0.2)
    assert is_gone(tmp_path)


def test_step_that_ignores_signals_is_stopped_all_the_same(tmp_path: Path):
    stopped: list[int] = []

    def ignore(pid: int, since: int) -> None:
        os.kill(pid, signal.SIGSTOP)  # a stopped process answers no signal but the last one
        stopped.append(pid)

    with pytest.raises(WorkerKilled, match="TIMEOUT"):
        launch(
            "make_srs",
            {"k": 6},
            tmp_path,
            Limits(seconds=1, address_space=None),
            tools=tmp_path / "tools",
            on_start=ignore,
        )
    assert start_time(stopped[0]) == 0


def test_step_beyond_its_memory_ends_by_name(tmp_path: Path):
    limit = 120 << 20
    with pytest.raises(WorkerMemory, match=str(limit)):
        launch("make_srs", {"k": 20}, tmp_path, Limits(seconds=60, address_space=limit), tools=tmp_path / "tools")


def test_panic_is_a_failure_like_any_other(bench: Callable[[str], Bench]):
    ours = bench("public")
    ours.run("witness")
    broken = ours.folder / "broken.compiled"
    broken.write_bytes(Path(ours.keys.path("compiled")).read_bytes()[:-500])
    with pytest.raises(WorkerFault, match="step prove failed with exit code"):
        ours.run("prove", compiled=str(broken), compiled_digest=digest(broken))


def test_proof_of_a_tampered_witness_does_not_leave(bench: Callable[[str], Bench]):
    ours = bench("public")
    ours.run("witness")
    path = ours.folder / "witness.json"
    witness = json.loads(path.read_text())
    changed = int.from_bytes(bytes.fromhex(witness["outputs"][0][0]), "little") + 1
    witness["outputs"][0][0] = felt(changed)
    path.write_text(json.dumps(witness))
    try:
        ours.run("prove")
    except WorkerFault:
        return  # refused even earlier
    with pytest.raises(ProofInvalid):
        ours.run("check")


@pytest.mark.parametrize("change", ["row", "salt", "context"])
def test_proof_of_another_request_does_not_leave(bench: Callable[[str], Bench], change: str):
    ours = bench("hashed")
    ours.run("witness")
    ours.run("prove")
    assert ours.run("check")["proof"]
    others: dict[str, object] = {
        "row": [ROW[0] + 1, *ROW[1:]],
        "salt": [SALT[0] + 1, *SALT[1:]],
        "context": (b"\x22" * 32).hex(),
    }
    with pytest.raises(ProofInvalid, match="not those of the request"):
        ours.run("check", **{change: others[change]})


def test_input_that_overflows_the_circuit_cannot_be_proved(bench: Callable[[str], Bench]):
    from provers.errors import Unprovable

    with pytest.raises(Unprovable):
        bench("public").run("witness", row=[1 << 60] * len(ROW))


def test_settings_and_keys_are_the_same_each_time(bench: Callable[[str], Bench], tmp_path: Path):
    ours = bench("public")
    (tmp_path / "rows.json").write_text(json.dumps(rows(40)))
    seen = set()
    for turn in range(4):  # the prover's own order of tables changes every other run
        values: dict[str, object] = {
            "model": str(ours.circuit.file("model.onnx")),
            "rows": str(tmp_path / "rows.json"),
            "take": list(range(8)),
            "bits": ours.circuit.manifest.bits,
            "hashed": False,
            "base": 256,
            "legs": 4,
            "columns": 1,
            "max_k": 17,
        }
        seen.add(str(launch("compile", values, tmp_path / str(turn), LIMITS, tools=tmp_path).values["settings"]))
    assert seen == {ours.circuit.manifest.settings.hex()}
    again: dict[str, object] = {
        "compiled": str(tmp_path / "3" / "circuit.compiled"),
        "srs": str(ours.setup.path),
    }
    found = launch("setup", again, tmp_path / "keys", LIMITS, tools=tmp_path).values
    assert found == {name: ours.keys.digests[name] for name in ("verifying", "proving")}


def test_worker_dies_with_its_parent(tmp_path: Path):
    program = (
        "import sys\nfrom pathlib import Path\nfrom provers.launch import Limits, launch\n"
        "launch('make_srs', {'k': 17}, Path(sys.argv[1]), Limits(120, None), tools=Path(sys.argv[1]) / 'tools',"
        " on_start=lambda pid, since: print(pid, flush=True))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    until = time.monotonic() + 30
    while not (tmp_path / "tools").exists() or not start_time(worker):
        assert time.monotonic() < until
    time.sleep(0.5)  # it asks to die with its parent as its first act
    parent.kill()
    parent.wait()
    while start_time(worker):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_worker_has_no_network(tmp_path: Path):
    script = (
        "import socket\nfrom provers.worker import leave_network\nleave_network()\n"
        "try:\n socket.create_connection(('192.0.2.1', 80), timeout=1)\nexcept OSError as error:\n print(error.errno)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "101"  # network is unreachable: refused at once, not after a second


def test_error_text_holds_no_input(tmp_path: Path):
    (tmp_path / "stderr").write_text("bad value 1, 2, 3 of 0123456789abcdef0123 at line 7")
    assert error_text(tmp_path) == "bad value … of … at line 7"


def test_workers_run_at_once_in_their_own_groups(tmp_path: Path):
    groups: list[int] = []
    parts = [
        Thread(
            target=launch,
            args=("make_srs", {"k": 6}, tmp_path / str(at), LIMITS),
            kwargs={"tools": tmp_path / "tools", "on_start": lambda pid, since: groups.append(os.getpgid(pid))},
        )
        for at in range(2)
    ]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
    assert len({*groups, os.getpgid(0)}) == 3
