#!/usr/bin/env bash
# Resolve requirements/*.in into hashed files for Python 3.11 and 3.12 that name no host.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# As a project the list can say which Pythons it is for; a plain list is resolved for all later ones too, and fails there.
python3 - requirements/prsm.in > "$scratch/pyproject.toml" <<'PYTHON'
import json, sys
lines = [line.split("#")[0].strip() for line in open(sys.argv[1])]
print('[project]\nname = "prsm-environment"\nversion = "0"\nrequires-python = ">=3.11,<3.13"')
print("dependencies =", json.dumps([line for line in lines if line]))
print("[tool.uv]\nenvironments = [\"python_version < '3.13'\"]")
PYTHON
compile() { uv pip compile --universal --generate-hashes --no-header --no-annotate "$@" >/dev/null; }
(cd "$scratch" && compile pyproject.toml -o prsm.txt)
cp "$scratch/prsm.txt" requirements/prsm.txt
compile --python-version 3.11 --no-deps requirements/uv.in -o requirements/uv.txt
