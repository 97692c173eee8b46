# stopcode: everything a person or CI runs. Needs python3 (3.11 or newer, with its venv module) and make;
# no root, no system package. Peer tests use other programs where they are installed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
SAMPLE := samples/built/ws2019-failed.vhdx

.DEFAULT_GOAL := help
.PHONY: help demo test check samples pictures fixtures bench fuzz lock clean setup setup-dev

help:
	@echo "make demo      set up, unpack the sample disk and scan it"
	@echo "make test      set up and run the tests (skips what needs a program that is not installed)"
	@echo "make check     ruff, mypy, import-linter, documents"
	@echo "make samples   build every sample disk and dump anew (mingw-w64, ntfs-3g, wimtools, qemu-utils)"
	@echo "make pictures  draw the pictures of the README anew"
	@echo "make fixtures  fetch hash-pinned Windows wheels for the tests marked 'wheels'"
	@echo "make bench     benchmarks, each beside its peer, as ratios"
	@echo "make fuzz      longer runs of the tests with random input"
	@echo "make lock      resolve the dependencies anew (needs uv)"
	@echo "make clean     remove what the above made"

$(VENV)/.run: requirements/build.txt requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "stopcode needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) (once) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "Adding what the tests need ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

demo: $(VENV)/.run
	@$(BIN)/python -m samples.unpack ws2019-failed.vhdx
	@echo '$$ stopcode scan $(SAMPLE)'
	@$(BIN)/stopcode scan $(SAMPLE); status=$$?; \
	 if [ $$status -ne 1 ]; then echo "unexpected exit status $$status (1 was expected: a finding)"; exit 1; fi
	@echo
	@echo "Next: $(BIN)/stopcode tui $(SAMPLE)    or    $(BIN)/stopcode --help"

test: $(VENV)/.dev
	@$(BIN)/python -m samples.unpack
	$(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

samples: $(VENV)/.dev
	$(BIN)/python -m samples.build --containers

pictures: $(VENV)/.dev
	$(BIN)/python -m docs.pictures.draw

fixtures: $(VENV)/.dev
	$(BIN)/python -m samples.fixtures

bench: $(VENV)/.dev
	@$(BIN)/python -m samples.unpack
	@test -x $(VENV)-bench/bin/vol || { $(PYTHON) -m venv $(VENV)-bench && $(VENV)-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt; }
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

fuzz: $(VENV)/.dev
	@$(BIN)/python -m samples.unpack
	STOPCODE_FUZZ=long $(BIN)/python -m pytest -n $(JOBS) -m fuzz $(PYTEST_ARGS)

lock: export UV_CUSTOM_COMPILE_COMMAND = make lock
lock:
	uv pip compile requirements/build.in --universal --generate-hashes --python-version 3.11 --quiet -o requirements/build.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --quiet -o requirements/run.txt
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --quiet -o requirements/dev.txt
	uv pip compile pyproject.toml --extra remote --universal --python-version 3.11 --generate-hashes --quiet -o requirements/remote.txt
	uv pip compile pyproject.toml --extra symbols --universal --python-version 3.11 --generate-hashes --quiet -o requirements/symbols.txt
	uv pip compile pyproject.toml --extra bench --universal --python-version 3.11 --generate-hashes --quiet -o requirements/bench.txt

clean:
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find samples/built -type f ! -name '*.xz' ! -name 'README.md' -delete
