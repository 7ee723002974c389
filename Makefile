# make demo: install, run the first clips of the benchmark on the embedded world, say what they reproduce.
# make benchmark: the same with 256 clips of each method, for hours; kill it and start it again as you like.
# make demo-data, make benchmark-data: only the data sets of these, for deployments (see docs/deployment.md).
# make tables: the tables of papers, in all formats, from small runs on the embedded world (out/tables).
# make test: install, run the test suite, all but a few long drills; make drills: these.
# make check: what a developer runs all the time: lint, formats, layers, in seconds.
# make test-quick: what a developer runs before a commit, in a few minutes: the parts that train nothing.
# make smoke: install, run the tests that show within two minutes whether the installation works.
# make docs: the documentation as a site, build/docs/index.html; a broken link ends it.
# make lock: write requirements.lock anew; UPGRADE=--upgrade takes the newest versions.
# Needs only python3 (3.11 or newer, with venv); everything else goes into .venv. PYTHON=python3.12 takes
# another Python, and replaces an environment of a different one; without PYTHON=... an environment that is
# there keeps its own.

VENV ?= .venv
BIN := $(VENV)/bin
ifndef PYTHON
PYTHON := $(or $(shell $(BIN)/python -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null),python3)
endif
RUN_FILE ?= configs/demo.yaml
DEMO_CLIPS ?= 4
BENCHMARK_CLIPS ?= 256

# A file's tests stay together, as they share what is slow to set up, in the order of tests/conftest.py.
IN_PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

STAMP := $(VENV)/.installed
# Without bytecode each of the many processes takes 20 s more to import torch and transformers.
unexport PYTHONDONTWRITEBYTECODE
# Beside the environment and not in it: `sync` removes what is not in the lock.
UV := $(VENV)/uv/bin/uv pip
UV_FLAGS := --quiet --python $(BIN)/python
LOCKS := requirements-bootstrap.lock requirements.lock pyproject.toml

PYTHON_IS := -c 'import sys; print(sys.version)'

.PHONY: demo demo-data benchmark benchmark-data tables check test test-quick drills smoke docs venv lock lint clean
.DEFAULT_GOAL := demo

# Clips and captions of the first N samples are those of the first N of more.
WORLD = $(BIN)/reelbench world write data/demo --train 4

demo-data: venv
	@$(WORLD) --layout msrvtt --validate 4 --test $(DEMO_CLIPS)
	@$(WORLD) --layout ssv2 --validate $(DEMO_CLIPS) --test 4

demo: demo-data
	@$(BIN)/reelbench run $(RUN_FILE) --limit $(DEMO_CLIPS) --against docs/benchmark

benchmark-data: venv
	@$(WORLD) --layout msrvtt --validate 4 --test $(BENCHMARK_CLIPS)
	@$(WORLD) --layout ssv2 --validate $(BENCHMARK_CLIPS) --test 4

benchmark: benchmark-data
	@$(BIN)/reelbench run $(RUN_FILE) --limit $(BENCHMARK_CLIPS) --output out/benchmark --against docs/benchmark

tables: venv
	@$(BIN)/reelbench world write data/tables --train 4 --validate 4 --test 4
	@for run in text-to-video ablations prediction editing; do $(BIN)/reelbench run configs/tables/$$run.yaml || exit; done
	@$(BIN)/python benchmarks/paper_tables.py out/tables

test: venv
	@$(BIN)/python -m pytest $(IN_PARALLEL)

drills: venv
	@$(BIN)/python -m pytest -m drill --durations=0

smoke: venv
	@$(BIN)/python -m pytest -m smoke --durations=5

check: venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/python -m pytest tests/test_layers.py tests/test_packaging.py tests/test_recorded_sources.py

test-quick: venv
	@$(BIN)/python -m pytest $(IN_PARALLEL) -m "not e2e" --durations=5 $(addprefix tests/,core datasets metrics reports cli)

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types && ln -sfn .. .types/reelbench
	MYPYPATH=.types $(BIN)/mypy -p reelbench

# Redone when a lock, pyproject.toml or the Python changes; the stamp is written last, so an install that was
# interrupted is begun again. The checksum in it, and not the files' times, decides: a fresh clone or a checkout
# gives every file a new time. One that was moved or copied is made anew: its programs name their place.
venv:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Reelbench needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) comes without venv; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@python="$$($(PYTHON) $(PYTHON_IS))"; place="$$(cd $(BIN) 2>/dev/null && pwd -P || echo new)"; \
	wanted="$$(cat $(LOCKS) | cksum) $$python"; \
	if [ "$$wanted" != "$$(cat $(STAMP) 2>/dev/null)" ] || ! grep -qsF "$$place/" $(BIN)/pip; then \
	  set -e; \
	  echo "Installing into $(VENV) (several GB the first time) ..."; \
	  rm -f $(STAMP); \
	  [ "$$python" = "$$($(BIN)/python $(PYTHON_IS) 2>/dev/null)" ] && grep -qsF "$$place/" $(BIN)/pip \
	    && $(BIN)/python -m pip --version >/dev/null 2>&1 \
	    || $(PYTHON) -m venv --clear $(VENV); \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/uv \
	    --require-hashes -r requirements-bootstrap.lock; \
	  $(UV) sync $(UV_FLAGS) --require-hashes requirements.lock || { \
	    echo "uv could not; trying pip, which takes some minutes (and knows pip's own settings) ..."; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; }; \
	  $(UV) install $(UV_FLAGS) --no-deps --no-build-isolation -e .; \
	  echo "$$wanted" > $(STAMP); \
	fi

# The banner that is silenced is an advertisement, and not about this site.
docs: venv
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict
	@echo "build/docs/index.html"

# One version of a library for all Pythons where there is one (`fewest`). Pins that still fit are kept.
lock: venv
	$(UV) compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
	  --python-version 3.11 --fork-strategy fewest --all-extras $(UPGRADE) pyproject.toml -o requirements.lock

clean:
	rm -rf .venv .venv-smoke .types build *.egg-info .pytest_cache .mypy_cache .ruff_cache
