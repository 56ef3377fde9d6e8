# Everything runs with .venv/bin first on PATH: the `python` in dvc.yaml is the environment's.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC asks for the user's name and home, which a container's user may not have.
export LOGNAME := $(or $(LOGNAME),$(shell id -un 2>/dev/null))
export HOME := $(shell [ -w "$$HOME" ] && echo "$$HOME" || echo "$(CURDIR)/.scratch/home")
BIN := .venv/bin
STAMP := .venv/.installed
LOCK := $(shell git hash-object requirements.lock 2>/dev/null)
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

setup:  ## create .venv from requirements.lock, if it is not there yet
	@command -v git >/dev/null || { echo "git is needed, for DVC too: install it and run make again." >&2; exit 1; }
	@[ -e .git ] || git rev-parse --git-dir >/dev/null 2>&1 || { echo "This folder is no git repository (unpacked from a ZIP?), and DVC needs one:" \
	  "run 'git init && git add . && git commit -m start', or clone it, then run make again." >&2; exit 1; }
	@if [ "$$(cat $(STAMP) 2>/dev/null)" != "$(LOCK)" ]; then \
	  python=$$(for p in python3.11 python3; do \
	    $$p -c 'import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done); \
	  [ -n "$$python" ] || { echo "Python 3.11 is needed, from 3.11.4 on: neither python3.11 nor python3 is one; install it and run make again." >&2; exit 1; }; \
	  echo "Installing requirements.lock into .venv (gigabytes, minutes; once)"; \
	  $$python -m venv .venv && $(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock && \
	  echo $(LOCK) > $(STAMP); \
	elif old=$$(sed -nE 's/^command = .* -m venv (--[a-z-]+ )*//p' .venv/pyvenv.cfg); [ "$$old" != "$(CURDIR)/.venv" ]; then \
	  echo "This checkout has moved: writing its path into .venv"; \
	  $(BIN)/python -m venv --without-pip .venv && \
	  grep -rlI "$$old/bin/python" $(BIN) | xargs -r sed -i "1,2s|$$old/bin/python|$(CURDIR)/.venv/bin/python|"; \
	fi

lock: setup  ## install requirements.in and pin the result in requirements.lock
	$(BIN)/python -m pip install -r requirements.in
	@{ echo "# Made by 'make lock' from requirements.in on x86_64 Linux; do not edit."; \
	  sed -nE 's/^(torch(vision)?==[^#]*[^# ]) *(#.*)?$$/\1/p' requirements.in; \
	  $(BIN)/python -m pip freeze --all --exclude pip --exclude torch --exclude torchvision | \
	  sed -E 's/^((nvidia|cuda)-.*|triton=.*)$$/\1 ; platform_system == "Linux" and platform_machine == "x86_64"/'; \
	} > requirements.lock
	@git hash-object requirements.lock > $(STAMP)

check: setup  ## ruff (lint, format) and pyright (types)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m pyright

test: setup  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers)

repro: setup  ## the pipeline, from params.yaml to reports/; first repairs what a killed DVC left behind
	$(BIN)/python -m stages.mend
	$(BIN)/python -m dvc repro

faults: setup  ## kill the pocket pipeline N times at random moments (seed=0), compare with an undisturbed run
	$(BIN)/python -m tests.faults $(N) $(seed)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) -m thorough tests/faults
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) --hypothesis-profile=thorough tests/pipeline/test_fuzz.py

bench: setup  ## measure into reports/benchmarks.json and print it as a table; also BENCHMARKS="scale pipeline"
	@for script in $(BENCHMARKS); do echo "== $$script" && $(BIN)/python -m benchmarks.$$script || exit 1; done
	@$(BIN)/python -m benchmarks.table

.PHONY: $(STUDIES:%=study-%)
$(STUDIES:%=study-%): study-%: setup
	$(BIN)/python -m stages.study $* preset=$(preset)
	$(BIN)/python -m dvc repro report

.PHONY: study-removal
study-removal: setup
	$(BIN)/python -m stages.removal
	$(BIN)/python -m dvc repro report

params: setup  ## write params.yaml from conf/, e.g. make preset=paper params
	$(BIN)/python -m stages.compose preset=$(preset)

data: setup  ## which data sets are here; to get some: make data fetch="dtd eurosat"
	@$(if $(fetch),$(BIN)/python -m adapt data fetch $(fetch),$(BIN)/python -m adapt data list)

pretrain: setup  ## train the pocket CLIP again if its code or params have changed (about an hour)
	$(BIN)/python -m dvc unfreeze pretrain
	@$(BIN)/python -m dvc repro pretrain; status=$$?; $(BIN)/python -m dvc freeze pretrain && exit $$status

page: setup  ## rebuild .dvc/plots/page.html, the offline frame of `dvc plots show`
	$(BIN)/python -m stages.page

clean:  ## remove caches and the plots page; data, runs and unfinished training stay
	rm -rf .pytest_cache .ruff_cache .hypothesis dvc_plots
	find adapt stages tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
