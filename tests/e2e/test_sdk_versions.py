"""
Other releases of the SDK against this server: the calls of W&B's walkthrough, and the whole loop.

    pytest tests/e2e/test_sdk_versions.py -m prove

All other tests run the locked version of the SDK. Each other version gets a separate environment in
`build/sdk/`, which needs PyPI once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server.conformance import environment, releases

# The loop runs with two of them, on top of the locked environment, plus the packages that only they need.
GIT = ["gitpython==3.2.1", "gitdb==4.0.12", "smmap==5.0.3"]
VERSIONS = {
    "0.28.2": ["wandb==0.28.2", "sentry-sdk==2.75.0", *GIT],
    "0.24.2": ["wandb==0.24.2", "sentry-sdk==2.75.0", *GIT, "protobuf==6.33.6"],
}


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def python_with(version: str) -> str:
    """Return a Python that has the locked environment, with another SDK on top."""
    return str(environment.python(f"wandb-{version}", VERSIONS[version], over_this_one=True))


@pytest.mark.prove
@pytest.mark.timeout(600)
@pytest.mark.parametrize("release", releases.walkthroughs())
def test_the_calls_of_the_walkthrough(release: str, tmp_path: Path) -> None:
    assert releases.walk(release, tmp_path) == releases.PASSED


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_loop_ends_in_production(version: str, clone) -> None:
    clone.python = python_with(version)
    code, output = clone.run("run", "--use-case", "glyphs", "--epochs", "10", APPROVE="ada")
    assert code == 0, output
    promoted = "api.artifact('local-org/wandb-registry-model/glyphs-dev:production').version"
    assert clone.ask(f"dict(sdk=wandb.__version__, production={promoted})") == {"sdk": version, "production": "v0"}
