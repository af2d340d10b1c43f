#!/usr/bin/env bash
# Build Hornet and Kubo from their pinned modules and run the conformance suites against them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if ! command -v go >/dev/null; then
  echo "Go is not installed, so Hornet and Kubo cannot be built; the suites ran over the development node and the embedded store only." >&2
  exit 4
fi
bash tests/nodes/build.sh
python -m pytest -q -p no:ape_test tests/nodes
