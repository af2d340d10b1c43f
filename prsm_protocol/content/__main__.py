"""Serve the blocks of one or more homes on loopback: `python -m prsm_protocol.content --store FILE … --listen 127.0.0.1:PORT`."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from pathlib import Path

import uvicorn

from prsm_protocol.content.gateway import application
from prsm_protocol.content.store import Store


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m prsm_protocol.content", description=__doc__)
    parser.add_argument(
        "--store", type=Path, action="append", required=True, help="a home's blocks.db; may be repeated"
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="address and port; port 0 takes a free one")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    listener = socket.create_server((host, int(port)))
    print(json.dumps({"ready": True, "url": f"http://{host}:{listener.getsockname()[1]}"}), flush=True)
    config = uvicorn.Config(
        application(*[Store(path) for path in options.store]), log_level="warning", access_log=False
    )
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
