# make demo: install, run the two benchmarks on the embedded world (text-to-video, editing), show what comes out.
# make test: install, run the whole test suite.
# Needs only python3 (3.11 or newer, with venv); everything else goes into .venv.

PYTHON ?= python3
RUN_FILE ?= configs/demo.yaml
EDITING_FILE ?= configs/editing.yaml

BIN := .venv/bin
STAMP := .venv/.installed
# Beside the environment and not in it: `sync` removes what is not in the lock.
UV := .venv/uv/bin/uv pip
UV_FLAGS := --quiet --python $(BIN)/python
LOCKS := requirements-bootstrap.lock requirements.lock pyproject.toml

.PHONY: demo test venv lint clean
.DEFAULT_GOAL := demo

demo: venv
	@$(BIN)/reelbench world write data/sprites --layout msrvtt
	@$(BIN)/reelbench run $(RUN_FILE)
	@$(BIN)/reelbench contact-sheet $(RUN_FILE)
	@$(BIN)/reelbench world write data/sprites --layout loveu --test 8
	@$(BIN)/reelbench run $(EDITING_FILE)
	@$(BIN)/reelbench contact-sheet $(EDITING_FILE)

test: venv
	@$(BIN)/python -m pytest

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p .types && ln -sfn .. .types/reelbench
	MYPYPATH=.types $(BIN)/mypy -p reelbench

venv: $(STAMP)

# Redone when a lock or pyproject.toml changes; the stamp is written last, so an install that was
# interrupted is begun again. The checksum in it, and not the files' times, decides: a fresh clone or a
# checkout gives every file a new time.
$(STAMP): $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Reelbench needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; try: make PYTHON=python3.12")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) comes without venv; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@if ! cat $(LOCKS) | cksum | cmp -s - $@; then \
	  set -e; \
	  echo "Installing into .venv (several GB the first time) ..."; \
	  rm -f $@; \
	  $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target .venv/uv \
	    --require-hashes -r requirements-bootstrap.lock; \
	  $(UV) sync $(UV_FLAGS) --require-hashes requirements.lock || { \
	    echo "uv could not; trying pip, which takes some minutes (and knows pip's own settings) ..."; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock; }; \
	  $(UV) install $(UV_FLAGS) --no-deps --no-build-isolation -e .; \
	  cat $(LOCKS) | cksum > $@; \
	fi
	@touch $@

clean:
	rm -rf .venv .types build *.egg-info .pytest_cache .mypy_cache .ruff_cache
