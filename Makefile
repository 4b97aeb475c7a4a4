# Everything a contributor types. `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin

# make demo CSV=path (plain or .gz) RESULT=file.json KEEP=1
CSV ?=
RESULT ?=
KEEP ?=

# make test ARGS="tests/unit -k codec"
ARGS ?=
# make lock UPGRADE=--upgrade
UPGRADE ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test test-containers test-kubernetes coverage check format bench bench-postgres lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/installed ## make .venv with the project and everything its developers use

.venv/installed: pyproject.toml requirements/dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the shop and drive it over HTTP (CSV=path RESULT=file.json KEEP=1)
	$(BIN)/python -m examples.shop.demo $(if $(CSV),--csv "$(CSV)") $(if $(RESULT),--result "$(RESULT)") $(if $(KEEP),--keep)

test: setup ## run the whole suite (ARGS= for pytest)
	$(BIN)/python -m pytest $(ARGS)

test-containers: setup ## run the tests on Docker: as root (CONTRIBUTING.md says with what; ARGS= for pytest)
	$(BIN)/python -m pytest tests/containers $(ARGS)

test-kubernetes: setup ## run the tests on a cluster: as root (CONTRIBUTING.md says with what; ARGS= for pytest)
	$(BIN)/python -m pytest tests/kubernetes $(ARGS)

coverage: setup ## the suite again, with branches counted, processes and threads too
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: setup ## lint, format, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## mend what can be mended mechanically
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## run the benchmarks (ARGS= for python -m benchmarks)
	$(BIN)/python -m benchmarks $(ARGS)

bench-postgres: setup ## run those on PostgreSQL (ARGS= for python -m benchmarks.postgres)
	$(BIN)/python -m benchmarks.postgres $(ARGS)

lock: setup ## pin requirements/*.txt anew from pyproject.toml (UPGRADE=--upgrade)
	$(BIN)/uv pip compile $(COMPILE) pyproject.toml --output-file requirements/run.txt
	$(BIN)/uv pip compile $(COMPILE) pyproject.toml --group dev --constraint requirements/run.txt --output-file requirements/dev.txt

COMPILE := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)

clean: ## remove .venv and everything made
	rm -rf .venv build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache \
		.ruff_cache .schemathesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
