# Everything runs in .venv, which is set up on first use and again when the requirements change.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
READY := $(VENV)/.ready

# Every install goes through the tested versions, build dependencies too.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Tests are independent of each other and of their order; a worker keeps its part of a file together until another is idle.
PARALLEL := -n auto --maxprocesses 8 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-kernels lint types imports docs docs-check site bench check clean

help:  ## Show what there is to make
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --editable '.[dev]'
	@touch $@

demo: $(READY)  ## Trace an LSTM and see every gate beside torch's own
	$(BIN)/rnntrace run lstm --hidden 2 --seed 42

test: $(READY)  ## Run all tests, in as many processes as there are cores
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(READY)  ## Run the tests that are quick, for the inner loop
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-kernels: $(READY)  ## Run the tests of numbers on the plainest kernels of numpy's BLAS and of torch, which have other last bits
	OPENBLAS_CORETYPE=Prescott ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest $(PARALLEL) -m "not slow" tests/engine tests/equations tests/frameworks

lint: $(READY)  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Check types
	$(BIN)/mypy

imports: $(READY)  ## Check that imports go down the floors
	$(BIN)/lint-imports

docs: $(READY)  ## Write the generated parts of README and docs anew
	$(BIN)/python docs/generate.py

docs-check: site  ## Check that README and docs are what the commands print today, and that links lead somewhere
	$(BIN)/python docs/generate.py --check

site: $(READY)  ## Make docs/ a site in build/site
	$(BIN)/mkdocs build --site-dir build/site

bench: $(READY)  ## Measure speed, as ratios against torch
	$(BIN)/python benchmarks/replay.py

check: lint types imports docs-check test  ## Style, types, imports, docs and all tests

clean:  ## Remove .venv and caches
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
