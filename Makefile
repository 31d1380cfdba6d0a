# Every target makes the environment it needs; all work from a clean clone, and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
# a file's tests share fixtures and stay together; one thread each, as their networks are small
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

.PHONY: demo test test-adapters lint bench example clean

demo: $(VENV)/.installed
	$(BIN)/circuitprobe audit examples/adult_vae.pt examples/adult_sample.csv --target income --groups examples/adult_groups.toml --json demo-audit.json

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/third_party $(PARALLEL)

# models of other libraries, trained and saved as their users do: pythae, ctgan, diffusers
test-adapters: $(VENV)/.installed-test-adapters
	$(BIN)/python -m pytest tests/third_party

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks.run

example: $(VENV)/.installed
	$(BIN)/python examples/make_example.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache demo-audit.json

# torch goes first and pinned: with it in place no other package asks for another build of it
$(VENV)/.torch: constraints.txt
	@echo "making $(VENV) (a few minutes the first time)"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -qq "$$(grep '^torch==' constraints.txt)"
	touch $@

$(VENV)/.installed: $(VENV)/.torch $(INPUTS)
	$(PIP) install -qq -c constraints.txt -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.torch $(INPUTS)
	$(PIP) install -qq -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-test-adapters: $(VENV)/.torch $(INPUTS)
	$(PIP) install -qq -c constraints.txt -e '.[test-adapters]'
	touch $@ $(VENV)/.installed-test $(VENV)/.installed

$(VENV)/.installed-bench: $(VENV)/.torch $(INPUTS)
	$(PIP) install -qq -c constraints.txt -e '.[bench]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: $(VENV)/.torch $(INPUTS)
	$(PIP) install -qq -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.installed-test $(VENV)/.installed
