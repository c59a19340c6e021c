# `make demo` and `make test` set up what they need by themselves: a .venv with pinned, hash-checked packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTER_VENV := .venv-cluster
CLUSTER_READY := $(CLUSTER_VENV)/.ready

# Tests start many processes and rewrite many assertions: compiled once, not each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-cluster lint format bench docs mutants torture fuzz pins clean

demo: $(READY)
	$(BIN)/netbasis demo

test: $(READY)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(ARGS)

# A real Spark cluster on this machine, with a Java from a wheel; in an environment of its own, since both are large.
test-cluster: $(CLUSTER_READY)
	$(CLUSTER_VENV)/bin/python -m pytest -W default tests_cluster $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)
	$(BIN)/python -m bench
	$(BIN)/python -m bench.writers
	$(BIN)/python -m bench.imports
	$(BIN)/python -m bench.lots

docs: $(READY)
	$(BIN)/python -m docs.regenerate
	$(BIN)/python -m tests.cli.error_gallery

# Wrong programs, made from the pure core; see [tool.mutmut] in pyproject.toml. Takes half an hour, and is no part of CI.
mutants: $(READY)
	$(BIN)/python -m pip install --quiet 'mutmut>=3.8,<3.9'
	$(BIN)/mutmut run $(ARGS)
	$(BIN)/mutmut results

# What the tests show in seconds, at length: an hour, or MINUTES=5; SEED=7 repeats a run. No part of CI.
MINUTES ?= 60
torture: $(READY)
	$(BIN)/python -m torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)
	$(BIN)/python -m torture.tampering
	$(BIN)/python -m torture.tampering --engine postgres

# Whatever reads what others wrote, under a fuzzer: a million executions, or a SHARE of them. No part of CI.
SHARE ?= 1
fuzz: .venv-fuzz/.ready
	.venv-fuzz/bin/python -m fuzz --share $(SHARE) $(ARGS)

.venv-fuzz/.ready: pyproject.toml
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet 'atheris>=3.0,<4' --editable '.[columns,web]'
	@touch $@

# New pins, for a change of the dependencies in pyproject.toml.
pins: $(READY)
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --extra dev --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --upgrade --output-file requirements-dev.txt pyproject.toml
	$(BIN)/pip-compile --quiet --extra spark --extra dev-cluster --generate-hashes --allow-unsafe --strip-extras --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --constraint requirements-dev.txt \
		--output-file requirements-cluster.txt pyproject.toml

$(READY): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "netbasis needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

$(CLUSTER_READY): requirements-cluster.txt pyproject.toml
	$(PYTHON) -m venv $(CLUSTER_VENV)
	$(CLUSTER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-cluster.txt
	$(CLUSTER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(CLUSTER_READY)

clean:
	rm -rf $(VENV) $(CLUSTER_VENV) .venv-fuzz fuzz-findings mutants dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
