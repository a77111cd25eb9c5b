# jaxstark: `make prove` and `make test` need only Python >= 3.12, make and a C toolchain.
# Each target builds the virtual environment that it needs, and only when pyproject.toml changed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV ?= .venv
FLOOR_VENV ?= .venv-floor
CUDA_VENV ?= .venv-cuda
NOJAX_VENV ?= .venv-nojax
FLOOR_JAX ?= 0.11.2
CUDA_JAX ?= $(FLOOR_JAX)
WORKERS ?= 2

# What `make prove` proves: flags of experiments/prove_inference.py; more of them in ARGS. Files
# go to out/prove and out/prove-air unless OUT names a folder.
INFERENCE ?= --sample=17
PRESET ?= stwo-96
OUT ?= out/$@

# What `make prove-air` proves, by experiments/prove.py.
AIR ?= wide_fibonacci
LOG_SIZE ?= 12

# `make test-gpu` takes a Python that has JAX for the GPU, pytest and numba; no other set-up. All
# shapes and all golden proofs: GPU_TESTS=gpu.
GPU_PYTHON ?= python3
GPU_TESTS ?= gpu and not slow
# Most of the time is compiling: so many processes share the tests, but for those that measure.
GPU_WORKERS ?= 6

PY := $(VENV)/bin/python
PIP_FLAGS := --quiet --disable-pip-version-check
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
WHEEL := dist/jaxstark-$(VERSION)-py3-none-any.whl
SOURCES := $(shell find jaxstark -type f -not -name '*.pyc') README.md LICENSE pyproject.toml

# $(call venv,DIR): a virtual environment made by the first Python >= 3.12 that can make one.
define venv
if [ ! -x $(1)/bin/python ]; then \
  found=; \
  for p in "$${PYTHON:-}" python3.13 python3.12 python3.14 python3 python \
      "$${HOME:-/root}"/.pyenv/versions/*/bin/python3; do \
    if [ -n "$$p" ] && command -v "$$p" >/dev/null 2>&1 && "$$p" -c \
        'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; \
    then found=$$p; break; fi; \
  done; \
  if [ -z "$$found" ]; then \
    echo "jaxstark needs Python >= 3.12 with its venv module: none found on PATH or under" \
      "~/.pyenv; install one or name one, as in: make prove PYTHON=/path/to/python3.12" >&2; \
    exit 1; \
  fi; \
  echo "creating $(1) with $$("$$found" --version)"; \
  "$$found" -m venv $(1); \
fi
endef

# $(call pip,DIR): pip of a virtual environment; dependency groups need pip 25.1.
define pip
$(1)/bin/python -m pip install $(PIP_FLAGS)
endef

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

.PHONY: prove
prove: $(VENV)/.stamp-run ## set up, prove how a network classifies an Iris flower, verify
	@$(PY) experiments/prove_inference.py $(INFERENCE) --preset=$(PRESET) --out=$(OUT) $(ARGS)

.PHONY: prove-air
prove-air: $(VENV)/.stamp-run ## set up, prove an example of AIR (wide_fibonacci), verify
	@$(PY) experiments/prove.py --air=$(AIR) --log_size=$(LOG_SIZE) --preset=$(PRESET) \
	  --out=$(OUT) $(ARGS)

.PHONY: test
test: $(VENV)/.stamp-dev ## set up, run the default test suite
	@$(PY) -m pytest -n $(WORKERS) --dist=worksteal $(ARGS)

.PHONY: test-all
test-all: $(VENV)/.stamp-dev ## every test, slow ones too
	@$(PY) -m pytest -n $(WORKERS) --dist=worksteal -m "not gpu" $(ARGS)

.PHONY: test-gpu
test-gpu: ## kernels on this machine's GPU, with the JAX of GPU_PYTHON
	@# Exit code 5 of pytest: no test was chosen, as by -k.
	@export JAX_PLATFORMS= XLA_PYTHON_CLIENT_PREALLOCATE=false; logs=$$(mktemp -d); passed=; failed=0; \
	run() { $(GPU_PYTHON) -m pytest -m "$(GPU_TESTS)" --durations=5 "$$@" tests/gpu $(ARGS); }; \
	count() { case $$1 in 0) passed=1;; 5) ;; *) failed=1;; esac; }; \
	for i in $$(seq 0 $$(($(GPU_WORKERS) - 1))); do \
	  { rc=0; run -q --part=$$i/$(GPU_WORKERS) > $$logs/$$i 2>&1 || rc=$$?; echo $$rc > $$logs/$$i.rc; } & \
	done; \
	wait; \
	for i in $$(seq 0 $$(($(GPU_WORKERS) - 1))); do cat $$logs/$$i; count $$(cat $$logs/$$i.rc); done; \
	rm -r $$logs; \
	rc=0; run --part=alone || rc=$$?; count $$rc; \
	[ $$failed = 0 ] && [ -n "$$passed" ]

.PHONY: compile-times
compile-times: $(CUDA_VENV)/.stamp ## how long GPU kernels take to compile, without a GPU
	@PYTHONPATH=. $(CUDA_VENV)/bin/python -m tests.gpu.compile_times $(ARGS)

.PHONY: lint
lint: $(VENV)/.stamp-dev ## ruff: rules and format of imports
	@$(PY) -m ruff check .

.PHONY: types
types: $(VENV)/.stamp-dev ## pyright
	@$(PY) -m pyright --pythonpath $(PY)

.PHONY: wheel
wheel: $(WHEEL) ## build the wheel into dist/

$(WHEEL): $(SOURCES) | $(VENV)/.stamp-dev
	@rm -rf dist
	@$(PY) -m build --wheel --no-isolation --outdir dist . >/dev/null
	@test -f $@ && echo "built $@"

.PHONY: wheel-test
wheel-test: $(WHEEL) ## the installed wheel, with JAX, outside the tree
	@bash tests/packaging/wheel_test.sh "$(abspath $(PY))" "$(abspath $(WHEEL))" "$(CURDIR)"

.PHONY: nojax-test
nojax-test: $(WHEEL) ## the installed wheel, without JAX, verifies a golden proof
	@$(call venv,$(NOJAX_VENV))
	@$(call pip,$(NOJAX_VENV)) --force-reinstall --no-deps "$(WHEEL)"
	@$(call pip,$(NOJAX_VENV)) "$(WHEEL)"
	@bash tests/packaging/nojax_test.sh "$(abspath $(NOJAX_VENV)/bin/python)" "$(CURDIR)"

.PHONY: jax-floor
jax-floor: $(FLOOR_VENV)/.stamp ## tests marked floor, with the oldest supported JAX
	@JAXSTARK_TEST_CACHE=$(CURDIR)/.jax_cache/floor \
	  $(FLOOR_VENV)/bin/python -m pytest -n $(WORKERS) --dist=worksteal -m floor $(ARGS)

.PHONY: bench
bench: $(VENV)/.stamp-run ## CPU timings as a table and JSON
	@mkdir -p out
	@$(PY) experiments/bench_cpu.py --out=out/bench_cpu.json $(ARGS)

.PHONY: doctor
doctor: $(VENV)/.stamp-run ## what this machine has, and what to install
	@$(PY) -m jaxstark doctor

.PHONY: contracts
contracts: ## compile the registry contract, compare with the committed class (UPDATE=1: replace)
	@bash contracts/build.sh $(if $(UPDATE),--update)

.PHONY: contracts-test
contracts-test: ## the registry contract's tests in Cairo
	@bash contracts/test.sh

.PHONY: devnet
devnet: ## find starknet-devnet, a local node, or build it (some 25 minutes, once)
	@bash contracts/devnet.sh

.PHONY: devnet-test
devnet-test: $(VENV)/.stamp-dev ## submit a real proof to a local node
	@STARKNET_DEVNET="$$(bash contracts/devnet.sh)" \
	  $(PY) -m pytest -m slow -s -k devnet tests/starknet/test_devnet.py \
	  tests/experiments/test_end_to_end.py $(ARGS)

.PHONY: clean
clean: ## remove what the targets built, virtual environments too
	@rm -rf $(VENV) $(FLOOR_VENV) $(CUDA_VENV) $(NOJAX_VENV) dist build .jax_cache

# The development environment serves `make prove` too: do not install twice.
$(VENV)/.stamp-run: pyproject.toml
	@$(call venv,$(VENV))
	@echo "installing jaxstark[cpu,experiments,vm] into $(VENV)"
	@$(call pip,$(VENV)) -e '.[cpu,experiments,vm]'
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml
	@$(call venv,$(VENV))
	@echo "installing jaxstark[cpu,experiments] and the dev group into $(VENV)"
	@$(call pip,$(VENV)) 'pip>=25.1'
	@$(call pip,$(VENV)) -e '.[cpu,experiments]' --group dev
	@touch $@ $(VENV)/.stamp-run

$(CUDA_VENV)/.stamp: pyproject.toml
	@$(call venv,$(CUDA_VENV))
	@echo "installing JAX $(CUDA_JAX) and its CUDA plug-in into $(CUDA_VENV)"
	@$(call pip,$(CUDA_VENV)) 'pip>=25.1'
	@$(call pip,$(CUDA_VENV)) -e . 'jax==$(CUDA_JAX)' 'jax-cuda13-plugin==$(CUDA_JAX)' \
	  'jax-cuda13-pjrt==$(CUDA_JAX)' nvidia-cuda-nvcc --group test
	@touch $@

$(FLOOR_VENV)/.stamp: pyproject.toml
	@$(call venv,$(FLOOR_VENV))
	@echo "installing jaxstark with JAX $(FLOOR_JAX) into $(FLOOR_VENV)"
	@$(call pip,$(FLOOR_VENV)) 'pip>=25.1'
	@$(call pip,$(FLOOR_VENV)) -e . 'jax==$(FLOOR_JAX)' 'jaxlib==$(FLOOR_JAX)' --group test
	@touch $@
