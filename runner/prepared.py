"""
An interpreter that imports the SDK once and runs each step in a fork of itself.

    python -m runner.prepared

For each step it reads one JSON line on standard input ({"module", "argv", "environ", "stdout"}) and writes the step's
exit code (negative: the signal that ended it) as a line on standard output. It ends when its input ends.

Most of an unchanged step would be importing the SDK (0.6 s of CPU) and taking it down again. Here the import happens
once, while the server starts. What runs is the same as `python -m <module> <argv>`, and nothing that a step changes in
its process reaches the next one.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from tempfile import TemporaryDirectory
from typing import NoReturn

from runner.processes import end_with_parent

# What every step imports at its first questions to W&B. The SDK's models of answers cost pydantic a third of a second.
QUESTIONS = (
    "requests",
    "wandb.apis.public",
    "wandb.apis._generated.get_default_entity",
    "wandb.sdk.artifacts._internal_artifact",
    "wandb.sdk.artifacts._models.pagination",
    "wandb.sdk.artifacts._generated.artifact_membership_by_name",
    "wandb.sdk.artifacts._generated.fetch_artifact_manifest",
    "wandb.sdk.artifacts._generated.fetch_org_info_from_entity",
    "wandb.sdk.artifacts._generated.fragments",
    "wandb.sdk.artifacts._generated.operations",
    "wandb.sdk.artifacts._generated.project_artifact_collection",
)


def main() -> None:
    signal.signal(signal.SIGTERM, end)  # so that the imports' temporary folders are removed
    for module in QUESTIONS:
        with suppress(ImportError):  # another release of the SDK has other parts
            importlib.import_module(module)

    folders = [thing for thing in gc.get_objects() if isinstance(thing, TemporaryDirectory)]
    gc.freeze()  # a fork that ends does not visit the modules that it shares: 0.1 s of CPU each
    codes = os.dup(1)
    os.dup2(2, 1)
    interpreter = os.getpid()
    for line in sys.stdin:
        step = os.fork()
        if step == 0:
            os.close(codes)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            end_with_parent()
            if os.getppid() == interpreter:  # else it was killed before the line above
                with own_temporary_folders(folders):
                    run(json.loads(line))
            return
        os.write(codes, b"%d\n" % wait_for(step))


def end(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def wait_for(step: int) -> int:
    """The step's exit code. If this process is asked to end meanwhile, the step is asked, and this process follows."""
    asked = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        os.kill(step, number)

    signal.signal(signal.SIGTERM, ask)
    os.waitid(os.P_PID, step, os.WEXITED | os.WNOWAIT)  # until it is waited for below, no other process has its id
    signal.signal(signal.SIGTERM, end)
    _, status = os.waitpid(step, 0)
    if asked:
        end()
    return os.waitstatus_to_exitcode(status)


@contextmanager
def own_temporary_folders(shared: Iterable[TemporaryDirectory[str]]) -> Iterator[None]:
    """
    Have this fork use its own folder for each that an import made (the SDK has one for pictures).

    At its end a fork removes what it uses, and the next one needs it.
    """
    with ExitStack() as stack:
        for folder in shared:
            folder.name = stack.enter_context(TemporaryDirectory(prefix="step-"))
        yield


def run(step: dict[str, object]) -> None:
    """Become the step: its standard output goes to the file that the runner reads."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(str(step["stdout"]), os.O_WRONLY), 1)
    os.environ.update(step["environ"])  # type: ignore[call-overload]
    sys.argv = [step["module"], *step["argv"]]  # type: ignore[list-item, misc]
    runpy.run_module(str(step["module"]), run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
