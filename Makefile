# `make` prints what there is. Every target sets up what it needs, on a machine with nothing but
# Python 3.11+ and make.

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$name -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
LOCKS := deploy/requirements
FOR_RUN := @deploy/local/environment.sh $(VENV) $(LOCKS)/local.txt "$(or $(PYTHON),python3)"
FOR_DEV := @deploy/local/environment.sh $(VENV) $(LOCKS)/dev.txt "$(or $(PYTHON),python3)"
LOCAL := exec $(BIN)/python -m deploy.local
# Stops the recipe with a word where nothing was ever installed, so that nothing can be running.
UNLESS_INSTALLED := @[ -x $(BIN)/python ] || { echo "Nothing runs: nothing is installed yet."; exit
# Further words for a command: make test ARGS='tests/unit -k lifecycle'
ARGS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run status stop down clock demo ebbtide test check fmt lint types imports lock bench bench-segmenter chaos clean

help: ## Print this
	@awk 'BEGIN { FS = ":.*## " } /^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ The system on this machine
run: ## Start everything and watch over it (DETACH=1: in the background; VERBOSE=1: every log line)
	$(FOR_RUN)
	@$(LOCAL) run $(if $(DETACH),--detach,--with-parent) $(if $(VERBOSE),--verbose)

status: ## Say what runs, where, and whether it is ready
	$(UNLESS_INSTALLED) 3; }; $(LOCAL) status

stop: ## Drain and stop everything in order
	$(UNLESS_INSTALLED) 0; }; $(LOCAL) stop

down: ## Stop, and delete the data
	$(UNLESS_INSTALLED) 0; }; $(LOCAL) down

clock: ## Show product time, or drive it: SET=1997-01-01T00:00:00Z [RATE=0], ADVANCE=7d, REAL=1
	$(FOR_RUN)
	@$(LOCAL) clock $(if $(SET),--set='$(SET)') $(if $(RATE),--rate='$(RATE)') $(if $(ADVANCE),--advance='$(ADVANCE)') $(if $(REAL),--real)

demo: ## A simulated product sends months of history, then live traffic (DATA=cdnow: a real shop's)
	$(if $(DATA),$(FOR_DEV),$(FOR_RUN))
	@exec $(BIN)/python -m deploy.demo $(if $(DATA),--data $(DATA)) $(ARGS)

ebbtide: ## An operators' command (ARGS='import history.csv', ARGS='segmenter status'); or ./ebbtide
	$(FOR_RUN)
	@exec ./ebbtide $(ARGS)

##@ Work on the code
test: ## Run every test, on real Postgres and Kafka (ARGS=… narrows it)
	$(FOR_DEV)
	@exec $(BIN)/python -m pytest $(ARGS)

check: lint types imports ## Everything that can be found without running: the definition of clean

fmt: ## Format the code and mend what can be mended
	$(FOR_DEV)
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

lint: ## Check format and style
	$(FOR_DEV)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

types: ## Check types
	$(FOR_DEV)
	@$(BIN)/mypy

imports: ## Check who imports whom
	$(FOR_DEV)
	@$(BIN)/lint-imports --no-logo

bench: ## Measure throughput, latency and memory beside the raw limits; .local/bench/latest.json
	$(FOR_DEV)
	@exec $(BIN)/python -m tests.bench $(ARGS)

bench-segmenter: ## Measure the segmenter's folding beside its raw limits; .local/bench/segmenter.json
	$(FOR_DEV)
	@exec $(BIN)/python -m tests.bench.segmenter $(ARGS)

chaos: ## Kill, pause and restart everything for a long time, with an independent verifier
	$(FOR_DEV)
	@exec $(BIN)/python -m tests.chaos $(ARGS)

lock: ## Compile the hashed locks again from pyproject.toml
	$(FOR_DEV)
	@for group in dev ingest segmenter alerts api migrate demo cli cli-parquet local; do \
		echo $(LOCKS)/$$group.txt; \
		$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
			--python-version 3.11 --group $$group pyproject.toml --output-file $(LOCKS)/$$group.txt \
			$$([ $$group = dev ] || echo --constraints $(LOCKS)/dev.txt) || exit 1; \
	done

clean: ## Stop, and delete the data, the environment and every cache of this tree
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m deploy.local down
	rm -rf .local $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
