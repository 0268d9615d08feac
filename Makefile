# make run   set up .venv and run the default study       make test   set up, lint, test, run the smoke study
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORES ?= all
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test setup setup-test lint format smoke bench report reference lock clean

run: setup
	$(BIN)/snakemake --cores $(CORES)

# Lint first, because it is quick; pytest's summary last, because it is what one looks for.
test: setup-test lint smoke
	$(BIN)/python -m pytest

setup: $(VENV)/installed
setup-test: $(VENV)/installed-test

$(VENV)/installed: envs/requirements.lock pyproject.toml
	@echo "Setting up $(VENV) (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit("Transfer Atlas needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r envs/requirements.lock
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed envs/requirements-test.lock
	$(PIP) -r envs/requirements-test.lock
	@touch $@

lint: setup-test
	$(BIN)/ruff check workflow tests benchmarks
	$(BIN)/ruff format --check workflow tests benchmarks
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow/rules
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake --lint

format: setup-test
	$(BIN)/ruff check --fix workflow tests benchmarks
	$(BIN)/ruff format workflow tests benchmarks
	$(BIN)/snakefmt Snakefile workflow/rules

# A real end-to-end run in minutes, in a folder of its own: the same model, data and rules at the smallest scale.
smoke: setup
	$(BIN)/snakemake --cores $(CORES) --configfile config.yaml configs/smoke.yaml --directory build/smoke

# Side by side with others, with a dated record in benchmarks/records: about an hour on 2 quiet cores.
# make bench BENCH="--quick", or "--only a,c"; benchmarks/README.md says what there is.
bench: setup-test
	$(BIN)/python -m benchmarks.run $(BENCH)

report: setup
	$(BIN)/snakemake --report report.html

# The JSON schema and docs/settings.md, from the settings' types.
reference: setup
	$(BIN)/python -m transfer_atlas schema

# Anew from the ranges in pyproject.toml, in an environment of its own.
lock:
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python envs/lock.py

clean:
	rm -rf $(VENV) build .snakemake
