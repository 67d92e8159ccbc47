"""
Import the SDK once, and run each step in a fork of this interpreter.

    python -m runner.prepared

For each step, it reads one JSON line on standard input ({"module", "argv", "environ", "stdout"}) and writes the step's
exit code (negative: the signal that ended it) as a line on standard output. It ends when its input ends.

    python -c "<the text of this file>" steps.<name>

In the container of a step, which has no other file of the runner, it imports what the step needs, and becomes the step
when the step's arguments come ({"argv"}). So containers start while earlier steps still run.

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
import random
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from select import select
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, NoReturn, TextIO

from modelgate import config

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
    orders, answers = os.fdopen(os.dup(0)), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    service = import_sdk()
    if sys.argv[1:]:
        wait_for_turn(sys.argv[1], orders, answers)  # the service ends with the container
        return
    interpreter = os.getpid()
    try:
        fork_for_each(orders, answers)
    finally:
        if service and os.getpid() == interpreter:
            service.terminate()
            service.wait()


def fork_for_each(orders: Iterable[str], answers: int) -> None:
    """Run each step in a fork of this process."""
    interpreter = os.getpid()
    imported = [item for item in gc.get_objects() if isinstance(item, (TemporaryDirectory, random.Random))]
    folders = [item for item in imported if isinstance(item, TemporaryDirectory)]
    seed_in_each_fork(item for item in imported if isinstance(item, random.Random))
    keep_what_is_imported()
    early: dict[str, Early] = {}
    try:
        for line in orders:
            order = json.loads(line)
            step = early.pop(order["module"], None) or fork(interpreter, folders, answers)
            step.send(line)

            def meanwhile(order: Any = order) -> None:
                import_ahead()
                if (follower := NEXT.get(order["module"])) and follower not in early:
                    early[follower] = fork(interpreter, folders, answers, parse_use_case(order["argv"]))

            os.write(answers, b"%d\n" % wait_for(step.pid, meanwhile))
    finally:
        if os.getpid() == interpreter:
            for step in early.values():
                step.end()


def wait_for_turn(module: str, orders: TextIO, stdout: int) -> None:
    """In a container: become this step at its order. None comes if the runner ends first."""
    sys.path[0] = str(Path.cwd())  # as with `python -m`
    import_all([module, *AHEAD])
    sys.modules.pop(module, None)  # it is run, not imported
    keep_what_is_imported()
    if line := orders.readline():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run(module, json.loads(line)["argv"], stdout)


def keep_what_is_imported() -> None:
    """End the imports: a fork that ends does not visit the modules that it shares, which took 0.1 s of CPU each."""
    gc.freeze()
    gc.enable()


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
    interpreter: int, folders: Iterable[TemporaryDirectory[str]], answers: int, use_case: str | None = None
) -> Early:
    """
    Fork what becomes a step at its order. use_case: of a step that is not ordered yet. If the order does not come
    soon, the fork imports the use case's framework meanwhile.

    It is imported in the fork because TensorFlow does not survive one.
    """
    from runner.processes import end_with_parent  # a container does not have it

    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # in the fork, the handlers of this process must not run
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    if not pid:
        os.close(writing)
        os.close(answers)
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
        options = json.loads(order)
        os.environ.update(options["environ"])
        with use_own_temporary_folders(folders):
            run(options["module"], options["argv"], os.open(options["stdout"], os.O_WRONLY))
        leave(0)


def parse_use_case(argv: Iterable[str]) -> str | None:
    return next((word.partition("=")[2] for word in argv if word.startswith("--use-case=")), None)


def import_framework(use_case: str) -> None:
    """Import what takes seconds, if the format can. If it fails, the step fails likewise, and says so."""
    with suppress(Exception):
        framework = config.load(use_case).framework
        importlib.import_module(f"modelgate.frameworks.{framework}_format").prepare()
        import_all(WITH_KERAS)  # a format without `prepare` sets the number of threads before it imports scikit-learn


def import_sdk() -> subprocess.Popen[bytes] | None:
    """
    Import the SDK, and start its service (`wandb-core`) for all steps.

    A variable tells each step about the service, so a step does not start its own, and leaves it running. The SDK
    sleeps for 0.2 s when it starts one, so the other imports happen in that time.
    """
    gc.disable()  # almost everything that an import makes is kept
    leave_out_descriptions()
    import_all(["wandb.sdk.lib.service.service_process"])  # here, so that no two threads import the SDK
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(start_service)
        import_all(QUESTIONS)
    return starting.result()


def seed_in_each_fork(generators: Iterable[random.Random]) -> None:
    """
    Give each fork its own random numbers. A generator that an import made would draw the same in all of them.

    The SDK makes the ids of versions with one; only newer releases seed it again by themselves (0.24.2 does not).
    """
    for generator in generators:
        os.register_at_fork(after_in_child=generator.seed)


def start_service() -> subprocess.Popen[bytes] | None:
    """The service of all steps. None if it does not start: each step then starts its own, and says what is wrong."""
    with suppress(Exception):
        from wandb.sdk.lib.service import service_process
        from wandb.sdk.wandb_settings import Settings

        started = service_process.start(Settings())
        started.token.save_to_env()
        return started._process
    return None


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
    """Import these; one that is missing or fails is the matter of the step that needs it."""
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)


def leave_out_descriptions() -> None:
    """
    Keep pydantic from reading the source of each model of the SDK for the descriptions of its fields: 0.2 s of CPU.

    Nothing shows them. Where pydantic has no such function any more, it reads them.
    """
    try:
        fields = importlib.import_module("pydantic._internal._fields")
        read = fields.extract_docstrings_from_cls
    except (ImportError, AttributeError):
        return

    def read_others(model: type, *arguments: Any, **options: Any) -> Any:
        return {} if model.__module__.startswith("wandb.") else read(model, *arguments, **options)

    fields.extract_docstrings_from_cls = read_others  # type: ignore[attr-defined]


def wait_for(step: int, work: Callable[[], None]) -> int:
    """Return the step's exit code. If this process is asked to end, it asks the step to end, then ends too."""
    signals = []

    def ask(number: int, frame: object) -> None:
        signals.append(number)
        os.kill(step, number)

    signal.signal(signal.SIGTERM, ask)
    work()
    os.waitid(os.P_PID, step, os.WEXITED | os.WNOWAIT)  # until it is waited for below, no other process has its id
    signal.signal(signal.SIGTERM, end)
    _, status = os.waitpid(step, 0)
    if signals:
        end()
    return os.waitstatus_to_exitcode(status)


@contextmanager
def use_own_temporary_folders(shared: Iterable[TemporaryDirectory[str]]) -> Iterator[None]:
    """
    Give this fork its own copy of each temporary folder that an import made (the SDK has one for pictures).

    When a fork ends, it removes the folder that it uses, but the next fork needs it.
    """
    with ExitStack() as stack:
        for folder in shared:
            folder.name = stack.enter_context(TemporaryDirectory(prefix="step-"))
        yield


def run(module: str, argv: Sequence[str], stdout: int) -> None:
    """Become the step, with this descriptor as its standard output."""
    os.dup2(stdout, 1)
    sys.argv = [module, *argv]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        if isinstance(exit.code, int):
            leave(exit.code)
        raise


if __name__ == "__main__":
    main()
