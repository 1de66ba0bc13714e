# The commands of this project. Each sets up what it needs and does nothing that is done already.
#
#   make run          the desktop on demo data; without a screen the demo job in the terminal
#   make test         all tests but the slow ones       PYTEST_ARGS="tests/db -k claim" for a part of them
#   make lint         ruff, mypy
#   make package      the frozen program in dist/, and its self-test
#   make bench        how fast it is, each figure beside its baseline; writes docs/benchmarks.md (BENCH_ARGS=--quick)
#   make requirements pins what pyproject.toml asks for (UPGRADE=--upgrade: the newest that fit)
#   make soak         kills the working process by the thousand: nothing billed twice, nothing lost   (SEEDS=70)
#   make mutants      breaks the program on purpose, one promise at a time: a named test must fail for each
#   make screenshots  pictures of every page
#   make clean        removes what these commands made, except the virtual environment (make distclean: that too)

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input
PYTEST_ARGS ?=
SCREEN := $(strip $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname -s)))

.PHONY: help
help:
	@sed -n 's/^#   //p' Makefile

# --- set-up -----------------------------------------------------------------------------------------------------------

$(VENV)/bin/python:
	@scripts/make-venv.sh $(VENV)

# What the program needs to run.
$(VENV)/.run: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the program needs ($<)"
	@$(PIP_INSTALL) --require-hashes -r $<
	@touch $@

# What work on the program needs; the project itself is linked in, built without network.
$(VENV)/.dev: requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what tests and checks need ($<)"
	@$(PIP_INSTALL) --require-hashes -r $<
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.run

.PHONY: setup
setup: $(VENV)/.dev
	@scripts/system-libraries.sh offscreen odbc

# --- run --------------------------------------------------------------------------------------------------------------

# Demo data stay out of the folder that a person works in; `make clean` removes them.
RUN_DIR := build/run
run: export ASSOCIATION_DATABASE_URL :=
run: export ASSOCIATION_BILLING_KIND := sandbox

.PHONY: run
run: $(VENV)/.run
ifneq ($(SCREEN),)
	@scripts/system-libraries.sh offscreen window
	@$(PY) main.py db demo --if-empty --data-dir $(RUN_DIR)
	@$(PY) main.py --data-dir $(RUN_DIR)
else
	@scripts/system-libraries.sh offscreen
	@echo "No screen here (DISPLAY and WAYLAND_DISPLAY are empty): running the demo job in the terminal."
	@$(PY) main.py demo --data-dir $(RUN_DIR)
endif

# --- check ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup
	@$(PY) -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

# Kills the working process fifteen times for each seed and kind of database, and says in the end what the kills met.
SEEDS ?= 70

.PHONY: soak
soak: setup
	@ASSOCIATION_TEST_KILL_SEEDS=$(SEEDS) ASSOCIATION_TEST_MACHINE_EXAMPLES=$$((10 * $(SEEDS))) \
		$(PY) -m pytest -n 2 --dist worksteal -m "crash and not mssql" \
		tests/engine/test_kill.py tests/engine/test_state_machine.py

.PHONY: mutants
mutants: setup
	@$(PY) scripts/mutants.py

.PHONY: lint
lint: setup
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy

# --- pictures ---------------------------------------------------------------------------------------------------------

# The guide's pictures too: make screenshots SHOTS="--guide"
SHOTS ?=

.PHONY: screenshots
screenshots: setup
	@$(PY) scripts/screenshots.py build/screenshots $(SHOTS)

# --- bench ------------------------------------------------------------------------------------------------------------

# Half an hour; with BENCH_ARGS=--quick a few, and the page is left as it is.
BENCH_ARGS ?=

.PHONY: bench
bench: setup
	@$(PY) -m bench $(BENCH_ARGS)

# --- requirements -----------------------------------------------------------------------------------------------------

COMPILE := $(VENV)/bin/uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --universal \
	--no-header --python-version 3.11 $(UPGRADE)

.PHONY: requirements
requirements: setup
	@$(COMPILE) --output-file requirements.txt
	@$(COMPILE) --extra dev --output-file requirements-dev.txt

# --- package ----------------------------------------------------------------------------------------------------------

PROGRAM := dist/association-desk/association-desk

.PHONY: package
package: setup
	@scripts/system-libraries.sh offscreen window odbc freeze
	@echo "Freezing the program (one to two minutes)"
	@$(VENV)/bin/pyinstaller --noconfirm --log-level ERROR installer.spec
	@du -sh $(dir $(PROGRAM))
	@# as on a machine that knows nothing of this folder: no environment, no Python, no settings
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT && cd "$$home" && \
		env -i HOME="$$home" PATH=/usr/bin:/bin LANG=C.UTF-8 QT_QPA_PLATFORM=offscreen $(CURDIR)/$(PROGRAM) --selftest --json

# --- clean ------------------------------------------------------------------------------------------------------------

.PHONY: clean
clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean
	rm -rf $(VENV)
