# `make demo` and `make test` do all the set-up themselves: Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is installed follows the machine: `gpu`, with CUDA, where Linux on x86-64 has an NVIDIA card; else `cpu`.
# `make EXTRA=cpu demo` or `make EXTRA=gpu demo` chooses by hand.
DETECTED := $(shell [ "$$(uname -sm)" = "Linux x86_64" ] && nvidia-smi -L 2>/dev/null | grep -q "^GPU " && echo gpu || echo cpu)
EXTRA ?= $(DETECTED)
LOCK_cpu := requirements.lock
LOCK_gpu := requirements-gpu.lock
LOCK := $(LOCK_$(EXTRA))
ifeq ($(LOCK),)
$(error EXTRA: expected cpu or gpu, got "$(EXTRA)")
endif
READY := $(VENV)/.ready-$(EXTRA)

.PHONY: demo test test-fast check docs wheels bench lock clean

demo: $(READY)
	$(BIN)/kits demo

# Two at a time: most tests wait for a process, a server or a disk. A file's tests stay together, and share what they set up.
# Three at a time were not faster on two cores.
# In UTF-8 whatever the locale: the tests read what other processes print.
# They start hundreds of processes, each of which would compile the packages where PYTHONDONTWRITEBYTECODE is set.
test: check
	$(BIN)/python -m compileall -q kits_core db tasks flows deployments
	PYTHONUTF8=1 $(BIN)/python -m pytest -n 2 --durations 20 --dist loadfile --no-loadscope-reorder

# What needs no server, no database server and no training, and no test of many seconds: under two minutes on two cores.
FAST := tests/kits_core/test_*.py $(addprefix tests/kits_core/,geometry inference metrics recipe report scan source) \
	tests/kits_core/structures tests/db tests/deployments/reference tests/deployments/cli/test_output.py tests/deployments/cli/test_table.py \
	tests/docs/test_examples.py tests/flows/test_imports.py
test-fast: $(READY)
	PYTHONUTF8=1 $(BIN)/python -m pytest -n 2 --dist loadfile -q -m "not slow" -k "not postgresql" $(FAST)

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/pip-licenses > /dev/null && echo "Licences: none refused (pyproject.toml)"

# The documentation as pages, with its reference made from the code: open build/site/index.html. Links are checked.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 PYTHONUTF8=1 $(BIN)/mkdocs build --quiet && echo "build/site/index.html"

# Whether both locks can be installed on every platform and Python that we promise; asks the package index.
wheels: $(READY)
	@.ci/wheels $(BIN)/uv

bench: $(READY)
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

# Names, versions and hashes, for every platform and Python that pyproject.toml allows; no address of an index.
# The second lock starts from the first, so that they differ in what a graphics card needs alone.
COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	--extra dask --extra mlflow --extra wandb --extra dev --extra docs
lock: $(READY)
	$(COMPILE) --upgrade --extra cpu --output-file $(LOCK_cpu) pyproject.toml
	cp $(LOCK_cpu) $(LOCK_gpu)
	$(COMPILE) --extra gpu --output-file $(LOCK_gpu) pyproject.toml

clean:
	rm -rf $(VENV)

# From an empty environment: tensorflow and tensorflow-cpu would overwrite each other's files.
$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "expected Python 3.11 or newer, got $$($(PYTHON) --version); try make PYTHON=python3.12"; exit 1; }
	@echo "installs $(LOCK), for a machine $(if $(filter gpu,$(EXTRA)),with an NVIDIA card,without an NVIDIA card) (make EXTRA=$(if $(filter gpu,$(EXTRA)),cpu,gpu) for the other)"
	$(PYTHON) -m venv --clear $(VENV)
	@# The lock is complete; left to resolve, pip looks at newer releases of what is asked for with an extra, and stops.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@
