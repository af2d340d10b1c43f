#!/usr/bin/env bash
# The whole suite: lint, forge's fuzz and invariants, then pytest, whose summary line is the last one printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bash scripts/lint.sh
printf '\033[1m%s\033[0m\n' "forge test"
forge test
if command -v go >/dev/null; then
  printf '\033[1m%s\033[0m\n' "real nodes: Hornet and Kubo"
  bash tests/nodes/build.sh
fi
printf '\033[1m%s\033[0m\n' "pytest"
# Chain tests start their own anvil; ape's plugin would start one more for every run, so only ape's own tests load it.
# Stories and faults on a whole real world take ten minutes more and have a command of their own: make faults.
python -m pytest -q -p no:ape_test --ignore=tests/faults --ignore=tests/flows "$@"
