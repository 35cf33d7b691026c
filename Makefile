# The few commands people use.  `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv

.DEFAULT_GOAL := help
.PHONY: help setup test lint types imports check parity gates test-gpu lowest wheel clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## make .venv and install everything a developer needs
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install -e '.[dev]'

test:  ## run all tests
	$(VENV)/bin/pytest -q

lint:  ## ruff: style and format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types:  ## mypy --strict over all five packages and the tests
	$(VENV)/bin/mypy

imports:  ## who may import whom
	$(VENV)/bin/lint-imports

check: lint types imports test  ## everything CI checks, in the present environment

parity:  ## run the parity tests and rewrite docs/parity.md
	$(VENV)/bin/python -m fgvc_benchmarks.parity

gates:  ## recompile every GPU kernel for every chip and compare with the baseline (3 CPU-minutes)
	$(VENV)/bin/python -m fgvc_kernels.aot check

test-gpu:  ## everything that needs a GPU, into gpu-report.json
	$(VENV)/bin/python -m fgvc_benchmarks.gpu_report

lowest:  ## test the runtime with the oldest packages it allows
	.ci/lowest

wheel:  ## build the wheel and the sdist into dist/
	$(VENV)/bin/pip wheel --no-deps -w dist .

clean:  ## remove caches and build output
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
