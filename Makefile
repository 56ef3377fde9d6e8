# Everything runs with .venv/bin first on PATH: the `python` in dvc.yaml is the environment's.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
BIN := .venv/bin
STAMP := .venv/.installed
LOCK := $(shell git hash-object requirements.lock)
preset ?= pocket
workers ?= 2
N ?= 20
seed ?= 0
BENCHMARKS := step evaluate
STUDIES := shots distill criteria budget schedule bilevel methods

.PHONY: help setup lock check test repro faults bench params data pretrain page clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile
	@echo "make study-X   the grid X of conf/studies.yaml as DVC experiments, gathered and drawn; X: $(STUDIES)"
	@echo "make study-removal   saliency criteria against the true effect of removing tokens"

setup:  ## create .venv from requirements.lock; nothing to do if that is done
	@if [ "$$(cat $(STAMP) 2>/dev/null)" != "$(LOCK)" ]; then \
	  python=$$(for p in python3.11 python3; do \
	    $$p -c 'import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done); \
	  [ -n "$$python" ] || { echo "Python 3.11 is needed, from 3.11.4 on: neither python3.11 nor python3 is one; install it and run make again." >&2; exit 1; }; \
	  echo "Installing requirements.lock into .venv (gigabytes, minutes; once)"; \
	  $$python -m venv .venv && $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock && \
	  echo $(LOCK) > $(STAMP); \
	fi

lock: setup  ## install requirements.in and pin the outcome in requirements.lock
	$(BIN)/python -m pip install -r requirements.in
	@{ echo "# Made by 'make lock' from requirements.in on x86_64 Linux; do not edit."; \
	  sed -nE 's/^(torch(vision)?==[^#]*[^# ]) *(#.*)?$$/\1/p' requirements.in; \
	  $(BIN)/python -m pip freeze --all --exclude pip --exclude torch --exclude torchvision | \
	  sed -E 's/^((nvidia|cuda)-.*|triton=.*)$$/\1 ; platform_system == "Linux" and platform_machine == "x86_64"/'; \
	} > requirements.lock
	@git hash-object requirements.lock > $(STAMP)

check: setup  ## ruff (lint, format) and pyright (types)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

test: setup  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers)

repro: setup  ## the pipeline, from params.yaml to reports/; first mends what a killed DVC has left
	$(BIN)/python -m stages.mend
	$(BIN)/dvc repro

faults: setup  ## kill the pocket pipeline N times at random moments (seed=0), compare with an undisturbed run
	$(BIN)/python -m tests.faults $(N) $(seed)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) -m thorough tests/faults
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) --hypothesis-profile=thorough tests/test_fuzz.py

bench: setup  ## measure into reports/benchmarks.json and print it as a table; also BENCHMARKS="scale pipeline"
	@for script in $(BENCHMARKS); do echo "== $$script" && $(BIN)/python -m benchmarks.$$script || exit 1; done
	@$(BIN)/python -m benchmarks.table

.PHONY: $(STUDIES:%=study-%)
$(STUDIES:%=study-%): study-%: setup
	$(BIN)/python -m stages.study $* preset=$(preset)
	$(BIN)/dvc repro report

.PHONY: study-removal
study-removal: setup
	$(BIN)/python -m stages.removal
	$(BIN)/dvc repro report

params: setup  ## write params.yaml from conf/, e.g. make preset=paper params
	$(BIN)/python -m stages.compose preset=$(preset)

data: setup  ## which data sets are here; to get some: make data fetch="dtd eurosat"
	@$(if $(fetch),$(BIN)/python -m adapt data fetch $(fetch),$(BIN)/python -m adapt data list)

pretrain: setup  ## train the pocket CLIP again if anything that it is made of has changed (about an hour)
	$(BIN)/dvc unfreeze pretrain
	@$(BIN)/dvc repro pretrain; status=$$?; $(BIN)/dvc freeze pretrain && exit $$status

page: setup  ## rebuild .dvc/plots/page.html, the offline frame of `dvc plots show`
	$(BIN)/python -m stages.page

clean:  ## remove caches and the plots page; data, runs and unfinished training stay
	rm -rf .pytest_cache .ruff_cache .hypothesis dvc_plots
	find adapt stages tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
