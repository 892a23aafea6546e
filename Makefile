# Two commands need nothing but Python 3.11 and make: `make demo` and `make test`.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Half of a test's time is waiting, for a server or for a process that it started: two workers for each core, eight at most.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); [ $$n -gt 4 ] && n=4; echo $$((2 * n)))

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench soak reliability lock audit sbom clean

help:  ## What can be done here
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 13

demo: $(VENV)/.runtime  ## Set up, then five nights on a pretended third party
	@$(BIN)/recon demo

test: $(VENV)/.dev  ## Set up, then the whole suite (APT=0 leaves Debian's packages alone)
	@sh scripts/extras
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(VENV)/.dev  ## ruff and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/.dev  ## Put every file in its form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only .

bench: $(VENV)/.dev  ## Measure against the peers and the floor; writes bench/RESULTS.md
	@$(BIN)/python bench/run.py $(ARGS)

soak: $(VENV)/.dev  ## The long campaigns
	@$(BIN)/python -m pytest -m soak --timeout=3600 $(ARGS)

reliability: $(VENV)/.dev  ## Run the fault campaigns; writes the table of docs/reliability.md
	@$(BIN)/python -m tests.faults.report $(ARGS)

lock: $(VENV)/.dev  ## Pin every dependency anew, with hashes (needs uv)
	@sh scripts/lock

audit: $(VENV)/.dev  ## Known vulnerabilities of what is locked (needs a vulnerability service)
	@$(BIN)/python scripts/audit.py requirements/runtime.lock

sbom: $(VENV)/.dev  ## What the program is made of, as CycloneDX: dist/sbom.cdx.json
	@mkdir -p dist
	@$(BIN)/python -m cyclonedx_py requirements requirements/runtime.lock --output-reproducible --of JSON -o dist/sbom.cdx.json

clean:  ## Remove the environment and what was built
	@rm -rf $(VENV) bench/.venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# One environment, filled in two steps, each from its hash-pinned lock.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; found: $$($(PYTHON) --version 2>&1). Say PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements/runtime.lock pyproject.toml | $(VENV)/bin/python
	@$(PIP) install --require-hashes -r requirements/runtime.lock
	@$(BIN)/python -c 'import site, pathlib; pathlib.Path(site.getsitepackages()[0], "nightly_recon.pth").write_text("$(CURDIR)\n")'
	@printf '#!/bin/sh\nexec "%s/$(BIN)/python" -P -m recon "$$@"\n' "$(CURDIR)" > $(BIN)/recon
	@chmod +x $(BIN)/recon
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.runtime
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@
