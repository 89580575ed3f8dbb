# Everything here sets itself up in .venv on first use; there is nothing else to type.
#
#   make demo    one minute with a throwaway PostgreSQL: take, lose, see what was lost, put it back
#   make test    the test suite
#   make lint    ruff, mypy, codespell, and whether generated parts of the docs are fresh
#   make docs    rewrite the generated parts of the docs, and what their sessions print where that has changed
#   make bench   measurements beside restic, borg and PostgreSQL's own tools, and their plots (a quarter of an hour)
#   make soak    the test suite with far more random examples
#   make clean   remove .venv and caches
#
# PYTHON=/path/to/python3.12 chooses the interpreter, JOBS=4 the number of test processes.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
# What the caller's shell says about other Pythons and other databases is no business of the tests.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGOPTIONS PGSERVICE SNAP_REPO

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3 /usr/local/bin/python3
IS_RECENT := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for python in $(CANDIDATES); do $$python -c '$(IS_RECENT)' >/dev/null 2>&1 && echo $$python && break; done)
endif
# One more than two cores have: tests wait for servers, disks and each other.
JOBS ?= 3
BIN := .venv/bin
READY := .venv/.ready
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal
DOCS := $(wildcard README.md docs/*.md)

.PHONY: help demo test lint lint-types lint-windows lint-words docs bench soak clean
.DEFAULT_GOAL := help

help:
	@sed -n '3,9s/^#//p' Makefile

$(READY): pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(IS_RECENT)' || \
		{ echo "Python 3.11 or newer is needed. Install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version) (once, about a minute) ..." >&2
	@$(PYTHON) -m venv --clear .venv || \
		{ echo "Python could not make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --disable-pip-version-check install -qq --root-user-action=ignore -e '.[all,dev]'
	@touch $@

demo: $(READY)
	@$(BIN)/snap demo

test: $(READY)
	@$(PYTEST)

soak: $(READY)
	@$(PYTEST) --hypothesis-profile=soak

# Side by side: each has its own cache.
lint: $(READY)
	@$(MAKE) -j$(JOBS) lint-types lint-windows lint-words

lint-types: $(READY)
	$(BIN)/mypy

lint-windows: $(READY)
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 --follow-imports silent --no-warn-unreachable \
		--exclude '/sources/files/|/embedded\.py$$' snapstore cli/snap_cli

lint-words: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(if $(DOCS),$(BIN)/cog --check $(DOCS))

docs: $(READY)
	$(if $(DOCS),$(BIN)/cog -r $(DOCS))
	$(BIN)/python tests/sessions.py README.md docs/tutorial.md

bench: $(READY)
	@$(BIN)/python -c 'import matplotlib' 2>/dev/null || \
		$(BIN)/python -m pip --disable-pip-version-check install -qq --root-user-action=ignore -e '.[bench]'
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.plots

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
