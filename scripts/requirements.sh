#!/usr/bin/env bash
# Resolve requirements/*.in into hashed files for Python 3.11 and 3.12 that name no host.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compile() { uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }
compile requirements/prsm.in -o requirements/prsm.txt >/dev/null
compile --no-deps requirements/uv.in -o requirements/uv.txt >/dev/null
