"""Where steps run: admission by memory and cores, limits, and the files that circuits share.

Σ predicted memory stays within the budget and Σ threads within the cores; a step of a proof somebody waits for goes
before a step of a build.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event

from provers.circuits import Circuit
from provers.errors import CircuitDamaged, SetupNotDeterministic
from provers.estimate import MIN_SECONDS, Machine, ProofEstimate, address_space
from provers.keys import KeyCache, Keys, cache_key
from provers.launch import Limits, Outcome, launch
from provers.setup_files import SetupFile, SetupFiles
from provers.tasks import EZKL_VERSION
from prsm_protocol.rules.oracle.tiers import Setup
from prsm_protocol.types import thread_map

_LIGHT_BYTES = 1 << 30
"""Address space of a step that opens no key: reading a model loads its libraries and little else."""


SETUP_TRIES = 3
"""Two set-ups that agree are demanded. One disagreement in about 200 was seen (on a loaded machine, cause not found); a circuit
whose set-up really varies disagrees every time and is refused."""


class Gate:
    """Admits steps while memory and cores last; urgent ones first."""

    def __init__(self, memory_bytes: int, threads: int) -> None:
        self._memory, self._threads = memory_bytes, threads
        self._used_memory = self._used_threads = self._urgent_waiting = 0
        self._changed = Condition()

    @contextmanager
    def admitted(self, memory: int, threads: int, *, urgent: bool) -> Iterator[None]:
        memory, threads = min(memory, self._memory), min(threads, self._threads)
        with self._changed:
            self._urgent_waiting += urgent
            try:
                self._changed.wait_for(lambda: self._fits(memory, threads) and (urgent or not self._urgent_waiting))
            finally:
                self._urgent_waiting -= urgent
            self._used_memory += memory
            self._used_threads += threads
        try:
            yield
        finally:
            with self._changed:
                self._used_memory -= memory
                self._used_threads -= threads
                self._changed.notify_all()

    def _fits(self, memory: int, threads: int) -> bool:
        return self._used_memory + memory <= self._memory and self._used_threads + threads <= self._threads


class Workshop:
    """Runs steps of one home."""

    def __init__(self, home: Path, machine: Machine, setups: SetupFiles, cache: KeyCache) -> None:
        self.home, self.machine, self.setups, self.cache = home, machine, setups, cache
        self._gate = Gate(machine.memory_bytes, machine.threads)
        self._tools = home / "tools"

    def run(
        self,
        task: str,
        values: dict[str, object],
        folder: Path,
        *,
        estimate: ProofEstimate | None = None,
        seconds: float = MIN_SECONDS,
        threads: int = 1,
        urgent: bool = False,
        starts_program: bool = False,
        cancelled: Event | None = None,
        deadline: float | None = None,
        on_start: Callable[[int, int], None] | None = None,
    ) -> Outcome:
        """One step, once there is room for it. `starts_program`: a compiler or a chain, which limits would break."""
        space = _LIGHT_BYTES if estimate is None else max(_LIGHT_BYTES, address_space(estimate))
        memory = 200_000_000 if estimate is None else estimate.peak_bytes[1]
        limits = Limits(
            seconds=seconds,
            address_space=None if starts_program else space,
            threads=threads,
            isolated=not starts_program,
        )
        with self._gate.admitted(memory, threads, urgent=urgent):
            return launch(
                task,
                values,
                folder,
                limits,
                tools=self._tools,
                cancelled=cancelled,
                deadline=deadline,
                on_start=on_start,
            )

    def single_setup(self, k: int, folder: Path) -> SetupFile:
        """The development set-up of this size, made on first use."""

        def make(k: int) -> Path:
            self.run("make_srs", {"k": k}, folder, seconds=300, threads=self.machine.threads)
            return folder / "made.srs"

        with self.cache.making(f"srs-{k}"):
            return self.setups.single(k, make)

    def make_keys(
        self,
        name: str,
        source: dict[str, object],
        setup: SetupFile,
        digests: dict[str, str],
        folder: Path,
        estimate: ProofEstimate,
    ) -> Keys:
        """Both keys, made twice in two processes that must agree; found in the cache if they were made before.

        `source` names `compiled`, `model` and `settings`: the first process takes the compiled circuit, the second
        compiles its own, as a stranger would who rebuilds the circuit during its notice.
        """
        key = cache_key(digests["model"], digests["settings"], setup.digest, EZKL_VERSION)
        with self.cache.making(key):
            found = self.cache.find(key)
            if found is not None:
                return found
            first: dict[str, object] = {"compiled": source["compiled"], "srs": str(setup.path)}
            second: dict[str, object] = {**source, "srs": str(setup.path)}
            threads = max(1, self.machine.threads // 2)
            limit = max(120.0, 10 * estimate.seconds[1])
            for left in reversed(range(SETUP_TRIES)):
                made, again = self._set_up_twice(first, second, folder, estimate, limit, threads)
                differing = [file for file in made if made[file] != again[file]]
                if not differing:
                    break
                if not left:
                    raise SetupNotDeterministic(name=name, file=f"{differing[0]} key")
            shutil.copyfile(str(source["compiled"]), folder / "first" / "circuit.compiled")
            shutil.rmtree(folder / "second")
            return self.cache.put(key, folder / "first", {**_text(made), "compiled": digests["compiled"]})

    def _set_up_twice(
        self,
        first: dict[str, object],
        second: dict[str, object],
        folder: Path,
        estimate: ProofEstimate,
        limit: float,
        threads: int,
    ) -> tuple[dict[str, object], dict[str, object]]:
        twice = thread_map(
            lambda part: (
                self.run("setup", part[1], folder / part[0], estimate=estimate, seconds=limit, threads=threads).values
            ),
            (("first", first), ("second", second)),
            at_most=2,
        )
        made, again = (dict(item) for item in twice if isinstance(item, dict))
        return made, again

    def keys(self, circuit: Circuit, setup: SetupFile, estimate: ProofEstimate, folder: Path) -> Keys:
        """Keys of a circuit that may have left the cache, or never been here."""
        manifest = circuit.manifest
        model, settings = manifest.model.hex(), manifest.settings.hex()
        found = self.cache.find(cache_key(model, settings, setup.digest, EZKL_VERSION))
        if found is None:
            values: dict[str, object] = {
                "model": str(circuit.file("model.onnx")),
                "settings": str(circuit.file("settings.json")),
            }
            compiled = self.run("recompile", values, folder).values["compiled"]
            digests = {"model": model, "settings": settings, "compiled": str(compiled)}
            values["compiled"] = str(folder / "circuit.compiled")
            found = self.make_keys(circuit.name, values, setup, digests, folder, estimate)
        if found.digests["verifying"] != manifest.verifying_key.hex():
            raise CircuitDamaged(
                name=circuit.name,
                file="verifying.key",
                expected=manifest.verifying_key.hex(),
                found=found.digests["verifying"],
            )
        return found

    def setup_of(self, circuit: Circuit) -> SetupFile:
        """The very file the circuit was built with: another one of its kind gives other keys."""
        manifest = circuit.manifest
        setup = self.setups.find(manifest.setup, manifest.setup_k)
        if setup is None or setup.digest != manifest.setup_file.hex():
            raise CircuitDamaged(
                name=circuit.name,
                file=f"set-up file {Setup(manifest.setup).name} 2^{manifest.setup_k}",
                expected=manifest.setup_file.hex(),
                found=setup.digest if setup else "none",
            )
        return setup


def _text(values: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
