#!/bin/sh
# Makes npm's Solidity compiler an executable `solc-v0.8.37` in a folder, for forge (foundry.toml) and ape
# (SOLCX_BINARY_PATH). Run after `npm ci`:
#
#   scripts/setup_solc.sh [FOLDER]          FOLDER is .tools/solc in the repository unless given
set -eu

repository=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=${1:-"$repository/.tools/solc"}

mkdir -p "$folder"
ln -sf "$repository/scripts/solc.mjs" "$folder/solc-v0.8.37"
"$folder/solc-v0.8.37" --version
