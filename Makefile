# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
JOBS   ?= 2
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help demo test bench check fmt lock test-oldest debian-packages clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.demo ## Run the reference service under load on a real PostgreSQL (ARGS="--for 20 --json out.json")
	@$(BIN)/poolkeeper demo $(ARGS)

test: $(VENV)/.dev debian-packages ## Run the whole suite in two processes, what failed once more alone (JOBS=1, ARGS="-k name")
	@tools/test.sh $(BIN)/python $(JOBS) $(ARGS)

bench: $(VENV)/.dev ## Measure the pools side by side, in about a quarter of an hour (ARGS="fairness spike --check")
	$(BIN)/python -m bench $(ARGS)

check: $(VENV)/.dev ## Lint, types, import contracts, size budgets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache
	$(BIN)/python tools/budgets.py src examples/orders

fmt: $(VENV)/.dev ## Format and fix what can be fixed
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

debian-packages: ## Install the servers that tests run beside PostgreSQL, where this machine lets us
	@tools/debian-packages.sh

test-oldest: $(VENV)-oldest/.dev debian-packages ## Run the suite on the oldest supported SQLAlchemy and FastAPI
	@tools/test.sh $(VENV)-oldest/bin/python $(JOBS) $(ARGS)

$(VENV)/bin/python:
	@tools/make-venv.sh "$(PYTHON)" "$(VENV)"

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --require-hashes -r requirements/demo.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo

$(VENV)-oldest/.dev: requirements/dev.txt requirements/oldest.txt pyproject.toml
	@tools/make-venv.sh "$(PYTHON)" "$(VENV)-oldest"
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/oldest.txt
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: $(VENV)/.dev ## Write the pinned dependency files anew
	$(PIP_INSTALL) uv
	$(BIN)/$(LOCK) --upgrade --extra all --group dev --output-file requirements/dev.txt pyproject.toml
	$(BIN)/$(LOCK) --extra demo --constraint requirements/dev.txt --output-file requirements/demo.txt pyproject.toml requirements/build.in

clean: ## Remove what the other targets made
	rm -rf $(VENV) $(VENV)-oldest dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
