"""
Import the SDK once, and run each step in a fork of this interpreter.

    python -m runner.prepared

For each step, it reads one JSON line on standard input ({"module", "argv", "environ", "stdout"}) and writes the step's
exit code (negative: the signal that ended it) as a line on standard output. It ends when its input ends.

An unchanged step would spend most of its time on importing the SDK (0.6 s of CPU), starting its service, and shutting
both down. Here, this happens once, while the server starts. Each step runs the same as `python -m <module> <argv>`, and
nothing that it changes in its process reaches the next step.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from select import select
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn

from modelgate import config
from runner.processes import end_with_parent

# What every step imports at its first requests to W&B. The SDK's pydantic models of answers take a third of a second.
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
# What later steps import in addition.
AHEAD = (
    "modelgate.gate.report",
    "modelgate.judging",
    "modelgate.promotion.changes",
    "modelgate.promotion.ledger",
    "modelgate.tracking.charts",
    "wandb.apis._generated.get_projects",
    "wandb.sdk.artifacts._generated.artifact_created_by",
    "wandb.sdk.artifacts._generated.fetch_organization",
    "wandb.sdk.artifacts._generated.fetch_registry",
    "wandb.sdk.artifacts._generated.project_artifacts",
    "wandb.sdk.artifacts._generated.registry_user_members",
)

# Each step that needs the framework, by the step before it that takes long if there is work.
NEXT = {"steps.build": "steps.train", "steps.train": "steps.evaluate"}
# What these steps import in addition to Keras: the split of the rows, and the variations of images.
WITH_KERAS = ("sklearn.model_selection", "scipy.ndimage")
# A step that has run for so long has work to do, so its successor has, too. An unchanged step takes less than half.
AT_WORK_S = 2.0

# What this process has ended with, once that is known.
_code: int | None = None


def main() -> None:
    atexit.register(stop_here)
    signal.signal(signal.SIGTERM, end)  # so that the imports' temporary folders are removed
    orders, codes = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    interpreter = os.getpid()
    with service():
        folders = [thing for thing in gc.get_objects() if isinstance(thing, TemporaryDirectory)]
        gc.freeze()  # a fork that ends does not visit the modules that it shares: 0.1 s of CPU each
        gc.enable()
        early: dict[str, Early] = {}
        try:
            for line in os.fdopen(orders):
                order = json.loads(line)
                step = early.pop(order["module"], None) or fork(interpreter, folders, codes)
                step.send(line)

                def meanwhile(order: Any = order) -> None:
                    import_ahead()
                    if (follower := NEXT.get(order["module"])) and follower not in early:
                        early[follower] = fork(interpreter, folders, codes, use_case_of(order["argv"]))

                os.write(codes, b"%d\n" % wait_for(step.pid, meanwhile))
        finally:
            if os.getpid() == interpreter:
                for step in early.values():
                    step.end()


class Early(NamedTuple):
    """A fork that waits for the order of its step."""

    pid: int
    pipe: int

    def send(self, order: str) -> None:
        with os.fdopen(self.pipe, "w") as pipe, suppress(BrokenPipeError):  # its exit code tells that it has ended
            pipe.write(order)

    def end(self) -> None:
        os.close(self.pipe)
        os.kill(self.pid, signal.SIGKILL)  # it has made no folder yet
        os.waitpid(self.pid, 0)


def fork(
    interpreter: int, folders: Iterable[TemporaryDirectory[str]], codes: int, use_case: str | None = None
) -> Early:
    """
    Fork what becomes a step at its order. use_case: of a step that is not ordered yet. If the order does not come
    soon, the fork imports the use case's framework meanwhile.

    It is imported in the fork because TensorFlow does not survive one.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writing)
        os.close(codes)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        end_with_parent()
        if os.getppid() == interpreter:  # else it was killed before the line above
            become_step(reading, folders, use_case)
        os._exit(1)
    os.close(reading)
    return Early(pid, writing)


def become_step(pipe: int, folders: Iterable[TemporaryDirectory[str]], use_case: str | None) -> None:
    """In a fork: wait for the order, and be the step. Returns if no order comes."""
    if use_case and not select([pipe], [], [], AT_WORK_S)[0]:
        import_framework(use_case)
    with os.fdopen(pipe) as orders:
        order = orders.readline()
    if order:
        with own_temporary_folders(folders):
            run(json.loads(order))
        leave(0)


def use_case_of(argv: Iterable[str]) -> str | None:
    return next((word.partition("=")[2] for word in argv if word.startswith("--use-case=")), None)


def import_framework(use_case: str) -> None:
    """Import what takes seconds, if the format can. If it fails, the step fails likewise, and says so."""
    with suppress(Exception):
        framework = config.load(use_case).framework
        importlib.import_module(f"modelgate.frameworks.{framework}_format").prepare()
        import_all(WITH_KERAS)  # a format without `prepare` sets the number of threads before it imports scikit-learn


@contextmanager
def service() -> Iterator[None]:
    """
    Import the SDK, and start its service (`wandb-core`) for all steps.

    A variable tells each step about the service, so a step does not start its own, and leaves it running. The SDK
    sleeps for 0.2 s when it starts one, so the other imports happen in that time.
    """
    interpreter = os.getpid()
    gc.disable()  # almost everything that an import makes is kept
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(service_starter())
        import_all(QUESTIONS)
    process = starting.result()
    try:
        yield
    finally:
        if process and os.getpid() == interpreter:
            process.terminate()
            process.wait()


def service_starter() -> Callable[[], subprocess.Popen[bytes] | None]:
    """Return what starts the service. If another release of the SDK does this differently, each step starts its own."""
    try:
        from wandb.sdk.lib.service import service_process
        from wandb.sdk.wandb_settings import Settings
    except ImportError:
        return lambda: None

    def start() -> subprocess.Popen[bytes]:
        started = service_process.start(Settings())
        started.token.save_to_env()
        return started._process

    return start


def end(*_: object) -> NoReturn:
    leave(128 + signal.SIGTERM)


def leave(code: int) -> NoReturn:
    """
    Exit without the shutdown of the interpreter, which takes 50 ms to unload all modules.

    Before that, everything happens as usual: threads are joined, and exit handlers run, `stop_here` last.
    """
    global _code
    _code = code
    sys.exit(code)


def stop_here() -> None:
    """The last exit handler."""
    if _code is not None:
        logging.shutdown()  # registered before us, so it would come after us
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_code)


def import_ahead() -> None:
    """Import what later steps need, while the first one runs. Modules that are already imported cost nothing."""
    import_all(AHEAD)
    gc.freeze()


def import_all(modules: Iterable[str]) -> None:
    for module in modules:
        with suppress(ImportError):  # another release of the SDK has other parts
            importlib.import_module(module)


def wait_for(step: int, meanwhile: Callable[[], None]) -> int:
    """The step's exit code. If this process is asked to end meanwhile, the step is asked, and this process follows."""
    asked = []

    def ask(number: int, frame: object) -> None:
        asked.append(number)
        os.kill(step, number)

    signal.signal(signal.SIGTERM, ask)
    meanwhile()
    os.waitid(os.P_PID, step, os.WEXITED | os.WNOWAIT)  # until it is waited for below, no other process has its id
    signal.signal(signal.SIGTERM, end)
    _, status = os.waitpid(step, 0)
    if asked:
        end()
    return os.waitstatus_to_exitcode(status)


@contextmanager
def own_temporary_folders(shared: Iterable[TemporaryDirectory[str]]) -> Iterator[None]:
    """
    Give this fork its own copy of each temporary folder that an import made (the SDK has one for pictures).

    When a fork ends, it removes the folder that it uses, but the next fork needs it.
    """
    with ExitStack() as stack:
        for folder in shared:
            folder.name = stack.enter_context(TemporaryDirectory(prefix="step-"))
        yield


def run(step: dict[str, object]) -> None:
    """Become the step: its standard output goes to the file that the runner reads."""
    os.dup2(os.open(str(step["stdout"]), os.O_WRONLY), 1)
    os.environ.update(step["environ"])  # type: ignore[call-overload]
    sys.argv = [step["module"], *step["argv"]]  # type: ignore[list-item, misc]
    try:
        runpy.run_module(str(step["module"]), run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        if isinstance(exit.code, int):
            leave(exit.code)
        raise


if __name__ == "__main__":
    main()
