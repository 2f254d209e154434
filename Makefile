# make demo   a real task, from clone to removed environment      make test   everything but the slow tests
# Each works in a fresh clone on a Debian or Ubuntu machine: .ci/setup installs what is missing and makes .venv.

PYTHON = .venv/bin/python
PYTEST = $(PYTHON) -m pytest
WORKERS ?= 2

.PHONY: help setup demo demo-docker demo-local test test-slow lint types check bench bench-egress bench-guard bench-devcontainer bench-agents clean

help:
	@printf '%s\n' \
	  'make demo         run a real task: in a container where an engine answers or can be started, else under bubblewrap' \
	  'make demo-docker  the same on a Docker engine of its own, which ends with it' \
	  'make demo-local   the same under bubblewrap' \
	  'make test         all tests but the slow ones, by two workers (WORKERS=N; TESTS=PATH... for some of them)' \
	  'make test-slow    the slow ones' \
	  'make lint types   ruff; mypy --strict' \
	  'make bench        what a run costs, against a plain clone and a raw engine' \
	  'make bench-egress what the way out costs, against sandbox-runtime and no proxy' \
	  'make bench-agents what a run adds around an agent'"'"'s own time' \
	  'make bench-devcontainer  what dev containers cost, against the reference CLI and raw docker' \
	  'make bench-guard  what the Docker guard costs, against the raw socket and haproxy' \
	  'make clean        remove what these made in the tree'

setup:
	@.ci/setup run

demo:
	@examples/demo.sh

demo-docker:
	@examples/demo.sh own-engine

demo-local:
	@examples/demo.sh local

test: setup-test
	$(PYTEST) -n $(WORKERS) --dist loadgroup -m 'not slow' $(TESTS)

test-slow: setup-test
	$(PYTEST) -m slow $(TESTS)

.PHONY: setup-test
setup-test:
	@.ci/setup run engine test

lint: setup
	$(PYTHON) -m ruff check .

types: setup
	$(PYTHON) -m mypy --strict orchestrator

check: lint types test

bench: setup-test
	$(PYTHON) bench/run.py

bench-egress: setup-test
	$(PYTHON) bench/egress.py

bench-guard: setup-test
	$(PYTHON) bench/guard.py

bench-agents: setup-test
	$(PYTHON) bench/agents.py $(if $(DOCKER_HOST),--engine $(DOCKER_HOST))

bench-devcontainer: setup-test
	$(PYTHON) bench/devcontainer.py

clean:
	rm -rf .venv .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
