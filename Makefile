# uv sets up .venv where it is on PATH, pip elsewhere; with `make setup uv=` pip does anyway.
uv := $(shell command -v uv 2>/dev/null)
# Everything runs with .venv/bin first on PATH: the `python` in dvc.yaml is the environment's.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC asks for the user's name and home, which a container's user may not have.
export LOGNAME := $(or $(LOGNAME),$(shell id -un 2>/dev/null))
export HOME := $(shell [ -w "$$HOME" ] && echo "$$HOME" || echo "$(CURDIR)/.scratch/home")
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMP := .venv/.installed
# What is installed follows from the locks and from pyproject.toml above its settings of tools.
WANTED := $(shell { sed '/^\[tool/,$$d' pyproject.toml; cat uv.lock requirements.lock; } 2>/dev/null | git hash-object --stdin 2>/dev/null)
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

define WRITE_PATH
import os, re, sys
from pathlib import Path
from urllib.parse import quote
old, new = sys.argv[1:]
places = ("bin/*", "pyvenv.cfg", ".installed", "lib/*/site-packages/*.pth", "lib/*/site-packages/adapt_clip-*/direct_url.json")
for path in [path for place in places for path in Path(".venv").glob(place) if path.is_file() and not path.is_symlink()]:
    was, now = (os.fsencode(quote(text) if path.suffix == ".json" else text) for text in (old, new))
    text = path.read_bytes()
    if b"\0" in text:  # a program
        continue
    written = re.sub(rb"(?<![\w.-])" + re.escape(was) + rb"(?![^/\s\"'])", lambda _: now, text)
    if written != text:
        mode = path.stat().st_mode
        path.unlink()  # uv's cache may hold the same file
        path.write_bytes(written)
        path.chmod(mode)
endef

setup: export WRITE_PATH := $(WRITE_PATH)
setup:  ## create .venv from the locks, if it is not there yet
	@command -v git >/dev/null || { echo "git is needed, for DVC too: install it and run make again." >&2; exit 1; }
	@[ -e .git ] || git rev-parse --git-dir >/dev/null 2>&1 || { echo "This folder is no git repository (unpacked from a ZIP?), and DVC needs one:" \
	  "run 'git init && git add . && git commit -m start', or clone it, then run make again." >&2; exit 1; }
	@old=$$(sed -n 2p $(STAMP) 2>/dev/null); if [ -n "$$old" ] && [ "$$old" != "$(CURDIR)" ]; then \
	  echo "This checkout has moved: writing its path into .venv"; \
	  $(BIN)/python -c "$$WRITE_PATH" "$$old" "$(CURDIR)"; \
	fi
	@[ "$$(sed -n 1p $(STAMP) 2>/dev/null)" = "$(WANTED)" ] || { \
	  if [ -n "$(uv)" ]; then \
	    echo "Installing uv.lock into .venv by uv (gigabytes, minutes; once)"; \
	    UV_PROJECT_ENVIRONMENT=.venv "$(uv)" sync --frozen --all-extras; \
	  else \
	    python=$$(for p in python3.11 python3; do \
	      $$p -c 'import sys; sys.exit(not (3, 11, 4) <= sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done); \
	    [ -n "$$python" ] || { echo "Python 3.11 is needed, from 3.11.4 on: neither python3.11 nor python3 is one; install it, or uv, and run make again." >&2; exit 1; }; \
	    echo "Installing requirements.lock into .venv by pip (gigabytes, minutes; once)"; \
	    $$python -m venv .venv && $(PIP) install -r requirements.lock && $(PIP) install --no-deps --no-build-isolation -e .; \
	  fi && printf '%s\n' "$(WANTED)" "$(CURDIR)" > $(STAMP); \
	}

lock: setup  ## pin what pyproject.toml asks for in uv.lock and requirements.lock; upgrade=yes takes newer versions
	$(BIN)/uv lock --default-index https://pypi.org/simple $(if $(upgrade),--upgrade)
	@{ echo "# Made by 'make lock' from uv.lock, for pip; do not edit."; \
	  $(BIN)/uv export --quiet --frozen --all-extras --all-groups --format requirements-txt \
	    --no-hashes --no-annotate --no-header --no-emit-project; } > requirements.lock

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
