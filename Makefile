# Every target makes the environment it needs; all work from a clean clone, and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt
# a file's tests share fixtures and stay together; one thread each, as their networks are small
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

# every set of kernels that torch, oneDNN and MKL can be held to; what the processor lacks falls back to what it has
KERNELS := OMP_NUM_THREADS=1 \
	ONEDNN_MAX_CPU_ISA=SSE41 ONEDNN_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX512_CORE ONEDNN_MAX_CPU_ISA=AVX512_CORE_AMX \
	ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 ATEN_CPU_CAPABILITY=avx512 MKL_CBWR=COMPATIBLE
COMPUTING := $(addprefix tests/,adapters/families adapters/models benchmarks cases fitting gate known_answers levels metrics probe \
	reference_models report stats wild test_inspecting.py test_readme.py test_testing.py)

.PHONY: demo test test-kernels test-adapters lint bench example clean

demo: $(VENV)/.installed
	$(BIN)/circuitprobe audit examples/adult_vae.pt examples/adult_sample.csv --target income --groups examples/adult_groups.toml --json demo-audit.json

test: $(VENV)/.installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore=tests/third_party $(PARALLEL)

# the tests that compute, under each set of kernels; the closing lines say which one failed
test-kernels: $(VENV)/.installed-test
	@failed=; for kernels in $(KERNELS); do echo "kernels: $$kernels"; \
		env OMP_NUM_THREADS=1 $$kernels $(BIN)/python -m pytest $(COMPUTING) $(PARALLEL) || failed="$$failed $$kernels"; \
	done; test -z "$$failed" || { echo "failed under:$$failed"; exit 1; }

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
