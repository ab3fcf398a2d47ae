# Two commands set everything up on a machine that has Python 3.11 or newer and make:
#   make quickstart   the main job on the embedded toy images
#   make test         lint, types and the tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint bench clean

quickstart: $(VENV)/installed
	$(BIN)/coarsecon quickstart --out quickstart

test: $(VENV)/developed lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/developed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/developed
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/views.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/toy.py

$(VENV)/bin/python:
	$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('coarsecon needs Python 3.11 or newer; set PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[maps]"
	touch $@

$(VENV)/developed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) quickstart
