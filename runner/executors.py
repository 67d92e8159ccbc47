"""
Choose where the steps run: as processes or in containers, with the embedded server or with the user's own W&B.

First, end everything that an earlier runner left behind: processes by their record, containers by a query.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from modelgate.config import Config
from runner import embedded, environment, images, packages, processes
from runner.containers import SERVER_PORT
from runner.embedded import EmbeddedServer
from runner.engine import Engine, connect_engine, find_noted_engine, get_resource_name
from runner.errors import Busy, EngineUnusable
from runner.folder import Folder
from runner.images import Image
from runner.options import Options
from runner.pipeline import Outcome, Step
from runner.processes import StepProcesses, end_leftover
from runner.progress import say, say_aside
from runner.server_container import ServerContainer, get_server_name
from runner.step_containers import StepContainers, StepImages, prepare_source


class Executor(Protocol):
    """A pipeline.Execute that can show what it runs."""

    def format_command(self, step: Step, flags: Sequence[str]) -> str:
        """Return the line that a person would type."""

    def __call__(self, step: Step, flags: Sequence[str]) -> Outcome: ...


# Waits until W&B is available to the steps, and returns how to run one.
Ready = Callable[[], Executor]


@contextmanager
def open_executor(options: Options, settings: Config, steps: Sequence[Step] = ()) -> Iterator[Ready]:
    """
    Open the place that the options name, for the length of the block. settings: those of the use case. steps: those
    that will run, in order.
    """
    _end_left_steps(options)
    if not options.docker:
        packages.install(options.root, settings.name, options.environ)
    with ExitStack() as stack:
        if options.docker:
            yield _prepare_containers(options, settings, steps, stack)
        elif options.own:
            execute = stack.enter_context(
                _create_processes(options, environment.build_own(options.environ), settings=settings)
            )
            yield lambda: execute
        else:
            yield _prepare_processes(options, settings, stack)


@contextmanager
def open_quiet(options: Options, *, quiet: bool) -> Iterator[Executor]:
    """
    Run a step that only reads from W&B, next to other commands in the folder: as a process, with the embedded server
    that already runs, or with one for the length of the block. quiet: hides what the step prints for people.
    """
    record = options.folder.asked_record
    with open_environment(options) as env, _create_processes(options, env, record=record, quiet=quiet) as execute:
        yield execute


@contextmanager
def open_environment(options: Options, module: str = "modelgate_server") -> Iterator[Mapping[str, str]]:
    """
    Return the environment of a process that reads from W&B: the user's own, the embedded server that already runs, or
    one for the length of the block. module: see `embedded.as_process`.

    What the server says goes to standard error, because standard output may be an answer.
    """
    if options.own:
        yield environment.build_own(options.environ)
        return
    with _create_server(options, _as_process(options, module), log=say_aside) as running:
        running.wait()
        yield environment.build_embedded(
            options.environ, url=running.url, api_key=running.key, folder=options.folder.sdk
        )


def create_command(options: Options, settings: Config) -> Callable[[Step, Sequence[str]], str]:
    """Return the line of a step as `open_executor` would run it, for the plan. This starts and creates nothing."""
    if not options.docker:
        return lambda step, flags: processes.format_command(step, flags, options.root, options.folder.out)
    url = f"http://{embedded.HOST}:{options.folder.read_last_port() or embedded.FIRST_PORT}"
    return _create_step_images(
        options, settings, images.wanted(options.root, settings.name, base=options.base_image), url
    ).format_command


@contextmanager
def open_server(options: Options) -> Iterator[EmbeddedServer]:
    """
    Start the embedded server, but do not wait for it. As a process it also has the product's own pages; in its
    container it does not.
    """
    with ExitStack() as stack:
        if options.docker:
            engine, available = stack.enter_context(_open_engine(options, None, [images.SERVER]))
            yield stack.enter_context(
                _create_server(options, _as_container(options.folder, engine, available["server"]))
            )
        else:
            yield stack.enter_context(_create_server(options, _as_process(options, "pages")))


def choose_port(options: Options) -> None:
    """Choose the embedded server's port before anything prints it. An open `serve` has chosen it already."""
    if options.own or (lock := options.folder.try_lock("server.lock")) is None:
        return
    try:
        embedded.make_way(options.folder, lambda: _end_left_containers(options, "server"), say)
        embedded.choose_port(options.folder, say)
    finally:
        os.close(lock)


# --- as processes ----------------------------------------------------------------------------------------------------


def _prepare_processes(options: Options, settings: Config, stack: ExitStack) -> Ready:
    running = stack.enter_context(_create_server(options, _as_process(options)))

    def connect(url: str) -> StepProcesses:
        env = environment.build_embedded(options.environ, url=url, api_key=running.key, folder=options.folder.sdk)
        return stack.enter_context(_create_processes(options, env, settings=settings))

    expected = running.url
    # The interpreter imports the SDK while the server starts.
    execute = connect(expected)

    def get_ready() -> Executor:
        running.wait()
        if running.url == expected:
            return execute
        execute.end()
        return connect(running.url)

    return get_ready


def _create_processes(
    options: Options,
    env: Mapping[str, str],
    *,
    settings: Config | None = None,
    record: Path | None = None,
    quiet: bool = False,
) -> StepProcesses:
    folder = options.folder
    return StepProcesses(
        env=env,
        source=environment.select_declared(options.environ, settings.data.env) if settings else {},
        notification=environment.select_notification(options.environ) if options.own else {},
        root=options.root,
        out=folder.out,
        record=record or folder.step_record,
        stop=options.stop,
        quiet=quiet,
    )


def _create_server(options: Options, start: embedded.Start, log: Callable[[str], None] = say) -> EmbeddedServer:
    return EmbeddedServer(
        options.folder, start, lambda: _end_left_containers(options, "server"), stop=options.stop, log=log
    )


def _as_process(options: Options, module: str = "modelgate_server") -> embedded.Start:
    return embedded.as_process(
        options.folder, root=options.root, env=environment.build_base(options.environ), module=module
    )


# --- in containers ---------------------------------------------------------------------------------------------------


def _prepare_containers(options: Options, settings: Config, steps: Sequence[Step], stack: ExitStack) -> Ready:
    names = [name for name in images.LOOP if not (options.own and name == "server")]
    engine, available = stack.enter_context(_open_engine(options, settings.name, names))
    folder = options.folder

    def connected(url: str = "", key: str = "") -> StepContainers:
        wanted = _create_step_images(options, settings, available, url, key)
        return stack.enter_context(StepContainers(engine, wanted, stop=options.stop, expected=steps))

    if options.own:
        execute = connected()
        return lambda: execute
    _refuse_process(folder, engine)
    # The steps' containers start while the server's does. They end before it, also if it does not start.
    running = _create_server(options, _as_container(folder, engine, available["server"]))
    expected = running.url
    execute = connected(expected, running.key)
    stack.enter_context(running)
    stack.callback(execute.end)
    if running.is_guest:  # of a `serve` that was opened in this moment
        _refuse_process(folder, engine)

    def get_ready() -> Executor:
        running.wait()
        if running.url == expected:
            return execute
        execute.end()
        return connected(running.url, running.key)

    return get_ready


def _refuse_process(folder: Folder, engine: Engine) -> None:
    """Raise Busy if the server belongs to an open `serve` and is not in a container."""
    if folder.is_locked("server.lock") and not engine.list_containers("server"):
        raise Busy(
            f"the server of {folder.path} runs as a process, for an open `serve`, so containers cannot reach it",
            "stop that `serve`, or open it in a container: make serve RUNNER=docker",
        )


def _create_step_images(
    options: Options, settings: Config, available: Mapping[str, Image], url: str = "", key: str = ""
) -> StepImages:
    """Return the steps' containers. url, key: of the embedded server, unless the user's own W&B was asked for."""
    folder, name = options.folder, get_resource_name(options.folder)
    host, network = "", None
    variables = environment.build_own_in_container(options.environ)
    if not options.own:
        host, network = get_server_name(name), name
        variables = environment.build_embedded_in_container(
            host=f"http://{host}:{SERVER_PORT}", url=url, key=key, key_file=folder.key_file
        )
    source = prepare_source(options.environ, settings.data.env, options.root, folder, host)
    theirs = environment.select_notification(options.environ) if options.own else {}
    notification = environment.Variables(theirs, inherited=frozenset(theirs))
    return StepImages(name, available, variables, source, network, folder.out, notification)


@contextmanager
def _open_engine(
    options: Options, use_case: str | None, names: Sequence[str]
) -> Iterator[tuple[Engine, dict[str, Image]]]:
    """Open the engine with these images in it. What is created there for the folder is removed at the end."""
    options.folder.make()
    engine = connect_engine(options.folder)
    available = images.wanted(options.root, use_case, base=options.base_image)
    images.prepare(options.root, [available[name] for name in names], options.stop)
    try:
        yield engine, available
    finally:
        _finish(options.folder, engine)


def _as_container(folder: Folder, engine: Engine, image: Image) -> embedded.Start:
    return lambda port, key: ServerContainer(engine, image, folder, port=port, key=key)


# --- what was left behind --------------------------------------------------------------------------------------------


def _end_left_steps(options: Options) -> None:
    """End the steps that were left behind. No other runner can own them: this one holds the lock."""
    folder = options.folder
    left = [end_leftover(folder.step_record), _end_left_containers(options, "step")]
    if any(left):
        say("ended the step that an earlier runner left behind")


def _end_left_containers(options: Options, role: str) -> bool:
    try:
        engine = find_noted_engine(options.folder)
        left = engine is not None and engine.remove(role)
    except EngineUnusable as error:
        say_aside(f"containers of an earlier runner may still exist; the next command looks for them again: {error}")
        return False
    if engine is not None and not options.docker:  # otherwise the network is needed again
        if role == "server":  # this runner already holds its lock
            engine.finish()
        else:
            _finish(options.folder, engine)
    return left


def _finish(folder: Folder, engine: Engine) -> None:
    """Remove the network, unless another runner owns the server: it may be about to start it there."""
    if (lock := folder.try_lock("server.lock")) is not None:
        try:
            engine.finish()
        finally:
            os.close(lock)


def end_containers(folder: Folder) -> None:
    """Remove everything of the folder from the engine, for `clean`. Raise EngineUnusable."""
    if (engine := find_noted_engine(folder)) is not None:
        engine.remove("step")
        engine.remove("server")
        engine.finish()
