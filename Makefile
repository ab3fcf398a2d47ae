# Two commands set everything up on a machine that has Python 3.11 or newer and make:
#   make quickstart   the main job on the embedded toy images
#   make test         lint, types and the tests
# make fuzz damages 10,000 files of all kinds, and fails where a command does anything but answer (COUNT=200 for fewer).
# make chaos kills, stops and cuts off every command that writes at 100 moments (MOMENTS=3 for fewer), and runs it again.
# make docs builds the documentation into build/site; make pictures draws its pictures again, in some ten minutes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quickstart test lint bench fuzz chaos docs pictures clean

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
	$(BIN)/python benchmarks/extraction.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/candidates.py
	$(BIN)/python benchmarks/index.py
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/precision.py
	$(BIN)/python benchmarks/toy.py

COUNT ?= 10000
fuzz: $(VENV)/developed
	$(BIN)/python tests/fuzz/run.py --count $(COUNT)

MOMENTS ?= 100
chaos: $(VENV)/developed
	$(BIN)/python tests/chaos/run.py --count $(MOMENTS)

docs: $(VENV)/developed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

TOY := build/pictures
LEARN := $(CURDIR)/$(BIN)/coarsecon pretrain --data data --set run.monitor_every=2
SHOWN := $(CURDIR)/docs/pictures

pictures: $(VENV)/developed
	rm -rf $(TOY)
	$(BIN)/coarsecon prepare toy --out $(TOY)/data
	cd $(TOY) && $(LEARN) --recipe maskcon-toy --out maskcon
	cd $(TOY) && $(LEARN) --recipe moco-toy --out moco
	cd $(TOY) && $(LEARN) --recipe supce-toy --out supce
	cd $(TOY) && $(LEARN) --recipe maskcon-toy --set optimizer.lr=5 --out too-fast
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon retrieve maskcon --png $(SHOWN)/retrieve.png --top-k 8
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon tsne maskcon --png $(SHOWN)/map.png
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon localize maskcon --limit 6 --png $(SHOWN)/localize.png
	$(BIN)/python docs/pictures.py $(TOY) docs/pictures

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
	rm -rf $(VENV) quickstart build
