#!/usr/bin/env bash
# Slither over our contracts. What was looked at stands in contracts/slither.baseline.json, each with its reason; anything
# new fails. It cleans and builds, so it gets a build folder of its own, away from forge test's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export FOUNDRY_OUT=.build/slither-forge FOUNDRY_CACHE_PATH=.build/slither-cache
slither . --config-file slither.config.json --foundry-out-directory .build/slither-forge \
  --triage-database contracts/slither.baseline.json
