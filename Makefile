# Everything a target needs is installed by it, into .venv and .venvs: nothing but python3.11, git and make is assumed.
# All paths are relative, so that the folder may have any name.

PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PY := .venv/bin/python
SOURCES := src tests scripts $(wildcard examples benchmarks)

# pyright would ask the network whether there is a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS = 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env demo test check lint types contracts suite matrix bench e2e-tools browser dashboards pictures up down smoke format clean

help: ## show this
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1	/p' Makefile

env: ## build or update .venv
	@test -n "$(PYTHON)" || { echo "python 3.11 or newer is needed; name it: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) scripts/env.py

demo: env ## run the demo agent; ends with the tree of its run
	@$(PY) examples/demo.py $(ARGS)

test: check suite ## lint, types, import contracts, the whole suite, and the version matrix

check: lint types contracts ## lint, types and import contracts

lint: env
	$(PY) -m ruff format --check $(SOURCES)
	$(PY) -m ruff check $(SOURCES)

types: env
	$(PY) -m pyright

contracts: env
	$(PY) -c 'from importlinter.cli import lint_imports_command as run; run()' --no-cache

suite: env ## the tests alone; ARGS='newest -- -k name' for one environment and pytest's arguments
	@$(PY) scripts/suite.py $(ARGS)

bench: env ## the figures, against the floor and the official package
	@$(PYTHON) scripts/env.py official
	@.venvs/official/bin/python -m benchmarks $(ARGS)

e2e-tools: ## build the collector, Prometheus and Compose for the end-to-end tests (once, ten minutes; needs go)
	@$(PYTHON) scripts/e2e_tools.py

browser: ## install the browser that the page is tested in, where this machine has apt and lets us
	@command -v chromium >/dev/null || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null; } || \
		echo "browser: no chromium, and it cannot be installed here: the tests of the page skip" >&2

pictures: env browser ## take the pictures of README and docs anew, from a run of the demo
	@PYTHONPATH=tests/tools $(PY) scripts/pictures.py

dashboards: env ## write collector-config/grafana/dashboards anew from the catalogue of metrics
	@cd scripts && ../$(PY) -m dashboards

up: ## start collector, Prometheus, Jaeger and Grafana (docker-compose.yml), and say how to send to them
	@$(PYTHON) scripts/stack.py up

down: ## stop them; what they stored stays
	@$(PYTHON) scripts/stack.py down

smoke: env ## send a run to the stack and ask Jaeger, Prometheus and Grafana for it
	@$(PY) scripts/stack.py smoke

format: env ## format and mend what can be mended
	$(PY) -m ruff check --fix $(SOURCES)
	$(PY) -m ruff format $(SOURCES)

clean: ## remove the environments and every cache
	rm -rf .venv .venvs build dist .pytest_cache .ruff_cache .import_linter_cache
	find src tests scripts examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
