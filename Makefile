# `make help` lists the targets. The first run of any of them creates .venv; later runs start at once.

ALGO ?= adam
ARGS ?=
OUT ?= evidence
BASE ?= main
MACHINE ?= $(shell hostname)
PYTHON ?= $(shell command -v python3.11 || command -v python3)

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OLDEST_TRITON := .venv-triton36
SOURCES := optbench reference impls suites reports tests

.DEFAULT_GOAL := help
.PHONY: help compare test test-slow lint types wheel steady steady-renew asv asv-compare asv-publish machine ratio-gate gpu-evidence triton36 clean

help:  ## this list
	@awk -F ':.*##' '/^[a-z0-9-]+:.*##/ {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables: ALGO=adam  ARGS='--suite full'  OUT=evidence  BASE=main  PYTHON=python3.11"

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "optbench needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON); this happens once and downloads torch."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--no-build-isolation --editable '.[dev]'
	@touch $@

compare: $(STAMP)  ## check and time ALGO, all implementations; ARGS go to optbench
	@$(BIN)/optbench compare --algo '$(ALGO)' $(ARGS)

# A process for each core, and one thread in each: tests are small, and two teams of threads would wait for each other.
# A file's tests stay together, because they share what was compiled for them.
test: $(STAMP)  ## the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

test-slow: $(STAMP)  ## the tests that take more than a few seconds
	@$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(STAMP)  ## ruff: rules and format of imports
	@$(BIN)/ruff check --output-format concise $(SOURCES)

# mypy sees the packages as they are installed: optbench.reference is the folder reference, and so on.
types: $(STAMP)  ## mypy, strict
	@rm -rf build/types && mkdir -p build/types/optbench
	@ln -s $(CURDIR)/optbench/* $(CURDIR)/reference $(CURDIR)/impls $(CURDIR)/suites $(CURDIR)/reports build/types/optbench
	@cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml \
		--cache-dir $(CURDIR)/.mypy_cache/installed --package optbench

wheel: $(STAMP)  ## dist/optbench-*.whl
	@rm -rf dist build/lib build/bdist.*
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

# Operations, launches, bytes and host calls of a step: no clock, so the same on a busy machine.
STEADY := suites/steady/cpu.json
COUNT := $(BIN)/optbench bench --algo all --steady

steady: $(STAMP)  ## figures without a clock, against those kept in suites/steady
	@$(COUNT) --against $(STEADY) $(ARGS)

steady-renew: $(STAMP)  ## keep today's figures without a clock: read the change before committing it
	@$(COUNT) --format json -o $(STEADY)
	@git --no-pager diff --stat -- $(STEADY)

# asv makes an environment of its own once, with torch in it, and installs a wheel of each commit there. It measures
# commits: what is not committed is left out. MACHINE is asv's name for where it runs.
asv: $(STAMP) machine  ## asv on the current commit; results in .asv/results
	@$(BIN)/asv run --machine '$(MACHINE)' --show-stderr $(ARGS) 'HEAD^!'

asv-compare: $(STAMP) machine  ## asv on BASE and the current commit: fails where something got worse
	@$(BIN)/python -m optbench.suites.regressions '$(BASE)' --machine '$(MACHINE)' $(ARGS)

asv-publish: $(STAMP)  ## the site with the history of .asv/results: .asv/html/index.html
	@$(BIN)/asv publish $(ARGS)

ratio-gate: $(STAMP)  ## the working tree's ratios to torch against BASE's: fails where one is worse, twice
	@$(BIN)/python -m optbench.suites.ratio_gate '$(BASE)' $(ARGS)

machine: $(STAMP)
	@$(BIN)/asv machine --yes --machine '$(MACHINE)' >/dev/null

# From a checkout with nothing installed: the current python, unless only .venv has what is needed.
gpu-evidence:  ## conformance and timing on CUDA; records and report go to OUT
	@python=$$(command -v python3 || command -v python); \
	if [ -x $(BIN)/python ] && ! $$python -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then \
		python=$(BIN)/python; \
	fi; \
	limit=$$(command -v timeout >/dev/null && echo timeout --signal=INT 540); \
	mkdir -p '$(OUT)' && $$limit $$python -m optbench compare --algo all --device cuda \
		--format json -o '$(OUT)/record.json' --html '$(OUT)/report.html' $(ARGS)

# The oldest Triton that is supported, for the test that compiles the kernels: it needs no torch, and no GPU.
triton36: $(OLDEST_TRITON)/.installed  ## an environment with Triton 3.6, which the tests use if it is there

$(OLDEST_TRITON)/.installed: Makefile
	@$(PYTHON) -m venv $(OLDEST_TRITON)
	@$(OLDEST_TRITON)/bin/python -m pip install --quiet --disable-pip-version-check 'triton==3.6.0'
	@touch $@

clean:  ## everything that make made, but not .venv, .asv and .optbench
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
