PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test faults check lock bench golden clean

$(VENV)/.run: requirements/run.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

demo: $(VENV)/.run
	@$(BIN)/newsletter -p . demo

test: $(VENV)/.dev
	@sh tests/prepare.sh
	$(BIN)/python -m pytest -n 2 --dist loadfile

faults: $(VENV)/.dev
	@sh tests/prepare.sh
	NEWSLETTER_FAULTS=long $(BIN)/python -m pytest -n 2 tests/faults

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -p no:randomly tests/test_floors.py

lock: $(VENV)/.dev
	$(INSTALL) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml requirements/build.in -o requirements/run.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml requirements/build.in --group dev -o requirements/dev.txt

bench: $(VENV)/.dev
	$(BIN)/python -m bench

golden: $(VENV)/.dev
	NEWSLETTER_GOLDEN=rewrite $(BIN)/python -m pytest -q tests -k golden

clean:
	rm -rf $(VENV) var public dist
