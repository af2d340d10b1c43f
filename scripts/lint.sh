#!/usr/bin/env bash
# Every check that reads code and runs none of it. Ends with the first that fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\033[1m%s\033[0m\n' "$1"; shift; "$@"; }

step "ruff" ruff check .
step "ruff format" ruff format --check .
step "mypy" mypy
step "import-linter" lint-imports --no-cache
step "solhint" npx --no-install solhint --max-warnings 0 'contracts/**/*.sol'
step "forge fmt" forge fmt --check contracts tests/contracts/forge
step "slither" bash scripts/slither.sh
