"""
Run the steps and the server as containers, with the docker SDK: a network, the server, and one step at a time.

Everything that the runner creates has the label `modelgate.folder` with the path of its `.modelgate/`. So a query finds
what a killed runner left behind, and the next command removes it. Before the first container is created,
`.modelgate/engine` records that there may be one.

No container keeps data: the server writes into the same data folder as without containers, and a step writes into its
folder in `out/`. All of them run as the owner of the folder, without capabilities, on a read-only root.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from runner import engine
from runner.embedded import HOST
from runner.environment import Variables, select_declared, to_download
from runner.errors import EngineUnusable
from runner.folder import Folder, remove
from runner.images import Image
from runner.pipeline import Outcome, Step
from runner.processes import Stop

LABEL, ROLE = "modelgate.folder", "modelgate.role"
SERVER_PORT = 8080  # inside its container
# docker(1): exit code 128 + n means that signal n ended the program; 125 is docker's own.
SIGNALLED, NOT_STARTED = 128, 125
STOP_S = 5
# The SDK's default of 60 s is too short for an engine that builds on a slow disk.
ANSWER_S = 300
ROWS = "/rows"  # the files and folders that the variables of data.py name
HOME = "/home/modelgate"
PREPARED = Path(__file__).with_name("prepared.py")


class Mount(NamedTuple):
    """A file or folder of the user, and where a container sees it."""

    source: Path
    target: str
    writable: bool = False

    def to_flag(self) -> str:
        """Return the value for docker's `--mount`, which accepts every path and creates no missing one."""
        fields = [
            "type=bind",
            f"source={self.source}",
            f"target={self.target}",
            *([] if self.writable else ["readonly"]),
        ]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields)
        return line.getvalue()

    def to_docker(self) -> Any:
        """Return the docker SDK's mount."""
        from docker.types import Mount as Bind

        return Bind(self.target, str(self.source), type="bind", read_only=not self.writable)


class Flag(NamedTuple):
    """One setting of a container: as you type it in a shell, and as the docker SDK takes it."""

    text: str
    keywords: Mapping[str, Any]


# Rights that no container has. The workflows' run_step.py, which needs only Python, uses the same flags.
CONFINED = (
    Flag("--read-only", {"read_only": True}),
    Flag("--cap-drop=ALL", {"cap_drop": ["ALL"]}),
    Flag("--security-opt=no-new-privileges", {"security_opt": ["no-new-privileges"]}),
    Flag("--tmpfs=/tmp:mode=1777", {"tmpfs": {"/tmp": "mode=1777"}}),  # noqa: S108
)


class Container(NamedTuple):
    """The settings of a container. `create` makes it; `command` is the line that you would type for it."""

    name: str
    role: str
    image: str
    command: Sequence[str]
    variables: Variables
    mounts: Sequence[Mount]
    network: str | None
    port: int | None = None  # of this machine: the server's own port is published there

    def list_flags(self) -> Iterator[Flag]:
        """Return every setting once, for the line and for the engine."""
        yield from CONFINED
        yield Flag("--log-driver=json-file", {"log_config": {"type": "json-file"}})  # its logs can be read here
        yield Flag(f"--user={_get_user()}", {"user": _get_user()})
        if self.network:
            yield Flag(shlex.quote(f"--network={self.network}"), {"network": self.network})
        if self.port:
            ports = {f"{SERVER_PORT}/tcp": (HOST, self.port)}
            yield Flag(f"--publish={HOST}:{self.port}:{SERVER_PORT}", {"ports": ports})
        mounts = [shlex.quote(f"--mount={mount.to_flag()}") for mount in self.mounts]
        yield Flag(" ".join(mounts), {"mounts": [mount.to_docker() for mount in self.mounts]})
        names = [f"--env={self.variables.to_flag(name)}" for name in self.variables.values]
        yield Flag(" ".join(names), {"environment": dict(self.variables.values)})

    def format_command(self) -> str:
        """Return `docker run ...`, to paste into a shell. It does not contain the value of a secret."""
        flags = [flag.text for flag in self.list_flags() if flag.text]
        return " ".join(["docker run --rm", *flags, shlex.join([self.image, *self.command])])

    def create(self, client: Any, labels: Mapping[str, str], **options: Any) -> Any:
        """
        Return the docker SDK's container, not started: a runner that is killed here leaves nothing running.

        other: what differs from the line that you would type.
        """
        keywords = {name: value for flag in self.list_flags() for name, value in flag.keywords.items()}
        wanted = {"command": list(self.command), **keywords, **options}
        return client.containers.create(
            self.image,
            name=self.name,
            labels={**labels, ROLE: self.role},
            use_config_proxy=False,  # the server is not behind a proxy; a download gets the variables from us
            **wanted,
        )


class Engine:
    """The containers and the network of one folder in the engine at `address`."""

    def __init__(self, folder: Folder, address: str) -> None:
        self._folder = folder
        self.client = _connect(address)
        self._address = address
        self._beginning = threading.Lock()
        self.labels = {LABEL: str(folder.path)}
        self.name = get_resource_name(folder)

    def list_containers(self, role: str | None = None) -> list[Any]:
        """Return the containers of this folder, or those of one role."""
        labels = [f"{name}={value}" for name, value in self.labels.items()] + ([f"{ROLE}={role}"] if role else [])
        with self._translate_errors():
            containers: list[Any] = self.client.containers.list(
                all=True, filters={"label": labels}, ignore_removed=True
            )
        return containers

    def remove(self, role: str) -> bool:
        """Stop and remove the containers of a role; return whether there were any."""
        containers = self.list_containers(role)
        with self._translate_errors():
            for container in containers:
                _ignore_gone(container.remove, force=True)
        return bool(containers)

    def begin(self) -> None:
        """
        Record that something may be there, and create the network if it is missing. Called before each container:
        another runner of the folder, which has ended in the meantime, may have removed both.
        """
        with self._beginning, self._translate_errors():  # the threads of the server and of the steps share one network
            self._folder.engine_file.write_text(self._address + "\n")
            if not self._list_networks():
                self.client.networks.create(self.name, labels=self.labels)

    def finish(self) -> None:
        """
        Remove the network and the record, unless a container is still there or the engine is gone.

        Only for the holder of `server.lock`: then no one else can start a server in that network.
        """
        try:
            if self.list_containers():
                return
            with self._translate_errors():
                for network in self._list_networks():
                    _ignore_gone(network.remove)
        except EngineUnusable:
            return
        self._folder.engine_file.unlink(missing_ok=True)

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn an error of the engine into EngineUnusable, with the engine's own message."""
        try:
            yield
        except _list_errors() as error:
            raise EngineUnusable(
                f"the Docker engine at {self._address} refused a request: {error}",
                "fix this problem, or run without containers: make run",
            ) from error

    def _list_networks(self) -> list[Any]:
        networks: list[Any] = self.client.networks.list(filters={"label": [f"{LABEL}={self.labels[LABEL]}"]})
        return networks


def get_resource_name(folder: Folder) -> str:
    """Return the name of everything that belongs to a folder in an engine. The whole machine shares these names."""
    return f"modelgate-{hashlib.sha256(str(folder.path).encode()).hexdigest()[:8]}"


def connect_engine(folder: Folder) -> Engine:
    """Return the engine of this machine; raise EngineUnusable."""
    return Engine(folder, engine.require())


def find_noted_engine(folder: Folder) -> Engine | None:
    """Return the engine in which an earlier runner may have left something, if any; raise EngineUnusable."""
    try:
        return Engine(folder, folder.engine_file.read_text().strip())
    except FileNotFoundError:
        return None


# --- the server ------------------------------------------------------------------------------------------------------


class ServerContainer:
    """
    The embedded server of a folder. Its output is copied to `server.log` when it ends. Like a Child.

    Raises EngineUnusable.
    """

    def __init__(self, engine: Engine, image: Image, folder: Folder, *, port: int, key: str) -> None:
        folder.server_data.mkdir(mode=0o700, exist_ok=True)  # the engine would create it as root
        self._log = folder.server_log
        self._remains: Any = None
        self._ending: _Ending | None = None
        self._kept = False
        values = {"MODELGATE_SERVER_KEY": key, "MODELGATE_SERVER_KEY_FILE": str(folder.key_file)}
        variables = Variables(values, {"MODELGATE_SERVER_KEY": folder.key_file})
        wanted = Container(
            get_server_name(engine.name),
            "server",
            image.reference,
            (),
            variables,
            [Mount(folder.server_data, "/data", writable=True)],
            engine.name,
            port,
        )
        engine.begin()
        engine.remove("server")
        try:
            self._remains = wanted.create(engine.client, engine.labels)
            self._ending = _Ending(self._remains)
        except _list_errors() as error:  # another program just took the port, or the engine is gone
            self._write(f"{error}\n".encode())

    def read_code(self) -> int | None:
        try:
            code = NOT_STARTED if self._ending is None else self._ending.read_code()
            if code is not None:
                self._keep_log()
        except _list_errors():
            return NOT_STARTED
        return code

    def end(self) -> None:
        """Stop it, keep its output, remove it. Idempotent."""
        container = self._remains
        if container is None:
            return
        try:
            _ignore_gone(container.stop, timeout=STOP_S)
            self._keep_log()
            _ignore_gone(container.remove, force=True)
        except _list_errors() as error:
            self._write(f"{error}\n".encode())  # the engine is gone; the next command looks for its container
        self._remains = None

    def _keep_log(self) -> None:
        """Copy its output to `server.log`, once: as soon as it is seen to have ended, because that is when it is
        needed.
        """
        if self._remains is not None and not self._kept:
            self._kept = True
            _ignore_gone(lambda: self._write(self._remains.logs()))

    def _write(self, data: bytes) -> None:
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            log.write(data)


def get_server_name(name: str) -> str:
    """Return the server's host name in its network."""
    return f"{name}-server"


# --- the steps -------------------------------------------------------------------------------------------------------


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
        except _list_errors() as error:
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
        return _Waiting(container, _Ending(container, sys.stderr.buffer), stdin)

    def _remove(self, starting: Future[_Waiting]) -> None:
        """What is not removed here is removed at the end."""
        with suppress(*_list_errors()):
            starting.result().container.remove(force=True)


class _Waiting(NamedTuple):
    """A step's container that waits for its arguments, and the socket that takes them."""

    container: Any
    ending: _Ending
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


# --- with the SDK ----------------------------------------------------------------------------------------------------


class _Ending:
    """Starts a container and two threads: one waits for its end, the other copies its standard error to `words`."""

    def __init__(self, container: Any, log: Any = None) -> None:
        self._code: int | None = None
        self._error: Exception | None = None
        self._copier = threading.Thread(target=self._copy, args=[container, log], daemon=True)
        self._waiter = threading.Thread(target=self._wait, args=[container], daemon=True)
        container.start()
        if log is not None:
            self._copier.start()
        self._waiter.start()

    def read_code(self) -> int | None:
        """Return its exit code, or None while it runs; raise what went wrong, such as the end of the engine."""
        if self._error is not None:
            raise self._error
        return None if self._copier.is_alive() else self._code

    def _wait(self, container: Any) -> None:
        try:
            self._code = container.wait(timeout=None)["StatusCode"]
        except _list_errors() as error:
            self._error = error

    def _copy(self, container: Any, log: Any) -> None:
        try:
            for chunk in container.logs(stdout=False, stderr=True, stream=True, follow=True):
                log.write(chunk)
                log.flush()
        except _list_errors():
            return  # the waiting thread reports what happened


def _connect(address: str) -> Any:
    try:
        from docker.client import DockerClient
        from docker.errors import DockerException
    except ImportError as error:  # without the SDK, `docker` is this project's folder
        raise EngineUnusable("the docker SDK is not installed in this environment", "make setup") from error
    try:
        return DockerClient(base_url=address, version="auto", timeout=ANSWER_S)
    except DockerException as error:
        raise EngineUnusable(f"no Docker engine answers at {address}: {error}", engine.WITHOUT) from error


def _list_errors() -> tuple[type[Exception], ...]:
    """Return the errors that the SDK raises: its own, and those of its HTTP libraries."""
    from docker.errors import DockerException
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    return DockerException, RequestException, HTTPError


def _ignore_gone(call: Callable[..., Any], **options: Any) -> None:
    """Do it, and accept that someone else has removed the container, or is removing it."""
    from docker.errors import APIError

    try:
        call(**options)
    except APIError as error:
        if error.status_code not in (404, 409):
            raise


def _get_user() -> str:
    return f"{os.getuid()}:{os.getgid()}"
