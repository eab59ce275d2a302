# Everything runs from .venv, which the first target that needs it fills from requirements.lock.
# PYTHON names another Python than `python3.11` on the path: 3.11, 3.12 or 3.13.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
BIN := .venv/bin
# Versions and hashes are those of requirements.lock. Builds use the setuptools of .venv, so that nothing else is fetched.
ADD := $(BIN)/uv pip install --python $(BIN)/python --constraint requirements.lock --no-build-isolation --editable

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

.venv/bin/uv:
	scripts/venv.sh

.venv/.installed: requirements.lock pyproject.toml | .venv/bin/uv
	@echo "Installing the packages of requirements.lock into .venv (a few minutes, about 6.5 GB) ..."
	$(ADD) '.[dev,results]'
	touch $@

export: .venv/.export  ## add to .venv what `memnas export` needs (ONNX Runtime, ExecuTorch; about 300 MB)

benchmarks: .venv/.benchmarks  ## add to .venv what benchmarks.search compares memnas with (Optuna, Syne Tune)

ray: .venv/.ray  ## add to .venv what `execution.runner: ray` needs (Ray, prefect-ray; about 250 MB)

.venv/.export .venv/.benchmarks .venv/.ray .venv/.docs: .venv/.%: .venv/.installed
	$(ADD) '.[$*]'
	touch $@

team: .venv/.team  ## add to .venv what a team's services need (PostgreSQL, S3; docs/team.md)

.venv/.team: .venv/.installed
	$(ADD) '.[team,team-trial]'
	touch $@

device:  ## install what `memnas verify` needs (Debian: compilers for this machine and for Cortex-M, QEMU; 1 GB)
	scripts/device-tools.sh

docs: .venv/.docs  ## build the site of docs/ into site/html, where a broken link is an error
	$(BIN)/python scripts/site_pages.py site/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # --quiet would hide warnings from --strict too

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

lock: .venv/bin/uv  ## write requirements.lock anew; pins that fit stay, ARGS="--upgrade-package NAME" moves one
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --all-extras --group audit --generate-hashes --no-annotate \
		--no-header --python-version 3.11 --output-file requirements.lock $(ARGS)

clean:  ## remove caches; .venv and store stay
	rm -rf build site *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.venv/*' -not -path './store/*' -prune -exec rm -rf {} +
