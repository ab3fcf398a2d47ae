# Requires Python 3.11 or newer. Each target creates the virtual environment that it needs.
#   make quickstart   train and evaluate on the built-in toy images
#   make test         lint, type-check, test
#   make bench        run all benchmarks (BENCHMARKS=views for one)
#   make fuzz         damage 10,000 files of every kind and run the commands that read them (COUNT=200 for fewer)
#   make chaos        kill, stop, and cut off every writing command at 100 moments and rerun it (MOMENTS=3 for fewer)
#   make docs         build the documentation into build/site
#   make pictures     draw the pictures of the documentation again, in about ten minutes

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

BENCHMARKS ?= $(filter-out images machine,$(basename $(notdir $(wildcard benchmarks/*.py))))
bench: $(VENV)/developed
	set -e; for each in $(BENCHMARKS); do $(BIN)/python benchmarks/$$each.py; done

COUNT ?= 10000
fuzz: $(VENV)/developed
	$(BIN)/python tests/fuzz/run.py --count $(COUNT)
	$(BIN)/python tests/fuzz/labels.py --count $(COUNT)

MOMENTS ?= 100
chaos: $(VENV)/developed
	$(BIN)/python tests/chaos/run.py --count $(MOMENTS)

docs: $(VENV)/developed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

TOY := build/pictures
TRAIN := $(CURDIR)/$(BIN)/coarsecon pretrain --data data --set run.monitor_every=2
PICTURES := $(CURDIR)/docs/pictures

pictures: $(VENV)/developed
	rm -rf $(TOY)
	$(BIN)/coarsecon prepare toy --out $(TOY)/data
	cd $(TOY) && $(TRAIN) --recipe maskcon-toy --out maskcon
	cd $(TOY) && $(TRAIN) --recipe moco-toy --out moco
	cd $(TOY) && $(TRAIN) --recipe supce-toy --out supce
	cd $(TOY) && $(TRAIN) --recipe maskcon-toy --set optimizer.lr=5 --out too-fast
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon retrieve maskcon --png $(PICTURES)/retrieve.png --top-k 8
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon tsne maskcon --png $(PICTURES)/map.png
	cd $(TOY) && $(CURDIR)/$(BIN)/coarsecon localize maskcon --limit 6 --png $(PICTURES)/localize.png
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
