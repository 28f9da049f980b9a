# `make` lists the targets. Each one that needs Python makes .venv by itself, from pyproject.toml and constraints.txt.

PYTHON ?= python3
JOBS ?= 2

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --root-user-action=ignore --no-input -c constraints.txt
# Before skattn, so that the package index cannot offer another build of torch than the pinned one.
TORCH := torch==2.13.0

# One thread per process: two on a small network are slower than one. SCIPY_ARRAY_API turns on scikit-learn's checks of
# array API input.
TEST_ENV := OMP_NUM_THREADS=1 SCIPY_ARRAY_API=1 MPLBACKEND=Agg
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal --cov=skattn

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format docs bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.dev ## Show what skattn does, on real series, in a minute or two
	@MPLBACKEND=Agg $(BIN)/python benchmarks/demo.py

test: .venv/.dev ## Run the tests and every docstring's example, with coverage
	@$(PYTEST)

test-all: .venv/.dev ## The same, with the slow tests
	@$(PYTEST) -m ""

lint: .venv/.dev ## Check style and spelling
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/codespell

format: .venv/.dev ## Mend what `make lint` would complain of, where a machine can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: .venv/.docs ## Build the documentation; a warning is an error
	@OMP_NUM_THREADS=1 MPLBACKEND=Agg $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

bench: .venv/.dev ## Measure speed and accuracy against the peers (long; see benchmarks/)
	@MPLBACKEND=Agg $(BIN)/python -m benchmarks

clean: ## Remove what was generated; .venv stays
	@rm -rf build dist htmlcov .coverage .coverage.* .pytest_cache .ruff_cache
	@rm -rf docs/_build docs/_demo docs/reference/generated docs/gallery docs/sg_execution_times.rst
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

# The stamps say which extras .venv holds; they are renewed when a dependency changes.

.venv/.dev: pyproject.toml constraints.txt
	@echo "Setting up .venv (once; a few minutes)"
	@$(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("skattn needs Python 3.11 or newer but this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv
	@$(PIP) $(TORCH)
	@$(PIP) -e '.[dev]'
	@touch $@

.venv/.docs: .venv/.dev
	@$(PIP) -e '.[docs]'
	@touch $@
