"""Run each step as a container, which may be started while earlier steps still run."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from runner.containers import Container, Ending, Mount
from runner.engine import Engine, list_errors
from runner.environment import Variables, select_declared, to_download
from runner.errors import EngineUnusable
from runner.folder import Folder, remove
from runner.images import Image
from runner.pipeline import Outcome, Step
from runner.processes import Stop

SIGNALLED = 128  # docker(1): exit code 128 + n means that signal n ended the program
ROWS = "/rows"  # the files and folders that the variables of data.py name
HOME = "/home/modelgate"
PREPARED = Path(__file__).with_name("prepared.py")


class StepImages(NamedTuple):
    """The settings of each step's container; needs no engine. `out` gets a folder for each step."""

    name: str
    images: Mapping[str, Image]
    variables: Variables
    source: tuple[Variables, Sequence[Mount]]
    network: str | None
    out: Path
    notification: Variables = Variables({})

    def build_container(self, step: Step, flags: Sequence[str]) -> Container:
        mounts = [Mount(self.out / step.name, "/out", writable=True)]
        variables = self.variables
        if step.reads_source:
            variables = variables.add(self.source[0])
            mounts += self.source[1]
        if step.tells:
            variables = variables.add(self.notification)
        return Container(
            f"{self.name}-{step.name}",
            "step",
            self.images[step.name].reference,
            (*flags, "--out=/out"),
            variables,
            mounts,
            self.network,
        )

    def format_command(self, step: Step, flags: Sequence[str]) -> str:
        """Return the line that you would type."""
        return self.build_container(step, flags).format_command()


class StepContainers:
    """
    An Execute: each step in its image, with its standard error copied live to ours. Use it with `with`.

    expected: steps that are to come, in order. Their containers are started before their turn, and import what they
    need while earlier steps run.
    """

    def __init__(self, engine: Engine, steps: StepImages, *, stop: Stop, expected: Sequence[Step] = ()) -> None:
        self._here = engine
        self._steps = steps
        self._stop = stop
        self._expected = expected
        self._worker = ThreadPoolExecutor(1)
        self._started: dict[str, Future[_Waiting]] = {}

    def __enter__(self) -> StepContainers:
        for step in self._expected:
            self._started[step.name] = self._worker.submit(self._start, step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """End and remove the containers that are left. Idempotent."""
        self._worker.shutdown(cancel_futures=True)
        with suppress(EngineUnusable):  # already reported; the next runner looks for leftovers
            self._here.remove("step")

    def format_command(self, step: Step, flags: Sequence[str]) -> str:
        """Return the line that you would type."""
        return self._steps.format_command(step, flags)

    def __call__(self, step: Step, flags: Sequence[str]) -> Outcome:
        starting = self._started.pop(step.name, None) or self._worker.submit(self._start, step)
        try:
            while not starting.done():
                self._stop.pause()
            container, ending, stdin = starting.result()
            order = json.dumps({"argv": self._steps.build_container(step, flags).command})
            with suppress(OSError):  # it has ended already: its exit code says so
                os.write(stdin.fileno(), order.encode() + b"\n")
            while (code := ending.read_code()) is None:
                self._stop.pause()
            stdout: bytes = container.logs(stdout=True, stderr=False)
        except list_errors() as error:
            raise EngineUnusable(
                f"the container of {step.name} was lost: {error}",
                "check that the engine runs (docker info); finished steps are kept, and the same command continues",
            ) from error
        finally:
            self._worker.submit(self._remove, starting)
        return Outcome(SIGNALLED - code if code > SIGNALLED else code, stdout.decode(errors="replace"))

    def _start(self, step: Step) -> _Waiting:
        """Start the container of a step, which waits for its arguments."""
        wanted = self._steps.build_container(step, ())
        for mount in wanted.mounts:
            if mount.writable:
                mount.source.mkdir(parents=True, exist_ok=True)  # the engine would make it as root
        for old in (self._steps.out / step.name).iterdir():
            remove(old)
        self._here.begin()
        entrypoint = ["python", "-c", PREPARED.read_text(encoding="utf-8"), f"steps.{step.name}"]
        container = wanted.create(
            self._here.client, self._here.labels, entrypoint=entrypoint, command=[], stdin_open=True
        )
        stdin = container.attach_socket(params={"stdin": 1, "stream": 1})
        return _Waiting(container, Ending(container, sys.stderr.buffer), stdin)

    def _remove(self, starting: Future[_Waiting]) -> None:
        """What is not removed here is removed at the end."""
        with suppress(*list_errors()):
            starting.result().container.remove(force=True)


class _Waiting(NamedTuple):
    """A step's container that waits for its arguments, and the socket that takes them."""

    container: Any
    ending: Ending
    stdin: Any


def prepare_source(
    inherited: Mapping[str, str], names: Sequence[str], root: Path, folder: Folder, not_by_proxy: str
) -> tuple[Variables, Sequence[Mount]]:
    """
    Return what build's container gets for the use case's `data.py`: its declared variables, and a home for its
    downloads.

    If a variable names a file or folder of this machine, the container gets it, read-only, and its variable names it
    there. not_by_proxy: a host that requests reach without the proxy that a download may need.
    """
    variables = to_download(inherited, not_by_proxy=not_by_proxy).add(Variables({"HOME": HOME}))
    mounts = [Mount(folder.home, HOME, writable=True)]
    for name, value in select_declared(inherited, names).items():
        if path := _find_path(value, root):
            mount = Mount(path, f"{ROWS}/{name}/{path.name}")
            mounts.append(mount)
            variables = variables.add(Variables({name: mount.target}))
        else:  # perhaps a secret: the shell already has it
            variables = variables.add(Variables({name: value}, inherited=frozenset([name])))
    return variables, mounts


def _find_path(value: str, root: Path) -> Path | None:
    """Return the file or folder that a variable names, if there is one."""
    try:
        path = (root / Path(value).expanduser()).resolve()
        exists = path.is_file() or (path.is_dir() and Path(value).expanduser().is_absolute())
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, an unknown user: not a path
        return None
    return path if exists and path.name else None
