# Needs Python 3.11 or newer and make, nothing else. Each target makes .venv itself, once.
# PYTHON=/path/to/python3 chooses the interpreter; ARGS="-k limit" goes to pytest.

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.ready
RIVALS := build/rivals/.ready
JOBS  ?= 2
SCALE ?= 50000
ARGS  ?=

# What the demo shows. A fixed time, because the law depends on the day.
DEMO := clear examples/messages --at 2022-06-01T12:00:00+08:00 --signatures ignored

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults lint bench docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## make .venv with everything the other targets need
	@echo "$(VENV) is ready"

demo: $(STAMP) ## clear the bundled customs messages on an embedded database; ends with a table
	@home=$$(mktemp -d) && trap 'rm -rf "$$home"' EXIT INT TERM && chmod 755 "$$home" && \
	echo "tongguan $(DEMO)" && status=0 && \
	{ env -u DATABASE_URL TONGGUAN_HOME="$$home/data" \
	  $(BIN)/tongguan $(DEMO) --report "$$home/report.jsonl" || status=$$?; } && \
	[ $$status -le 1 ] && [ -s "$$home/report.jsonl" ] # 1: some documents have errors, on purpose

test: $(STAMP) ## run the tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --durations 10 $(ARGS)

faults: $(STAMP) ## run the long tests: the whole fault campaign, and a zone over 120 days
	@$(BIN)/python -m pytest -m faults_full -n $(JOBS) --dist worksteal --durations 20 $(ARGS) tests

lint: $(STAMP) ## check style, format, types and which room may import which
	@echo "ruff check";    $(BIN)/python -m ruff check --quiet .
	@echo "ruff format";   $(BIN)/python -m ruff format --check --quiet . || \
	  { echo "not formatted; run $(BIN)/ruff format:"; $(BIN)/python -m ruff format --check .; exit 1; }
	@echo "mypy";          $(BIN)/python -m mypy
	@echo "import floors"; $(BIN)/lint-imports --no-logo

bench: $(STAMP) ## measure, against the limits of this machine and rivals; SCALE=1000000 for a large store
	@$(MAKE) --no-print-directory $(RIVALS) || \
	  echo "!! THE RIVALS COULD NOT BE INSTALLED (benchmarks/rivals.txt): measured without them" >&2
	@$(BIN)/python -m benchmarks $(SCALE)

# Engines to compare with have an environment of their own; they are no part of the project.
$(RIVALS): benchmarks/rivals.txt | $(STAMP)
	@rm -rf build/rivals && $(BIN)/python -m venv build/rivals && \
	build/rivals/bin/python -m pip install --quiet --requirement $< && touch $@

docs: $(STAMP) ## write the pages that are made from the sources (rules, commands, messages, parameters)
	@$(BIN)/python docs/generate.py

# The locks are made on the oldest supported Python, whose needs include those of the newer ones.
# UPGRADE=--upgrade takes the newest releases; without it only what pyproject.toml changed moves.
# Spark has a lock of its own, with what it needs beyond the first: 500 MB that few want.
COMPILE := build/lock/bin/pip-compile --quiet $(UPGRADE) --generate-hashes \
  --no-header --no-annotate --no-emit-options --no-strip-extras
PURE := { ! grep -nE '://|^ *-[^-]|^--' build/LOCK || \
  { echo "the lock may hold names, versions and hashes only" >&2; exit 1; }; }
HEAD := echo "\# Written by 'make lock' from pyproject.toml; do not edit."

lock: ## write requirements.lock and requirements-spark.lock from pyproject.toml (needs Python 3.11)
	@python="$(PYTHON)"; [ -n "$$python" ] || python=python3.11; \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "make lock needs Python 3.11; name it with PYTHON=/path/to/python3.11" >&2; exit 3; }; \
	"$$python" -m venv build/lock && build/lock/bin/python -m pip install --quiet --quiet 'pip-tools>=7.5' && \
	for lock in requirements.lock requirements-spark.lock; do \
	  if [ -f $$lock ]; then grep -v '^#' $$lock > build/$$lock; fi; done && \
	$(COMPILE) --all-build-deps --extra dev --extra otel --output-file build/requirements.lock pyproject.toml && \
	$(PURE:LOCK=requirements.lock) && \
	{ echo "# Every package of .venv, by version and SHA-256 of each file of that release."; \
	  $(HEAD); cat build/requirements.lock; } > requirements.lock && \
	echo 'setuptools>=77' > build/spark.in && \
	$(COMPILE) --allow-unsafe --extra spark --constraint build/requirements.lock \
	  --output-file build/requirements-spark.lock pyproject.toml build/spark.in && \
	$(PURE:LOCK=requirements-spark.lock) && \
	{ echo "# What the Spark engine needs beside requirements.lock, and setuptools to build it with."; \
	  $(HEAD); awk -f .ci/beyond requirements.lock build/requirements-spark.lock; \
	} > requirements-spark.lock

clean: ## remove .venv and every cache
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find src tests docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements.lock pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/venv $(VENV)
