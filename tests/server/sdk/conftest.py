"""Through the real, unmodified SDK only."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

StartRun = Callable[..., AbstractContextManager[Any]]


@pytest.fixture
def start_run(wandb_env: dict[str, str], project: str) -> StartRun:
    """`with start_run(**options) as run`: a run of this test's own project."""

    @contextmanager
    def start(**options: Any) -> Iterator[Any]:
        import wandb

        with wandb.init(project=project, **options) as run:
            yield run

    return start


@pytest.fixture
def api(wandb_env: dict[str, str], project: str) -> Any:
    import wandb

    return wandb.Api(overrides={"project": project}, timeout=19)
