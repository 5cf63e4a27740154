# make demo: real text to a checked forecast.   make test: everything a change must pass.
# Both set themselves up in .venv, and do nothing twice.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
TORCH := $(shell grep '^torch==' constraints.txt)

.PHONY: demo test
.DELETE_ON_ERROR:

demo: .venv/.stamp-demo
	$(BIN)/orion run quickstart --dir runs/quickstart

test: .venv/.stamp-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

.venv/.stamp-build: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12")'
	@test -x $(BIN)/pip || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@$(PIP) hatchling editables
	@touch $@

.venv/.stamp-demo: .venv/.stamp-build
	@echo "installing into .venv (once)"
	@$(PIP) --no-build-isolation $(TORCH) --editable '.[train,serve]'
	@touch $@

.venv/.stamp-test: .venv/.stamp-build
	@echo "installing into .venv (once)"
	@$(PIP) --no-build-isolation $(TORCH) --editable '.[train,data,ray,hf,serve,dev]'
	@touch .venv/.stamp-demo $@
