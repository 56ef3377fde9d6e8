# If uv is on PATH, it sets up .venv, otherwise pip does; `make setup uv=` forces pip.
uv := $(shell PATH="$$(echo "$$PATH" | sed 's|^$(CURDIR)/.venv/bin:||')"; command -v uv 2>/dev/null)
# The Python of .venv: a name, a version or a path; if empty, the first of 3.11 to 3.14 that is found.
python :=
# The build of PyTorch for x86_64 Linux: cuda is PyPI's, cpu is from this index; auto looks for an NVIDIA driver.
torch := auto
torch_index := https://download.pytorch.org/whl/cpu
nvidia := $(wildcard /proc/driver/nvidia /dev/nvidiactl /usr/lib/wsl/lib/nvidia-smi)$(shell command -v nvidia-smi 2>/dev/null)
# Everything runs with .venv/bin first on PATH, so the `python` in dvc.yaml is the environment's.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# DVC needs the user's name and home, which a container's user may not have.
export LOGNAME := $(or $(LOGNAME),$(shell id -un 2>/dev/null))
export HOME := $(shell [ -w "$$HOME" ] && echo "$$HOME" || echo "$(CURDIR)/.scratch/home")
BIN := .venv/bin
SETUP = UV="$(uv)" PYTHON="$(python)" TORCH="$(torch)" TORCH_INDEX="$(torch_index)" NVIDIA="$(nvidia)" sh setup.sh
preset ?= pocket
workers ?= 2
N ?= 20
seed ?= 0
BENCHMARKS := step evaluate
STUDIES := shots distill criteria budget schedule bilevel methods

.PHONY: help setup dev lock check docs test repro faults bench params data pretrain page clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile
	@echo "make study-X   the grid X of conf/studies.yaml as DVC experiments, gathered and drawn; X: $(STUDIES)"
	@echo "make study-removal   saliency criteria against the true effect of removing tokens"

setup:  ## create .venv from the locks, if it is not there yet; also python=3.13 torch=cpu|cuda uv=
	@$(SETUP)

dev:  ## the same with the development tools; targets that need them run this by themselves
	@$(SETUP) dev

EXPORT = echo "\# Made by 'make lock' from uv.lock, for pip; do not edit." && $(BIN)/uv export --quiet --frozen \
  --format requirements-txt --no-hashes --no-annotate --no-header --no-emit-project

lock: dev  ## pin the dependencies of pyproject.toml in uv.lock and requirements*.lock; upgrade=yes takes newer versions
	$(BIN)/uv lock --default-index https://pypi.org/simple $(if $(upgrade),--upgrade)
	@{ $(EXPORT) --all-extras --no-extra docs --no-dev; } > requirements.lock
	@{ $(EXPORT) --all-extras; } | awk 'NR == FNR { known[$$0] = FNR > 1; next } !known[$$0]' requirements.lock - > requirements-dev.lock

check: dev docs  ## ruff (lint, format), pyright (types), the documentation and its links
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m pyright

docs: dev  ## build the documentation into site/, whose index.html opens offline; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test: dev  ## the test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers)

repro: setup  ## run the pipeline, from params.yaml to reports/; first repairs what a killed DVC left behind
	$(BIN)/python -m stages.mend
	$(BIN)/python -m dvc repro

faults: dev  ## kill the pocket pipeline N times at random moments (seed=0), compare with an undisturbed run
	$(BIN)/python -m tests.faults $(N) $(seed)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) -m thorough tests/faults tests/gpu
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(workers) --hypothesis-profile=thorough tests/pipeline/test_fuzz.py

bench: dev  ## measure into reports/benchmarks.json and print it as a table; also BENCHMARKS="scale pipeline"
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

gpu:  ## measure on a GPU into reports/gpu.json, in at most four minutes; also parts="step seeds" seconds=120
	@sh benchmarks/gpu.sh $(parts) $(if $(seconds),seconds=$(seconds))

# What `make gpu` needs besides PyTorch and the usual scientific packages, for a machine that has these but no registry.
# tests/gpu/test_benchmark.py checks it against the imports and that machine's packages (tests/gpu/machine.txt).
GPU_PACKAGES := open-clip-torch ftfy wcwidth pydantic pydantic-core annotated-types typing-inspection hydra-core \
  omegaconf antlr4-python3-runtime lazy-loader beartype ruamel-yaml mlxtend qtawesome qtpy
gpu_python := 3.12

.PHONY: gpu gpu-packages
gpu-packages: dev  # into the folder gpu_packages, to be copied to the machine with the checkout
	@mkdir -p .scratch && { $(EXPORT) --all-extras; } | grep -E "^($$(echo $(GPU_PACKAGES) | tr ' ' '|'))==" > .scratch/gpu_packages.txt
	@$(BIN)/uv pip install --quiet --no-deps --target gpu_packages --python-version $(gpu_python) \
	  --python-platform x86_64-manylinux_2_28 -r .scratch/gpu_packages.txt
	@du -sh gpu_packages

params: setup  ## write params.yaml from conf/, e.g. make preset=paper params
	$(BIN)/python -m stages.compose preset=$(preset)

data: setup  ## list the datasets that are here; to get some: make data fetch="dtd eurosat"
	@$(if $(fetch),$(BIN)/python -m adapt data fetch $(fetch),$(BIN)/python -m adapt data list)

pretrain: setup  ## train the pocket CLIP again if its code or params have changed (about an hour)
	$(BIN)/python -m dvc unfreeze pretrain
	@$(BIN)/python -m dvc repro pretrain; status=$$?; $(BIN)/python -m dvc freeze pretrain && exit $$status

page: dev  ## rebuild .dvc/plots/page.html, the offline frame of `dvc plots show`
	$(BIN)/python -m stages.page

clean:  ## remove caches and the plots page; data, runs and unfinished training stay
	rm -rf .pytest_cache .ruff_cache .hypothesis dvc_plots
	find adapt stages tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
