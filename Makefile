# Two commands on a fresh machine with Python 3.11 or newer, git and make: `make run`, then `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UNIVERSE ?= sample

BENCHMARKS ?= bound real speed ingest backfill definitions night window waiting advise peek ablation sizes gate
ARGS ?=

.PHONY: help run ui test test-thorough docs bench format hooks clean
help:  ## what there is to make
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: $(VENV)/.run  ## install, then make the report of the sample universe (or UNIVERSE=crypto)
	@$(BIN)/lem run --universe $(UNIVERSE)

ui: $(VENV)/.run  ## open the Dagster UI on http://127.0.0.1:3000
	@$(BIN)/lem ui

test: $(VENV)/.test  ## install, then check style and types and run the tests
	@echo "== style"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "== types"
	@$(BIN)/mypy
	@echo "== tests (a few minutes; the slowest ones train small models)"
	@$(BIN)/python -m pytest -n auto --dist loadfile --durations=20

test-thorough: $(VENV)/.test  ## run the tests of some seconds that `make test` leaves out, once more end to end
	@$(BIN)/python -m pytest -n auto --dist loadfile --durations=20 -m thorough

docs: $(VENV)/.test  ## build the documentation as a site in .site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict && echo "The site: .site/index.html"

bench: $(VENV)/.run  ## run all benchmarks (hours), or one: make bench BENCHMARKS=speed ARGS=--quick; then all goals
	@set -e; for name in $(BENCHMARKS); do echo "== $$name"; $(BIN)/python -m benchmarks.$$name $(ARGS); done
	@$(BIN)/python -m benchmarks.summary

format: $(VENV)/.test  ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

hooks: $(VENV)/.test  ## check style and types before every git commit (.pre-commit-config.yaml)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'pre-commit>=4,<5'
	@$(BIN)/pre-commit install

clean:  ## remove the environment; what was made stays in .lem
	rm -rf $(VENV)

$(VENV)/bin/python:
	@echo "== making a virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "== installing with the test tools (some minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.run
