"""A real Hornet 2.0.1 on a private network: genesis, bootstrap, node, and our coordinator beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from prsm_protocol.ledger.inclusion import Trust
from prsm_protocol.ledger.milestones import public_bytes
from prsm_protocol.ledger.rest import RestTransport
from prsm_protocol.ledger.transport import LedgerBusy, LedgerUnavailable

NETWORK = "prsm-hornet"
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([each]) * 32) for each in (21, 22)]
MINT = "tst1qq2kvnu9pqzptkggrpqrvltvagccsh6aj2fkdhla7p3lrsy9dwhdzu5l2ye"  # nobody spends here


def find_binary() -> Path | None:
    """Where `tests/nodes/build.sh` put it, or None."""
    folders = [os.environ.get("PRSM_NODES_BIN"), str(Path(__file__).parents[2] / ".tools/nodes")]
    found = [Path(each) / "hornet" for each in folders if each]
    return next((each for each in found if each.is_file()), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configure(home: Path, rest_port: int) -> Path:
    ranges = [{"key": public_bytes(each).hex(), "start": 0, "end": 0} for each in KEYS]
    config = {
        "app": {"checkForUpdates": False},
        "protocol": {"targetNetworkName": NETWORK, "milestonePublicKeyCount": 2, "publicKeyRanges": ranges},
        "db": {"engine": "pebble", "path": str(home / "db")},
        "p2p": {
            "bindMultiAddresses": [f"/ip4/127.0.0.1/tcp/{_free_port()}"],
            "db": {"path": str(home / "p2p")},
            "autopeering": {"enabled": False},
        },
        "snapshots": {
            "fullPath": str(home / "full.bin"),
            "deltaPath": str(home / "delta.bin"),
            "downloadURLs": [],
        },
        "restAPI": {
            "bindAddress": f"127.0.0.1:{rest_port}",
            "publicRoutes": ["/health", "/api/*"],
            "protectedRoutes": [],
        },
        "inx": {"enabled": False},
        "prometheus": {"enabled": False},
        "profiling": {"enabled": False},
    }
    path = home / "config.json"
    path.write_text(json.dumps(config))
    parameters = {
        "version": 2,
        "networkName": NETWORK,
        "bech32HRP": "tst",
        "minPoWScore": 0,
        "belowMaxDepth": 15,
        "rentStructure": {"vByteCost": 500, "vByteFactorData": 1, "vByteFactorKey": 10},
        "tokenSupply": "2779530283277761",
    }
    (home / "protocol_parameters.json").write_text(json.dumps(parameters))
    (home / "peering.json").write_text(json.dumps({"peers": []}))
    return path


def _tool(binary: Path, home: Path, *arguments: str) -> None:
    secrets = ",".join((each.private_bytes_raw() + public_bytes(each)).hex() for each in KEYS)
    environment = os.environ | {"COO_PRV_KEYS": secrets}
    command = [str(binary), "tool", *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def hornet(binary: Path, home: Path) -> Iterator[tuple[str, Trust]]:
    """A running node and the trust in its milestones."""
    port = _free_port()
    config = _configure(home, port)
    snapshot = str(home / "full.bin")
    _tool(
        binary,
        home,
        "snap-gen",
        f"--protocolParametersPath={home / 'protocol_parameters.json'}",
        f"--mintAddress={MINT}",
        f"--outputPath={snapshot}",
    )
    _tool(
        binary,
        home,
        "bootstrap-private-tangle",
        f"--configFile={config}",
        f"--snapshotPath={snapshot}",
        f"--databasePath={home / 'db'}",
        f"--cooStatePath={home / 'coordinator.state'}",
        "--databaseEngine=pebble",
    )
    log = (home / "hornet.log").open("wb")
    command = [str(binary), f"--config={config}", f"--peering={home / 'peering.json'}", "--syncedAtStartup"]
    process = subprocess.Popen(command, cwd=home, stdout=log, stderr=subprocess.STDOUT)
    rest = RestTransport([f"http://127.0.0.1:{port}"])
    issuing: subprocess.Popen[bytes] | None = None
    try:
        _wait_for(lambda: rest.info().latest >= 1, process, home)
        issuing = _coordinate(home, f"http://127.0.0.1:{port}")
        _wait_for(lambda: rest.info().latest >= 3, process, home)  # before that it has no tips
        trust = Trust.of([public_bytes(each).hex() for each in KEYS], 2, NETWORK)
        yield f"http://127.0.0.1:{port}", trust
    finally:
        if issuing is not None:
            issuing.terminate()
            assert issuing.wait(20) == 0
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        rest.close()
        log.close()


def _coordinate(home: Path, url: str) -> subprocess.Popen[bytes]:
    """In a process of its own: an SDK call in this one would hold the interpreter lock and with it the milestones."""
    folder = home / "coordinator"
    folder.mkdir(mode=0o700)
    keys = folder / "keys"
    keys.touch(mode=0o600)
    keys.write_text("\n".join(each.private_bytes_raw().hex() for each in KEYS))
    command = [sys.executable, "-m", "prsm_protocol.ledger.coordinator", "--node", url, "--home", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    return subprocess.Popen([*command, "--interval", "0.3"], env=environment)


def _wait_for(holds: Callable[[], bool], process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if holds():
                return
        except (LedgerUnavailable, LedgerBusy):
            pass  # not yet listening, or not yet synced
        last = (home / "hornet.log").read_text(errors="replace")[-2000:]
        assert process.poll() is None, last
        assert time.monotonic() < deadline, last
        time.sleep(0.1)
