"""Processes of other people, each with its own key and environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.warm_python import WarmPython, warm_python

PROMOTE = "import sys; from modelgate import cli; from steps import promote; sys.exit(cli.run_guarded(promote.main))"
# What a promotion imports, most of it only when it is needed.
IMPORTED = (
    "steps.promote",
    "requests",
    "scipy.optimize",
    "wandb.apis.public.registries.registry",
    "wandb.sdk.artifacts._generated.fetch_artifact_manifest",
    "wandb.sdk.artifacts._generated.input_types",
    "wandb.sdk.launch",
)


@pytest.fixture(scope="session")
def people() -> Iterator[WarmPython]:
    with warm_python(IMPORTED) as python:
        yield python
