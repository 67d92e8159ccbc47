"""
Describe a container as you would type it in a shell and as the docker SDK takes it, and create it.

No container keeps data: the server writes into the same data folder as without containers, and a step writes into its
folder in `out/`. All of them run as the owner of the folder, without capabilities, on a read-only root.
"""

from __future__ import annotations

import csv
import io
import os
import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runner.embedded import HOST
from runner.engine import ROLE, list_errors
from runner.environment import Variables

SERVER_PORT = 8080  # inside its container


class Mount(NamedTuple):
    """A file or folder of the user, and where a container sees it."""

    source: Path
    target: str
    writable: bool = False

    def to_flag(self) -> str:
        """Return the value for docker's `--mount`, which accepts every path and creates no missing one."""
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(fields if self.writable else [*fields, "readonly"])
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

        options: what differs from the line that you would type.
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


class Ending:
    """Starts a container and two threads: one waits for its end, the other copies its standard error to `log`."""

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
        except list_errors() as error:
            self._error = error

    def _copy(self, container: Any, log: Any) -> None:
        try:
            for chunk in container.logs(stdout=False, stderr=True, stream=True, follow=True):
                log.write(chunk)
                log.flush()
        except list_errors():
            return  # the waiting thread reports what happened


def _get_user() -> str:
    return f"{os.getuid()}:{os.getgid()}"
