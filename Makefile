# PRSM. `make demo` shows the main job from nothing; `make test` checks everything. Both set up what they need first.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Tools keep their files inside this folder; see prsm_protocol/settings.py.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$(PATH)
export APE_DATA_FOLDER := $(CURDIR)/.tools/ape
export SOLCX_BINARY_PATH := $(CURDIR)/.tools/solc
export EZKL_REPO_PATH := $(CURDIR)/.tools/ezkl
export HF_HUB_OFFLINE := 1
export ORT_DISABLE_TELEMETRY := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: help setup demo test faults lint test-nodes abi bench requirements clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: ## environment, npm packages, solc, anvil, bundled models (10 min the first time, then a moment)
	@bash scripts/setup.sh

demo: setup ## one question answered, proved, paid and verified, from nothing; KEEP=1 leaves the world running
	@prsm demo $(if $(KEEP),--keep)

lint: setup ## ruff, mypy, import-linter, solhint, slither, forge fmt
	@bash scripts/lint.sh

test: setup ## the whole suite
	@bash scripts/test.sh

faults: setup ## the main job's story, kills, silence and bad input on a whole real world, ten kills of a node (15 min)
	@python -m pytest -q -p no:ape_test tests/flows tests/faults
	@python tests/faults/kill_operator.py --runs 10

test-nodes: setup ## builds Hornet and Kubo where Go is, and runs the conformance suites against them
	@bash scripts/test_nodes.sh

abi: setup ## exports the contracts' ABIs for the Python package
	@python scripts/export_abi.py

bench: setup ## the figures of the README
	@python benchmarks/main_job.py
	@PRSM_STATE=$(CURDIR)/.state/bench prsm demo --keep >/dev/null
	@python benchmarks/gas.py --state $(CURDIR)/.state/bench/demo
	@PRSM_STATE=$(CURDIR)/.state/bench/demo prsm down

requirements: ## resolves requirements/*.in into hashed files
	@bash scripts/requirements.sh

clean: ## removes what set-up and runs made; asks nothing and keeps sources
	@if [ -x .venv/bin/prsm ]; then .venv/bin/prsm down --purge; fi
	@rm -rf .venv .tools .build .state node_modules contracts/.cache
