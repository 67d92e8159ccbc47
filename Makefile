# One target per task. GNU make 3.81 (the version in macOS) is enough.
#
# `make run` and the others pass on what you set: make run APPROVE=ada USE_CASE=digits ARGS="--epochs 20"
# Those names reach the runner through the environment. Only ARGS becomes part of a shell command.

VENV_PYTHON = .venv/bin/python

# An inherited PYTHONPATH or PYTHONHOME could put other libraries in front of the locked ones.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP PYTHONUSERBASE

# For tests: without your W&B variables, with a temporary HOME, but with the Docker engine that you chose. Bytecode is
# written, because hundreds of processes would otherwise compile the same sources.
SEALED = for name in $$(env | sed -n 's/^\(WANDB[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$$name"; done; \
	unset APPROVE USE_CASE RUNNER PYTHONDONTWRITEBYTECODE; DOCKER_CONFIG="$${DOCKER_CONFIG:-$$HOME/.docker}"; export DOCKER_CONFIG; \
	HOME=$$(mktemp -d) && export HOME || exit 1; \
	trap 'rm -rf "$$HOME"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM;

# One more than two cores, because tests wait for processes, containers and servers.
WORKERS = 3

# How each lock is made: for every platform, with hashes, and without the address of an index.
LOCKED = --universal --python-version 3.11 --generate-hashes --no-emit-index-url -q

.PHONY: help setup setup-dev run plan approve rollback status audit predict prune serve serve-model clean images check quick test \
	coverage prove conformance lint docs wheel lock drill bench github-setup github-doctor

help:
	@echo 'make run        train, evaluate and ask you to approve; nothing leaves this machine'
	@echo '                APPROVE=you     approve in advance, if there is no terminal to ask on'
	@echo '                USE_CASE=digits a folder of usecases/'
	@echo '                RUNNER=docker   run each step in its container; needs a Docker engine'
	@echo '                WANDB=own       your own W&B instead of the embedded server; asks first'
	@echo '                ARGS="..."      more flags; to list them: make run ARGS=--help'
	@echo 'make plan       show what `make run` would do, and stop there'
	@echo 'make approve    approve the version that waits     (APPROVE=you; USE_CASE=digits if several wait)'
	@echo 'make rollback   go back to the previous version    (ARGS="--reason TEXT")'
	@echo 'make status     what is in production, what waits for an approval, what ran last'
	@echo 'make audit      what was promoted, by whom, on what evidence   (ARGS=--verify)'
	@echo 'make predict    answer a file of rows with the version in production'
	@echo '                ARGS="--input rows.csv --output answers.parquet"'
	@echo 'make serve-model  answer over HTTP with the version in production; has a page with a form'
	@echo 'make prune      delete datasets and models that nothing refers to; lists them and asks'
	@echo 'make serve      open the pages: what is in production, what waits, runs, the registry'
	@echo 'make clean      remove what the runner keeps in .modelgate/'
	@echo 'make images     build the missing images of the steps and the server'
	@echo 'make setup      create the environment in .venv/; the targets above do it if it is missing'
	@echo '                PYTHON=python3.11  the Python to create it with'
	@echo '                USE_CASE=digits    with the packages that the use case adds'
	@echo 'make github-setup   set up a GitHub repository: environments, reviewers, rules, variables, secrets'
	@echo '                REPO=owner/name REVIEWERS="login org/team" ENTITY=team [ARGS=--dry-run]'
	@echo '                ENVIRONMENT=production-digits   set REVIEWERS only for this environment'
	@echo '                ARGS=--help                     list the other variables'
	@echo 'make github-doctor  what a GitHub repository still lacks   (REPO=owner/name)'
	@echo
	@echo 'For developers of modelgate:'
	@echo 'make setup-dev  create the environment with the test tools; the targets below do it if it is missing'
	@echo 'make check      format, lint and run the quick tests: before each commit'
	@echo 'make quick      run the quick tests alone'
	@echo 'make test       run every test that this machine can run'
	@echo 'make coverage   run the same, and list the lines of the product that no test runs; fails below 95 %'
	@echo 'make prove      run the long proofs'
	@echo 'make conformance  run W&B'"'"'s own system tests against the server (WANDB_TESTS=checkout of wandb/wandb)'
	@echo 'make drill      rehearse a rollback, and print the seconds'
	@echo 'make lint       check format, style, types and shell scripts'
	@echo 'make docs       build the site of docs/ in build/site; a broken link is an error'
	@echo 'make wheel      build the wheel of the server in build/release'
	@echo 'make bench      measure the speed that the project claims'
	@echo 'make lock       remake the locks from pyproject.toml: requirements.txt, requirements-dev.txt, the images'

# To standard error, because a target's answer may go into a pipe: make audit | jq
setup:
	@sh runner/setup.sh >&2
	@[ "$(MAKECMDGOALS)" != setup ] || [ -z "$$USE_CASE" ] || sh runner/setup.sh packages "$$USE_CASE"

setup-dev:
	@sh runner/setup.sh dev

run plan approve rollback status audit predict prune serve serve-model clean images: setup
	@$(VENV_PYTHON) -m runner $@ $(ARGS)

EVERY_TEST = -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m 'not prove'

test: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m pytest $(EVERY_TEST) $(ARGS)

coverage: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m tests.measured $(EVERY_TEST) $(ARGS)

prove: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m pytest -m prove $(ARGS)

# SEALED removes every variable whose name begins with WANDB, so this one is read first.
conformance: setup-dev
	@checkout="$$WANDB_TESTS"; $(SEALED) $(VENV_PYTHON) -m tests.server.conformance "$$checkout" $(ARGS)

# The tests that start no server, no container and no training. These load TensorFlow or draw thousands of samples.
LONGER = gate_errors gate_mutation hostile_models keras_format sklearn_format
QUICK = tests/modelgate tests/test_architecture.py tests/test_documents.py tests/test_prose.py tests/docker/test_dockerfiles.py \
	$(LONGER:%=--ignore tests/modelgate/test_%.py)

check: setup-dev
	@$(VENV_PYTHON) -m ruff format -q .
	@$(MAKE) -j 2 --no-print-directory lint quick

quick: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m pytest -q -n 2 --dist loadfile -m 'not prove' $(QUICK) $(ARGS)

lint: setup-dev
	@$(VENV_PYTHON) -m ruff format --check -q .
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck $$(git ls-files '*.sh' .ci/run); \
	else echo 'shellcheck is not installed: the shell scripts were not checked'; fi

# The generator checks links and anchors; the tests check pictures and the navigation.
docs: setup-dev
	@$(VENV_PYTHON) -m pytest -q tests/test_documents.py -k 'leads_somewhere or navigation'
	@.venv/bin/zensical build --clean --strict

# From a copy, because a build writes next to the code; without an index, because the build tools are in the lock.
wheel: setup-dev
	@rm -rf build/wheel && mkdir -p build/wheel && cp -R modelgate_server build/wheel/
	@$(VENV_PYTHON) -m pip -q wheel --no-deps --no-index --no-build-isolation -w build/release ./build/wheel/modelgate_server

bench: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m benchmarks $(ARGS)

drill: setup-dev
	@$(SEALED) $(VENV_PYTHON) -m benchmarks.drill

# The server's image has the dependencies of the package `modelgate-server`, in the versions of the project.
lock: setup
	@PATH="$$PATH:.venv/bin"; if command -v uv >/dev/null; then \
	image() { uv pip compile "$$1" -c requirements.txt $(LOCKED) --no-annotate --no-emit-package libclang -o "$$2"; }; \
	uv pip compile pyproject.toml --group dev $(LOCKED) -o requirements-dev.txt && \
	uv pip compile pyproject.toml -c requirements-dev.txt $(LOCKED) -o requirements.txt && \
	for wanted in docker/*/*.in usecases/*/requirements.in; do \
	[ ! -e "$$wanted" ] || image "$$wanted" "$${wanted%.in}.txt" || exit; done && \
	image modelgate_server/pyproject.toml docker/server/requirements.txt; \
	else echo 'error: uv is needed to remake the locks' >&2; \
	echo 'hint: https://docs.astral.sh/uv/getting-started/installation/' >&2; exit 2; fi

# These need only Python and gh: an administrator of the repository does not have to install what the steps need.
github-setup github-doctor:
	@python3 -m tools.github $(@:github-%=%) "$$REPO" $${REVIEWERS:+--reviewer "$$REVIEWERS"} \
	$${ENTITY:+--entity "$$ENTITY"} $${BASE_URL:+--base-url "$$BASE_URL"} $${APPROVAL:+--approval "$$APPROVAL"} \
	$${PROMOTE_FROM:+--promote-from "$$PROMOTE_FROM"} $${ENVIRONMENT:+--environment "$$ENVIRONMENT"} $(ARGS)
