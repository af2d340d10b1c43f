#!/usr/bin/env bash
# Everything that PRSM needs, inside this folder: a Python environment from hashed requirements, npm packages, the solc
# stand-in, anvil, forge and cast, and the two bundled models. Running it again takes a moment.
# Leaves alone: the home folder, except the package managers' own caches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\033[1m%s\033[0m\n' "$*"; }

find_python() {
  for candidate in "${PYTHON:-}" python3.12 python3.11 python3 python; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo "PRSM needs Python 3.11 or 3.12 (the ledger client has no wheels beyond); set PYTHON=/path/to/python" >&2
  exit 2
}

command -v node >/dev/null || { echo "PRSM needs Node 20 or newer for the Solidity compiler; install it and run again" >&2; exit 2; }
node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' \
  || { echo "Node $(node --version) is too old; PRSM needs 20 or newer" >&2; exit 2; }

python=$(find_python)
wanted=$(cat requirements/*.txt package-lock.json scripts/setup.sh scripts/setup_solc.sh prsm_protocol/models/pins.toml \
  | "$python" -c 'import hashlib,sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
stamp=.venv/.prsm-setup
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && .venv/bin/prsm --version >/dev/null 2>&1; then
  exit 0
fi

say "1/5 Python environment ($("$python" --version))"
[ -x .venv/bin/pip ] || "$python" -m venv --clear .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -r requirements/prsm.txt

say "2/5 npm packages"
npm ci --no-audit --no-fund --loglevel=error
platform=$(node -p 'process.platform + "-" + ({x64: "amd64", arm64: "arm64"}[process.arch] ?? process.arch)')
if [ "$platform" != linux-amd64 ]; then
  version=$(node -p 'require("./package.json").devDependencies["@foundry-rs/anvil-linux-amd64"]')
  npm install --no-save --no-audit --no-fund --loglevel=error \
    "@foundry-rs/anvil-$platform@$version" "@foundry-rs/forge-$platform@$version" "@foundry-rs/cast-$platform@$version"
fi

say "3/5 tools: solc stand-in, anvil, forge, cast"
mkdir -p .tools/bin
bash scripts/setup_solc.sh .tools/solc
for tool in anvil forge cast; do
  ln -sf "../../node_modules/@foundry-rs/$tool-$platform/bin/$tool" ".tools/bin/$tool"
done

say "4/5 the package itself"
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation -e .

say "5/5 bundled models"
.venv/bin/prsm models fetch

printf '%s' "$wanted" > "$stamp"
