"""
Run our server, but discard every file of an artifact: only HTTP, GraphQL and the client remain.

    python -m benchmarks.discarding --data DIR --port N

The address of an upload is not checked, its bytes are neither hashed nor written, nothing is synced to the disk. Only
their size is kept: the commit compares it with the manifest's, as the real one does. The version that a file was
uploaded for is not kept either, so a version may be made of any file.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modelgate_server import __main__, app, process
from modelgate_server.api import file_transfer
from modelgate_server.store import blobs, db, manifests

sizes: dict[str, int] = {}


class Discarding(blobs.Blobs):
    """Keeps the manifests, and says that all files exist."""

    def get_size(self, md5: str) -> int | None:
        return sizes[md5] if md5 in sizes else super().get_size(md5)

    def is_right(self, md5: str) -> bool:
        """Say that the bytes are right: there are none to look at."""
        return self.get_size(md5) is not None

    def make_durable(self, md5s: Collection[str]) -> None:
        pass


class Forgetful(db.Database):
    """A database whose commits do not wait for the disk."""

    def _connect(self) -> Any:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous = OFF")
        return connection


def discard_small(_services: Any, target: bytes, body: bytes) -> list[tuple[bytes, bytes]] | None:
    """Replaces file_transfer.store_blob."""
    folder, _, name = target.decode().partition("?")[0].rpartition("/")
    if folder.rpartition("/")[0] != file_transfer.BLOBS:
        return None
    sizes[name] = len(body)
    return []


async def discard(request: Request) -> Response:
    """PUT /storage/wandb_artifacts/{number}/{md5}"""
    size = 0
    async for piece in request.stream():
        size += len(piece)
    sizes[request.path_params["md5"]] = size
    return Response()


def list_entitled(_db: Any, _blobs: Any, _user: Any, wanted: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
    """Replaces manifests.select_entitled."""
    return set(wanted)


def main() -> int:
    app.ROUTES.insert(0, Route("/storage/wandb_artifacts/{number}/{md5}", discard, methods=["PUT"]))
    for module, name, stand_in in (
        (process, "Blobs", Discarding),
        (process, "Database", Forgetful),
        (manifests, "select_entitled", list_entitled),
        (file_transfer, "store_blob", discard_small),
    ):
        setattr(module, name, stand_in)
    return __main__.main()


if __name__ == "__main__":
    sys.exit(main())
