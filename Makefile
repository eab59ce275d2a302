# Everything runs from .venv, which the first target that needs it fills from requirements.lock.
# PYTHON names another Python 3.11 than `python3.11` on the path.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BIN := .venv/bin

# Nothing phones home.
export PYTHON
export DO_NOT_TRACK := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
export RAY_USAGE_STATS_ENABLED := 0

.PHONY: help install export device benchmarks ray team docs search ui deploy undeploy serve unserve test check lint types \
	contracts audit format lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

install: .venv/.installed  ## fill .venv from requirements.lock

.venv/.installed: requirements.lock pyproject.toml scripts/install.sh
	scripts/install.sh
	touch $@

export: .venv/.export  ## add to .venv what `memnas export` needs (ONNX Runtime, ExecuTorch; about 300 MB)

.venv/.export: .venv/.installed requirements-export.lock
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-export.lock
	touch $@

device:  ## install what `memnas verify` needs (Debian: compilers for this machine and for Cortex-M, QEMU; 1 GB)
	scripts/device-tools.sh

benchmarks: .venv/.benchmarks  ## add to .venv what benchmarks.search compares memnas with (Optuna, Syne Tune)

.venv/.benchmarks: .venv/.installed requirements-benchmarks.lock
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-benchmarks.lock
	touch $@

team: .venv/.team  ## add to .venv what a team's services need (PostgreSQL, S3; docs/team.md)

.venv/.team: .venv/.installed requirements-team.lock
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-team.lock
	touch $@

ray: .venv/.ray  ## add to .venv what `execution.runner: ray` needs (Ray, prefect-ray; about 250 MB)

.venv/.ray: .venv/.installed requirements-ray.lock
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes --no-build-isolation -r requirements-ray.lock
	touch $@

docs: .venv/.docs  ## build the site of docs/ into site/html, where a broken link is an error
	$(BIN)/python scripts/site_pages.py site/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # --quiet would hide warnings from --strict too

.venv/.docs: .venv/.installed pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --no-build-isolation --editable '.[docs]'
	touch $@

search: install  ## run the search of params.yaml to its report, or go on where it stopped
	$(BIN)/memnas search --resume

ui: install  ## open the record of all searches
	$(BIN)/memnas ui

deploy: install  ## start a Prefect server and a worker that runs memnas-search/local
	scripts/deploy.sh

undeploy:  ## stop what `make deploy` started
	scripts/undeploy.sh

serve: team  ## start a team's services on this machine (docs/team.md)
	scripts/team.sh start

unserve:  ## stop what `make serve` started
	scripts/team.sh stop

audit: install  ## ask for known flaws in the pinned packages; needs the internet, or ARGS=--unanswered-is-fine
	scripts/audit.sh $(ARGS)

test: install export benchmarks ray team  ## run all tests, or ARGS="tests/core -k name"
	scripts/system-packages.sh
	scripts/audit.sh --install-only
	$(BIN)/pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder $(ARGS)

check: lint types contracts  ## lint, types and import contracts

lint: install  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install export benchmarks ray  ## mypy, strict
	$(BIN)/mypy

contracts: install  ## which package may import which
	$(BIN)/lint-imports

format: install  ## apply ruff's fixes and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock:  ## pin all locks anew; ARGS="--upgrade-package NAME" moves a pin
	scripts/lock.sh $(ARGS)

clean:  ## remove caches; .venv and store stay
	rm -rf build site *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './store/*' -prune -exec rm -rf {} +
