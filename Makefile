# One word for each thing a person does here. GNU make 3.81 (the one macOS ships) is enough.
#
# `make run` and the others pass on what you say about it: make run APPROVE=ada USE_CASE=digits ARGS="--epochs 20"
# Those names reach the runner through the environment; no value is ever part of a shell command but ARGS.

PYTHON = .venv/bin/python

# Somebody's PYTHONPATH or PYTHONHOME must not put other libraries in front of the locked ones.
unexport PYTHONPATH PYTHONHOME PYTHONSAFEPATH PYTHONSTARTUP PYTHONUSERBASE

# For tests: none of the person's W&B variables, and a HOME of their own, but the engine that the person has chosen.
SEALED = for name in $$(env | sed -n 's/^\(WANDB[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$$name"; done; \
	unset APPROVE USE_CASE RUNNER; DOCKER_CONFIG="$${DOCKER_CONFIG:-$$HOME/.docker}"; export DOCKER_CONFIG; \
	HOME=$$(mktemp -d) && export HOME || exit 1; \
	trap 'rm -rf "$$HOME"' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM;

.PHONY: help setup run plan approve rollback status serve clean images test prove conformance lint lock drill bench \
	github-setup github-doctor

help:
	@echo 'make run        retrain, evaluate and be asked to approve; nothing leaves this machine'
	@echo '                APPROVE=you     approve in advance, for want of a terminal'
	@echo '                USE_CASE=digits a folder of usecases/'
	@echo '                RUNNER=docker   each step in its container; needs a Docker engine'
	@echo '                WANDB=own       your own W&B instead of the embedded server; asks first'
	@echo '                ARGS="..."      more flags: .venv/bin/python -m runner run --help'
	@echo 'make plan       what `make run` would do, and no more'
	@echo 'make approve    approve what a run left open       (APPROVE=you)'
	@echo 'make rollback   go back to the version before      (ARGS="--reason TEXT")'
	@echo 'make status     what is in production, what waits, what ran last'
	@echo 'make serve      open the pages of the embedded server'
	@echo 'make clean      remove what the runner keeps in .modelgate/'
	@echo 'make images     build the images of the steps and the server that are missing'
	@echo 'make setup      the environment in .venv/; every other target does it by itself'
	@echo 'make github-setup   environments, reviewers, rules, variables and secrets of a repository on GitHub'
	@echo '                REPO=owner/name REVIEWERS="login org/team" ENTITY=team [ARGS=--dry-run]'
	@echo 'make github-doctor  what a repository on GitHub lacks   (REPO=owner/name)'
	@echo 'make test       every test that this machine can run'
	@echo 'make prove      the long proofs'
	@echo 'make conformance  W&B'"'"'s own system tests against the server (WANDB_TESTS=checkout of wandb/wandb)'
	@echo 'make drill      rehearse a rollback, and print the seconds'
	@echo 'make lint       ruff, mypy, shellcheck'
	@echo 'make bench      what the project claims about speed, measured here'
	@echo 'make lock       remake requirements.txt from pyproject.toml, and the locks of the images from it'

setup:
	@sh runner/setup.sh

run plan approve rollback status serve clean images: setup
	@$(PYTHON) -m runner $@ $(ARGS)

test: setup
	@$(SEALED) $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not prove' $(ARGS)

prove: setup
	@$(SEALED) $(PYTHON) -m pytest -m prove $(ARGS)

# Its name is one of those that SEALED takes away.
conformance: setup
	@checkout="$$WANDB_TESTS"; $(SEALED) $(PYTHON) -m tests.server.conformance "$$checkout" $(ARGS)

lint: setup
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck $$(git ls-files '*.sh' .ci/run); \
	else echo 'shellcheck is not installed: the shell scripts were not checked'; fi

bench: setup
	@$(SEALED) $(PYTHON) -m benchmarks $(ARGS)

drill: setup
	@$(SEALED) $(PYTHON) -m benchmarks.drill

lock: setup
	@PATH="$$PATH:.venv/bin"; if command -v uv >/dev/null; then \
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url -q -o requirements.txt && for wanted in docker/*.in docker/*/*.in; do \
	uv pip compile "$$wanted" -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-emit-package libclang -q -o "$${wanted%.in}.txt" || exit; done; \
	else echo 'error: uv is needed to remake the lock' >&2; \
	echo 'hint: https://docs.astral.sh/uv/getting-started/installation/' >&2; exit 2; fi

# Python alone, and gh: whoever administers the repository need not install what the steps need.
github-setup github-doctor:
	@python3 tools/github_setup.py $(@:github-%=%) "$$REPO" $${REVIEWERS:+--reviewer "$$REVIEWERS"} \
	$${ENTITY:+--entity "$$ENTITY"} $${BASE_URL:+--base-url "$$BASE_URL"} $${APPROVAL:+--approval "$$APPROVAL"} \
	$${PROMOTE_FROM:+--promote-from "$$PROMOTE_FROM"} $(ARGS)
