# One entry for everything: `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
DATASET ?= demo
DATA_DIR ?=
CONFIG ?=
CASES ?=
SEEDS ?= 3
DATE ?=
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
DEMO_ARGS := --dataset $(DATASET) $(if $(DATA_DIR),--data-dir "$(DATA_DIR)") $(if $(CONFIG),--config "$(CONFIG)")

# uv trusts its own list of authorities unless told otherwise; the system's also knows a company's proxy, as pip does
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= true
endif

.PHONY: help setup demo down status clean test test-unit test-e2e lint types arch lock screenshots page-screenshots bench-quality bench-newcomers bench-speed bench-serve bench-peers

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}'

setup: $(STAMP) ## Create .venv and install the locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed, $(PYTHON) is: $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null \
		|| { echo "A C++ compiler is needed to build annoy. Try: apt-get install g++"; exit 1; }
	@echo "installing into $(VENV)"
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) \
		|| { echo "The venv module is needed. Try: apt-get install python3-venv"; exit 1; }
	@$(RUN) -m uv --version >/dev/null 2>&1 || $(RUN) -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	@$(RUN) -m uv pip install --quiet --python $(RUN) --require-hashes -r requirements.lock
	@$(RUN) -m uv pip install --quiet --python $(RUN) --no-deps -e .
	@touch $@

demo: setup ## Start Airflow and MLflow, run the loop to a champion (DATASET=demo|movielens-1m|movielens-100k, DATA_DIR=, CONFIG=)
	@$(RUN) -m recsys.stack demo $(DEMO_ARGS)

down: ## Stop every process of the stack
	@if test -x $(RUN); then $(RUN) -m recsys.stack down; fi

status: ## Say what runs, and where
	@$(RUN) -m recsys.stack status

clean: down ## Stop everything and remove all state
	@rm -rf state
	@find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

test: test-unit ## Run every test
	@$(RUN) -m pytest -m "e2e or slow"

test-unit: setup ## Run the unit and property tests, in under two minutes
	@$(RUN) -m pytest -n 2 --dist loadfile -m "not e2e and not slow"

test-e2e: setup ## Run the loop through the real Airflow and MLflow
	@$(RUN) -m pytest -m e2e

lint: setup ## Check style and format
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

types: setup ## Check types strictly
	@$(RUN) -m mypy

arch: setup ## Check who imports whom
	@$(VENV)/bin/lint-imports

lock: setup ## Resolve the dependencies anew into requirements.lock
	@$(RUN) -m uv pip compile --quiet --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --extra dev pyproject.toml -o requirements.lock

bench-quality: setup ## Run the benchmark cases and rewrite benchmarks/RESULTS.md (CASES="v2 v5", SEEDS=3)
	@$(RUN) benchmarks/quality.py $(CASES) --seeds $(SEEDS)

bench-newcomers: setup ## Measure every path of cold start on MovieLens 1M (docs/newcomers.md)
	@for each in coldstart newitems warmstart onboarding reranking; do $(RUN) benchmarks/$$each.py || exit 1; done

bench-serve: setup ## Measure the online service under load, and rewrite benchmarks/SERVE.md
	@$(RUN) benchmarks/serve.py

bench-speed: setup ## Measure what training costs by events and catalogue and rewrite benchmarks/SPEED.md (DATE=2026-01-31)
	@$(RUN) benchmarks/profile_step.py --plot benchmarks/step.png
	@$(RUN) benchmarks/speed.py run $(if $(DATE),--date $(DATE))

.venv-peers/.installed: $(STAMP) benchmarks/peers/requirements.lock
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check "torch==2.13.0"
	@$(RUN) -m uv pip install --quiet --python .venv-peers/bin/python --no-deps --require-hashes \
		-r benchmarks/peers/requirements.lock
	@touch $@

bench-peers: .venv-peers/.installed ## Fit other people's models on the same splits (CASES="v2 v5"); bench-quality measures them
	@for case in $(or $(CASES),v1 v2 v3 v5 v6); do \
		$(RUN) benchmarks/peers/split.py $$case && .venv-peers/bin/python benchmarks/peers/run.py $$case \
		&& $(RUN) benchmarks/peers/tfrs_tutorial.py $$case || exit 1; done

screenshots: setup ## Take the README's pictures: a taste shift, run through a stack of its own
	@$(RUN) docs/screenshots.py

page-screenshots: setup ## Take the pictures of the service's page, by a service of its own
	@$(RUN) -m docs.page_screenshots
