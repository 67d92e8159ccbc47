"""
Where the steps are executed: as processes or in containers, with the embedded server or with the person's own W&B.

Whatever an earlier runner left behind is ended first, by the record of the processes and by the query of the
containers, in whichever of the two this run is executed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from modelgate.config import Config
from runner import containers, embedded, environment, images, packages, processes
from runner.containers import Engine, ServerContainer, StepContainers, StepImages
from runner.embedded import EmbeddedServer
from runner.errors import Busy, EngineUnusable
from runner.folder import Folder
from runner.images import Image
from runner.order import Order
from runner.pipeline import Outcome, Step
from runner.processes import StepProcesses, end_leftover
from runner.progress import say


class Executor(Protocol):
    """A pipeline.Execute that can say what it executes."""

    def command(self, step: Step, flags: Sequence[str]) -> str:
        """The line that a person would type."""

    def __call__(self, step: Step, flags: Sequence[str]) -> Outcome: ...


# Waits until W&B is there for the steps, and says how one is executed.
Ready = Callable[[], Executor]


@contextmanager
def opened(order: Order, settings: Config) -> Iterator[Ready]:
    """The place that was asked for, for the length of the block; settings: of the use case that is worked on."""
    _end_left_steps(order)
    if not order.docker:
        packages.install(order.root, settings.name, order.environ)
    with ExitStack() as stack:
        if order.docker:
            yield _in_containers(order, settings, stack)
        elif order.own:
            execute = stack.enter_context(_processes(order, environment.for_own(order.environ), settings=settings))
            yield lambda: execute
        else:
            yield _beside_server(order, settings, stack)


@contextmanager
def asked(order: Order, *, quiet: bool) -> Iterator[Executor]:
    """
    A place to ask W&B something, beside whatever else is at work in the folder: as a process, and with the embedded
    server that runs already, or one for the length of the block. quiet: what the step says for people is not shown.
    """
    with ExitStack() as stack:
        if order.own:
            env: Mapping[str, str] = environment.for_own(order.environ)
        else:
            running = stack.enter_context(_server(order, _as_process(order)))
            running.wait()
            env = environment.for_embedded(order.environ, url=running.url, api_key=running.key, folder=order.folder.sdk)
        record = order.folder.asked_record
        yield stack.enter_context(_processes(order, env, record=record, quiet=quiet))


def command(order: Order, settings: Config) -> Callable[[Step, Sequence[str]], str]:
    """The line of a step as `opened` would run it, for the plan: nothing is started or made for it."""
    if not order.docker:
        return lambda step, flags: processes.command(step, flags, order.root, order.folder.out)
    url = f"http://{embedded.HOST}:{order.folder.last_port() or embedded.FIRST_PORT}"
    return _step_images(order, settings, images.wanted(order.root, settings.name, base=order.base_image), url).command


@contextmanager
def server(order: Order) -> Iterator[EmbeddedServer]:
    """
    The embedded server, started and not yet waited for. As a process it has the product's own pages, too; in its
    container, if that was asked for, it is alone.
    """
    with ExitStack() as stack:
        if order.docker:
            here, every = stack.enter_context(_engine(order, None, [images.SERVER]))
            yield stack.enter_context(_server(order, _as_container(order.folder, here, every["server"])))
        else:
            yield stack.enter_context(_server(order, _as_process(order, "pages")))


# --- as processes ----------------------------------------------------------------------------------------------------


def _beside_server(order: Order, settings: Config, stack: ExitStack) -> Ready:
    running = stack.enter_context(_server(order, _as_process(order)))

    def beside(url: str) -> StepProcesses:
        env = environment.for_embedded(order.environ, url=url, api_key=running.key, folder=order.folder.sdk)
        return stack.enter_context(_processes(order, env, settings=settings))

    expected = running.url
    # The interpreter imports the SDK while the server starts.
    execute = beside(expected)

    def ready() -> Executor:
        running.wait()
        if running.url == expected:
            return execute
        execute.end()
        return beside(running.url)

    return ready


def _processes(
    order: Order,
    env: Mapping[str, str],
    *,
    settings: Config | None = None,
    record: Path | None = None,
    quiet: bool = False,
) -> StepProcesses:
    folder = order.folder
    return StepProcesses(
        env=env,
        source=environment.declared(order.environ, settings.data.env) if settings else {},
        root=order.root,
        out=folder.out,
        record=record or folder.step_record,
        stop=order.stop,
        quiet=quiet,
    )


def _server(order: Order, start: embedded.Start) -> EmbeddedServer:
    return EmbeddedServer(order.folder, start, lambda: _end_left_containers(order, "server"), stop=order.stop, say=say)


def _as_process(order: Order, module: str = "modelgate_server") -> embedded.Start:
    return embedded.as_process(order.folder, root=order.root, env=environment.basis(order.environ), module=module)


# --- in containers ---------------------------------------------------------------------------------------------------


def _in_containers(order: Order, settings: Config, stack: ExitStack) -> Ready:
    names = [name for name in images.LOOP if not (order.own and name == "server")]
    here, every = stack.enter_context(_engine(order, settings.name, names))
    folder = order.folder
    if order.own:
        execute = StepContainers(here, _step_images(order, settings, every), stop=order.stop)
        return lambda: execute
    running = stack.enter_context(_server(order, _as_container(folder, here, every["server"])))
    if running.is_guest and not here.containers("server"):
        raise Busy(
            f"the server of {folder.path} runs as a process, for an open `serve`: no container reaches it",
            "end that `serve`, or open it in a container: make serve RUNNER=docker",
        )

    def ready() -> Executor:
        running.wait()
        return StepContainers(here, _step_images(order, settings, every, running.url, running.key), stop=order.stop)

    return ready


def _step_images(
    order: Order, settings: Config, every: Mapping[str, Image], url: str = "", key: str = ""
) -> StepImages:
    """The steps' containers. url, key: of the embedded server, unless the order is for the person's own W&B."""
    folder, name = order.folder, containers.name_of(order.folder)
    host, network = "", None
    variables = environment.own_from_container(order.environ)
    if not order.own:
        host, network = containers.server_name(name), name
        variables = environment.embedded_from_container(
            host=f"http://{host}:{containers.SERVER_PORT}", url=url, key=key, key_file=folder.key_file
        )
    source = containers.source(order.environ, settings.data.env, order.root, folder, host)
    return StepImages(name, every, variables, source, network, folder.out)


@contextmanager
def _engine(order: Order, use_case: str | None, names: Sequence[str]) -> Iterator[tuple[Engine, dict[str, Image]]]:
    """The engine with these images in it; what is made there for the folder is cleared away at the end."""
    order.folder.make()
    here = containers.chosen(order.folder)
    every = images.wanted(order.root, use_case, base=order.base_image)
    images.prepare(order.root, [every[name] for name in names], order.stop)
    try:
        yield here, every
    finally:
        _finish(order.folder, here)


def _as_container(folder: Folder, engine: Engine, image: Image) -> embedded.Start:
    return lambda port, key: ServerContainer(engine, image, folder, port=port, key=key)


# --- what was left behind --------------------------------------------------------------------------------------------


def _end_left_steps(order: Order) -> None:
    """Nobody else's: the right to run the pipeline here is ours."""
    folder = order.folder
    left = [end_leftover(folder.step_record), _end_left_containers(order, "step")]
    if any(left):
        say("ended the step that an earlier runner left behind")


def _end_left_containers(order: Order, role: str) -> bool:
    try:
        here = containers.noted(order.folder)
        left = here is not None and here.remove(role)
    except EngineUnusable as error:
        say(f"what an earlier runner may have left in containers is looked for again next time: {error}")
        return False
    if here is not None and not order.docker:  # else the network is wanted again
        if role == "server":  # its lock is ours already
            here.finish()
        else:
            _finish(order.folder, here)
    return left


def _finish(folder: Folder, engine: Engine) -> None:
    """Unless somebody else owns the server, who may be about to start it in the network."""
    if (lock := folder.try_lock("server.lock")) is not None:
        try:
            engine.finish()
        finally:
            os.close(lock)


def end_containers(folder: Folder) -> None:
    """Everything of the folder that is in an engine; for `clean`. Raises EngineUnusable."""
    if (here := containers.noted(folder)) is not None:
        here.remove("step")
        here.remove("server")
        here.finish()
