# Targets: setup (a .venv with everything), demo (the main job), test, check (formatter, linter, types).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PHOTO ?=

.PHONY: setup demo test test-slow check format bench clean

setup: $(VENV)/.ready

# torch first and through pip, so that pip's own configuration (a local CPU wheel, an index) decides which build it is;
# the rest through uv, which is several times faster. The lock holds exact versions and no addresses.
$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pellucid needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep -E '^(uv|torch)==' requirements.lock)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/python examples/demo.py $(if $(PHOTO),--photo "$(PHOTO)")

test: setup
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python benchmarks/speed.py

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache
