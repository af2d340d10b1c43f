#!/usr/bin/env bash
# Slither over our contracts; findings that were looked at stand in slither.config.json with their reason.
# It runs `forge clean` of its own, so it gets a copy of the build settings with another output folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
FOUNDRY_OUT=.build/slither-forge FOUNDRY_CACHE_PATH=.build/slither-cache \
  slither . --config-file slither.config.json --foundry-out-directory .build/slither-forge
