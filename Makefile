# The one door: `make run` and `make test` need only Python >= 3.11, its venv module and make.
# PYTHON chooses the interpreter: `make run PYTHON=python3.13`. CONFIG chooses the configuration.

PYTHON ?= python3
CONFIG ?= config/gateway.yaml
UV ?= $(or $(shell command -v uv),.venv/bin/uv)

VENV := .venv
BIN := $(VENV)/bin
# uv installs in seconds what takes pip more than a minute; pip shows its progress meanwhile.
ifneq ($(shell command -v uv),)
PIP_INSTALL := uv pip install --python $(BIN)/python
else
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install
endif
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: install run test test-quick lint reference bench fuzz nightly rego lock clean

install: $(INSTALLED)

run: $(INSTALLED)
	@exec $(BIN)/meshgate serve --config $(CONFIG)

# A process for each core, and each file in one process, since its fixtures start gateways and servers.
# pytest comes last, so that its closing line is the last one.
test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile

# What starts no server and takes little time: under a minute on two cores. A test that needs more belongs to `test`.
test-quick: $(INSTALLED_DEV)
	$(BIN)/python -m pytest -n auto --dist loadfile --quick

lint: $(INSTALLED_DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is generated: the tables of the configuration and the page of commands in docs/, and the table of recognizers.
reference: $(INSTALLED_DEV)
	PYTHONPATH=.:tests $(BIN)/python tests/reference.py
	PYTHONPATH=.:tests $(BIN)/python tests/presidio_table.py

bench: $(INSTALLED_DEV)
	$(BIN)/python -m benchmarks.run

# Every parser of what others write, with input that nobody would; FUZZ_SECONDS in all.
FUZZ_SECONDS ?= 600
fuzz: $(INSTALLED_DEV)
	MESHGATE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz

# The tests with the large budgets of examples (tests/budgets.py), from another seed each time.
nightly: $(INSTALLED_DEV)
	MESHGATE_NIGHTLY=1 $(BIN)/python -m pytest -n auto --dist loadfile

# Random policies and inputs, judged by the compiler and by the program `opa`; nightly, from another seed each time.
REGO_PAIRS ?= 100000
REGO_SEED ?= $(shell date +%s)
rego: $(INSTALLED_DEV)
	MESHGATE_REGO_PAIRS=$(REGO_PAIRS) MESHGATE_REGO_SEED=$(REGO_SEED) MESHGATE_REQUIRE_SERVERS=1 \
		$(BIN)/python -m pytest tests/engines/rego/test_against_opa.py -k equal_results

# Needs uv, as nothing else here does. The files name no index, so that any mirror serves them; setuptools is locked
# too, since it builds the project itself without fetching anything. To move one package: `uv pip compile -P name`.
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"
lock:
	echo "setuptools>=77" | $(COMPILE) pyproject.toml - --output-file requirements.lock
	echo "setuptools>=77" | $(COMPILE) pyproject.toml - --all-extras --constraints requirements.lock \
		--output-file requirements-extras.lock
	echo "setuptools>=77" | $(COMPILE) pyproject.toml - --group dev --constraints requirements.lock \
		--output-file requirements-dev.lock
	for name in frameworks others; do \
		$(COMPILE) tests/pypi/$$name.in --output-file tests/pypi/$$name.lock || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Meshgate needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

NO_WHEEL = { echo "A package could not be installed; its name stands above. Meshgate runs on Linux and macOS, on x86-64 and" >&2; \
	echo "arm64. Where a package has no wheel for a platform or Python version, try another Python (make PYTHON=...)" >&2; \
	echo "or the container image (docker build -t meshgate .)." >&2; exit 1; }

$(INSTALLED): requirements.lock pyproject.toml | $(BIN)/python
	@echo 'installing the packages of requirements.lock into $(VENV)'
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock || $(NO_WHEEL)
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@echo 'compiling bytecode and regular expressions, so that each start is quick'
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m gateway.serving.prepare
	@touch $@

$(INSTALLED_DEV): requirements-dev.lock $(INSTALLED)
	$(PIP_INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@
