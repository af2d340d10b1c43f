"""`python -m provers --home DIR --listen 127.0.0.1:PORT` serves; `python -m provers setup …` handles set-up files.

    python -m provers setup --into DIR --k 12                  makes a development file (SINGLE)
    python -m provers setup --into DIR --k 8 --from FILE.ptau  takes in a ceremony's file

Exit codes: 0 ended, 1 refused, 2 wrong use, 7 another prover has the home.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from provers.launch import Limits, launch
from provers.service import CACHE_BYTES, Options, serve
from provers.setup_files import MAX_K, SetupFiles
from prsm_protocol.errors import PrsmError
from prsm_protocol.settings import settings


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    try:
        if given[:1] == ["setup"]:
            setup_command(given[1:])
        else:
            serve_command(given)
    except PrsmError as error:
        print(f"{error.name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def serve_command(given: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m provers")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT (0: a free port) or unix:PATH")
    parser.add_argument("--max-k", type=int, default=MAX_K)
    parser.add_argument("--memory-bytes", type=int, default=0, help="0: three quarters of what is free")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--cache-bytes", type=int, default=CACHE_BYTES)
    chosen = parser.parse_args(given)
    serve(
        Options(
            home=chosen.home,
            listen=chosen.listen,
            setup_cache=settings().setup_cache,
            max_k=chosen.max_k,
            memory_bytes=chosen.memory_bytes,
            threads=chosen.threads,
            cache_bytes=chosen.cache_bytes,
        )
    )


def setup_command(given: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m provers setup")
    parser.add_argument("--into", type=Path, required=True, help="the folder: PRSM_SETUP_CACHE or <home>/setup")
    parser.add_argument("--k", type=int, required=True)
    parser.add_argument("--from", dest="source", type=Path, help="a ceremony's .ptau; without it a development file")
    chosen = parser.parse_args(given)
    files = SetupFiles(chosen.into)
    if chosen.source is not None:
        found = files.import_ptau(chosen.source, chosen.k)
    else:
        with tempfile.TemporaryDirectory() as folder:

            def make(k: int) -> Path:
                limits = Limits(seconds=600, address_space=None)
                launch("make_srs", {"k": k}, Path(folder), limits, tools=Path(folder) / "tools")
                return Path(folder) / "made.srs"

            found = files.single(chosen.k, make)
    print(f"{found.kind.name} 2^{found.k} {found.digest} {found.path} {found.warning}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
