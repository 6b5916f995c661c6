# `make` alone lists the targets. Python 3.11 or newer and make are all that is assumed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := client server scenarios harness
CODE := $(PACKAGES) tests benchmarks docs/flower docs/images

# By uv, five times as quick; by pip where uv has no build, or does not find what only pip's configuration names.
PIP := $(BIN)/python -m pip --disable-pip-version-check
install = $(BIN)/uv pip install --python $(BIN)/python -c .ci/constraints.txt $(1) || \
    $(PIP) install -c .ci/constraints.txt $(1)

.DEFAULT_GOAL := help
.PHONY: help run test test-all unit lint format check schema presets gallery vendor bench audit clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

run: $(VENV)/run.ok ## run the default scenario live and print the comparison and the report's path
	$(BIN)/python -m harness run

test: lint unit ## run every check and test

test-all: lint ## the same with the slow proofs, and new examples for every law (long)
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -m 'slow or not slow'

unit: $(VENV)/test.ok ## run the tests alone
	$(BIN)/python -m pytest

lint: $(VENV)/test.ok ## ruff and mypy
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy

check: $(VENV)/run.ok ## validate the shipped scenarios and say what each would run
	$(BIN)/python -m harness check scenarios/*.yaml

schema: $(VENV)/run.ok ## write scenarios/scenario.schema.json anew from the models
	$(BIN)/python -c 'import json, scenarios; print(json.dumps(scenarios.json_schema(), indent=2))' > scenario.schema.new
	mv scenario.schema.new scenarios/scenario.schema.json

presets: $(VENV)/run.ok ## write docs/presets.md anew: what each preset costs
	$(BIN)/python -c 'from harness._presets import presets_page; print(presets_page(), end="")' > presets.md.new
	mv presets.md.new docs/presets.md

gallery: $(VENV)/test.ok ## write docs/gallery.md and the pictures in docs anew (needs Chromium)
	$(BIN)/python docs/images/make.py

vendor: ## fetch the report's chart library anew (VERSION=..., needs npm)
	.ci/vendor $(VERSION)

format: $(VENV)/test.ok ## format the code
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(VENV)/test.ok ## side-by-side speed benchmarks (minutes; run nothing else meanwhile)
	$(BIN)/python -m benchmarks

audit: $(BIN)/python ## ask PyPI's advisories about the versions that the tests run on
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip -r .ci/constraints.txt

clean: ## remove the virtual environment and caches (reports stay)
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@echo 'making $(VENV) and installing into it, once'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --only-binary :all: -c .ci/constraints.txt uv || echo 'without uv, then, which is quicker'

# The stamps make a second `make run` start at once; a changed dependency list installs anew.
$(VENV)/run.ok: pyproject.toml .ci/constraints.txt | $(BIN)/python
	@$(call install,-e .)
	@touch $@

$(VENV)/test.ok: pyproject.toml .ci/constraints.txt | $(BIN)/python
	@$(call install,-e '.[test]')
	@touch $@ $(VENV)/run.ok
