"""Run the embedded server as a container."""

from __future__ import annotations

import os
from typing import Any

from runner.containers import Container, Ending, Mount
from runner.engine import Engine, ignore_gone, list_errors
from runner.environment import Variables
from runner.folder import Folder
from runner.images import Image

NOT_STARTED = 125  # docker's own exit code, of docker(1)
STOP_S = 5


class ServerContainer:
    """
    The embedded server of a folder. Its output is copied to `server.log` when it ends. Like a Child.

    Raises EngineUnusable.
    """

    def __init__(self, engine: Engine, image: Image, folder: Folder, *, port: int, key: str) -> None:
        folder.server_data.mkdir(mode=0o700, exist_ok=True)  # the engine would create it as root
        self._log = folder.server_log
        self._remains: Any = None
        self._ending: Ending | None = None
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
            self._ending = Ending(self._remains)
        except list_errors() as error:  # another program just took the port, or the engine is gone
            self._write(f"{error}\n".encode())

    def read_code(self) -> int | None:
        try:
            code = NOT_STARTED if self._ending is None else self._ending.read_code()
            if code is not None:
                self._keep_log()
        except list_errors():
            return NOT_STARTED
        return code

    def end(self) -> None:
        """Stop it, keep its output, remove it. Idempotent."""
        container = self._remains
        if container is None:
            return
        try:
            ignore_gone(container.stop, timeout=STOP_S)
            self._keep_log()
            ignore_gone(container.remove, force=True)
        except list_errors() as error:
            self._write(f"{error}\n".encode())  # the engine is gone; the next command looks for its container
        self._remains = None

    def _keep_log(self) -> None:
        """Copy its output to `server.log`, once: as soon as it is seen to have ended, because that is when it is
        needed.
        """
        if self._remains is not None and not self._kept:
            self._kept = True
            ignore_gone(lambda: self._write(self._remains.logs()))

    def _write(self, data: bytes) -> None:
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            log.write(data)


def get_server_name(name: str) -> str:
    """Return the server's host name in its network."""
    return f"{name}-server"
