"""Two processes that promote at the same moment: both have read the ledger before either writes to it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from typing import Any

from modelgate.errors import StepError
from modelgate.promotion import ledger
from steps import promote
from tests import own

MEETING_DEADLINE_S = 240


class Racers:
    """Two processes that stay, so that a race does not start an interpreter."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self.pool = pool

    def promote(self, *evidence: str) -> list[Future[str]]:
        """Return the result of each promotion: `done`, or the name of its refusal."""
        return [self.pool.submit(_promoted, name) for name in evidence]


@contextlib.contextmanager
def racers() -> Iterator[Racers]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    with ProcessPoolExecutor(2, context, _prepare, (barrier,)) as pool:
        yield Racers(pool)


def _prepare(barrier: Barrier) -> None:
    own.install()
    append = ledger.append

    def together(*arguments: Any) -> str:
        barrier.wait(MEETING_DEADLINE_S)
        return append(*arguments)

    ledger.append = together
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the steps' answers


def _promoted(evidence: str) -> str:
    try:
        own_collection = ("--collection", os.environ["WANDB_PROJECT"])
        code = promote.main(["--use-case", "glyphs", "--evidence", evidence, "--approver", "ada", *own_collection])
    except StepError as error:
        return error.name
    return "done" if code == 0 else f"exit {code}"
