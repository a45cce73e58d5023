# One word per task; CI runs the same words. `make help` lists them.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --prefer-binary
ARGS ?=

# The first Python on this machine that is new enough.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help serve test style types format interop bench fuzz venv clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

serve: $(VENV)/base.stamp ## run the broker here; ARGS="--port 5673 --memory" adds flags
	@exec $(BIN)/amqpbroker serve $(ARGS)

test: style types ## everything CI runs: style, types, tests; ARGS="-k topic" goes to pytest
	$(BIN)/pytest $(ARGS)

style: $(VENV)/dev.stamp ## ruff: lint and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp ## rewrite the sources as `make style` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy

interop: $(VENV)/dev.stamp ## side by side with RabbitMQ (AMQP_ORACLE or RABBITMQ_LOCAL)
	@PYTHON=$(BIN)/python interop/side_by_side --programs 2000 $(ARGS)

bench: $(VENV)/dev.stamp ## speed, memory and latency, beside RabbitMQ where there is one
	@$(BIN)/python -m interop.bench $(ARGS)

fuzz: $(VENV)/dev.stamp ## fuzz what reads bytes from outside; ARGS="--seconds 60 wire" for a part
	@$(PIP) -e '.[fuzz]'
	@$(BIN)/python -m interop.fuzz $(ARGS)

venv: $(VENV)/dev.stamp ## only make .venv with all development tools

clean: ## remove .venv and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "amqpbroker needs Python 3.11 or later: apt install python3.11 python3.11-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make a virtual environment: apt install python3-venv" >&2; exit 1; }

# The stamps make a second run start at once; a changed pyproject.toml installs again.
$(VENV)/base.stamp: pyproject.toml | $(BIN)/python
	@echo "installing amqpbroker into $(VENV) ..." >&2
	@$(PIP) -e .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml | $(BIN)/python
	@echo "installing amqpbroker and its test tools into $(VENV) ..." >&2
	@$(PIP) -e '.[test,dev]'
	@touch $@ $(VENV)/base.stamp
