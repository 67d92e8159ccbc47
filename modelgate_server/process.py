"""Start and stop the server: the data folder, its lock, the port, the first user, the signals."""

import asyncio
import errno
import fcntl
import logging
import os
import re
import secrets
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

import uvicorn

from modelgate_server.api import bounds, file_transfer
from modelgate_server.api.handling import Services
from modelgate_server.app import Mount, create_app
from modelgate_server.connection import Connection
from modelgate_server.errors import Invalid, StartError
from modelgate_server.settings import DEFAULT_PORT, KEEP_ALIVE_S, SHUTDOWN_S, SWITCH_S, Settings
from modelgate_server.store import accounts, registry
from modelgate_server.store.blobs import Blobs, fsync
from modelgate_server.store.db import Database

SECRET_BYTES = 32
# How often uvicorn does its own work: it updates the date that answers carry.
TICK_S = 1.0
KEY_HINT = 'unset MODELGATE_SERVER_KEY to get a new key, or set it to "local-" and 40 hex digits'


def serve(
    settings: Settings, given_key: str | None, announce: Callable[[str, int], None], mount: Mount | None = None
) -> int:
    """
    Run until a signal ends it, and return the exit code. `announce` gets the address; `mount` adds pages. Raise
    StartError if the server cannot start.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    key = _check_key(given_key)
    sys.setswitchinterval(SWITCH_S)
    os.umask(0o077)  # logged data and hashes of keys are private, wherever the folder is
    with lock_data_folder(settings.data_dir), _open_listener(settings) as listener:
        services = open_services(settings, key)
        host, port = listener.getsockname()[:2]
        config = uvicorn.Config(
            create_app(services, mount),
            http=partial(Connection, store=partial(file_transfer.store_blob, services)),  # type: ignore[arg-type]
            loop="asyncio",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # headers of a proxy are not trusted
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )
        bounds.keep_what_is_loaded()
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn stops on these signals and then raises them again, which must not kill this process.
            signal.signal(number, lambda *_: None)
        asyncio.run(_Server(config, partial(announce, host, port)).serve([listener]))
    return 0


class _Server(uvicorn.Server):
    """Announces where it listens once it does, and ends at once on a signal; uvicorn waits for 0.1 s twice."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce
        self._signalled = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._signalled.wait(), TICK_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)  # gives them time to finish
            return
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._signalled.set)


def _check_key(key: str | None) -> str | None:
    try:
        return accounts.check_key(key) if key else None
    except Invalid as error:
        raise StartError(f"MODELGATE_SERVER_KEY cannot be used: {error}", KEY_HINT) from None


@contextmanager
def lock_data_folder(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; create it if it is missing."""
    hint = "choose another folder with --data"
    if folder.exists() and not folder.is_dir():
        raise StartError(f'the data folder "{folder}" is not a directory', hint)
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            fsync(folder.resolve().parent)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise StartError(f'the data folder "{folder}" is not writable ({error.strerror})', hint) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StartError(f'another server is using the data folder "{folder}"', f"stop it, or {hint}") from None
        yield


@contextmanager
def _open_listener(settings: Settings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Declared as TCP; otherwise asyncio does not disable Nagle's algorithm, and an answer's body is sent 40 ms after
    # its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        wanted = (DEFAULT_PORT, 0) if settings.port is None else (settings.port,)
        for port in wanted:
            try:
                listener.bind((settings.host, port))
                # Before uvicorn takes the socket; otherwise two servers could bind the same port, and only one would
                # notice.
                listener.listen(2048)
                break
            except (OSError, OverflowError) as error:
                if port != wanted[-1] and getattr(error, "errno", None) == errno.EADDRINUSE:
                    continue
                raise StartError(
                    f"cannot listen on {settings.host} port {port}: {error}",
                    "choose another port with --port, or 0 for a free one",
                ) from None
        yield listener


def open_services(settings: Settings, key: str | None) -> Services:
    """
    Open the database and blobs of a folder, created at the first start. Raise StartError if the key is not the first
    one.
    """
    folder = settings.data_dir
    try:
        database = Database(folder / "server.db")
        blobs = Blobs(folder / "blobs")
        blobs.remove_leftovers()
        _admit(database, folder, key)
        secret = _read_secret(folder / "secret")
    except (sqlite3.DatabaseError, OSError, ValueError) as error:
        raise StartError(
            f'the data folder "{folder}" cannot be used: {error}', "choose another folder with --data, or repair it"
        ) from None
    return Services(settings, database, blobs, secret)


def _read_secret(path: Path) -> bytes:
    """Return the secret that signs addresses and sessions. If it were empty or short, signatures could be guessed."""
    text = _ensure_secret(path, secrets.token_hex(SECRET_BYTES))
    if not re.fullmatch(rf"[0-9a-f]{{{2 * SECRET_BYTES}}}", text):
        raise StartError(
            f'the file "{path}" must have {2 * SECRET_BYTES} hex digits',
            "restore it from a backup, or remove it; then existing addresses and logins end",
        )
    return bytes.fromhex(text)


def _admit(database: Database, folder: Path, key: str | None) -> None:
    """Create the user `local` at the first start; later, check that a given key still belongs to this user."""
    with database.write() as db:
        local = accounts.find_user(db, accounts.LOCAL_USER)
        if local is None:
            fresh = key or _ensure_secret(folder / "api_key", f"local-{secrets.token_hex(20)}")
            try:
                registry.create_local(db, accounts.check_key(fresh))
            except Invalid as error:
                where = folder / "api_key"
                raise StartError(f'the key in "{where}" cannot be used: {error}', "remove the file") from None
        elif key is not None and accounts.find_user_by_key(db, key) != local:
            raise StartError(
                f'MODELGATE_SERVER_KEY is not the key of the first start of the data folder "{folder}"',
                "unset it or use the first key; a new folder with --data accepts a new key",
            )


def _ensure_secret(path: Path, fresh: str) -> str:
    """Return a secret from a file that only its owner can read, created once."""
    if path.exists():
        return path.read_text().strip()
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(fresh + "\n")
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    fsync(path.parent)
    return fresh
