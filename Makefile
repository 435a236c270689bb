# `make demo` and `make test` set up everything they need in .venv.
#   PYTHON=python3.12     another interpreter (3.11 or newer)
#   PIP_ARGS="..."        further arguments for pip, e.g. an index with CPU builds of torch

PYTHON ?= python3
PIP_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready

.PHONY: help demo demo-full test test-slow lint types contract
.DELETE_ON_ERROR:

help:
	@echo "make demo       protect, attack, measure: runs/demo/report.html"
	@echo "make demo-full  the frozen evaluation, hours: runs/demo-full/protection.json"
	@echo "make test       the tests; make test-slow: the long ones"
	@echo "make lint       ruff; make types: basedpyright; make contract: imports between the floors"

demo: $(READY)
	$(BIN)/apdm demo

demo-full: $(READY)
	$(BIN)/apdm bench scenarios/protection.toml --workers 2 --output_dir runs/demo-full

test: $(READY)
	$(BIN)/python -m pytest -m "not slow"

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/basedpyright --pythonpath $(BIN)/python

contract: $(READY)
	$(BIN)/lint-imports

# The lock holds setuptools, so the package builds with that and fetches nothing more.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "apdm needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_ARGS) -r requirements.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@
