"""
Implement the conventions of the wire, each in one place: ids, pages, addresses that contain their own permission.

A row of the store goes to GraphQL unchanged: its fields are found by their snake_case names. A field with a different
name has a resolver in the file of its type.
"""

import base64
import binascii
import hmac
import json
import math
import mimetypes
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote

from graphql import GraphQLResolveInfo

from modelgate_server.api.bounds import Deadline, Lanes
from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.settings import DOWNLOAD_TTL_S, MAX_PAGE, UPLOAD_TTL_S
from modelgate_server.store.accounts import User
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database
from modelgate_server.store.filters import Order, Place

T = TypeVar("T")
DEFAULT_PAGE = 50
# What SQLite can store; a larger number cannot be an id.
MAX_ID = 2**63 - 1
# Of seconds since 1970.
MAX_TIME_DIGITS = 12


@dataclass(frozen=True)
class Call:
    """The context of a resolver: `info.context`."""

    db: sqlite3.Connection
    blobs: Blobs
    user: User
    addresses: "Addresses"
    database: Database
    deadline: Deadline
    lanes: Lanes
    shared: bool = False  # several processes write to the run at once
    begin_answer: Callable[[], None] = lambda: None  # called between a mutation and the fields of its answer
    payloads: dict[str | int, Any] = field(default_factory=dict)  # the results of the request's mutations


Info = GraphQLResolveInfo[Call]


# --- ids ----------------------------------------------------------------------------------------------------------


def encode_id(kind: str, number: int) -> str:
    """
    Return an id. It is opaque to the client, which only requires base64 for artifacts: references contain their ids in
    hex.
    """
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def decode_id(kind: str, text: str) -> int:
    """Return the row number of an id. Raise NotFound for anything that is not an id of this kind."""
    try:
        got, _, number = base64.b64decode(text, validate=True).decode("ascii").partition(":")
        if got == kind and number.isdigit() and int(number) <= MAX_ID:
            return int(number)
    except (binascii.Error, ValueError):
        pass
    raise NotFound(f'{kind.lower()} "{text[:80]}" not found')


# --- pages --------------------------------------------------------------------------------------------------------


def paginate(items: Iterable[T], after: str | None, first: int | None, order: Order[T]) -> dict[str, Any]:
    """
    Return a relay connection over a list. The cursor is an item's place in the order, not its position. So a client
    that deletes items while it lists them, or lists a growing collection, neither misses an item nor gets one twice.
    """
    ordered = order.sort(items)
    start = order.count_until(ordered, _decode_cursor(after)) if after else 0
    stop = start + limit_page_size(first)
    edges = [{"node": item, "cursor": _encode_cursor(order.compute_place(item))} for item in ordered[start:stop]]
    return make_connection(edges, has_next=stop < len(ordered), total=len(ordered))


def _encode_cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _decode_cursor(cursor: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, RecursionError):
        raise Invalid("the cursor does not belong to this list") from None


def limit_page_size(first: int | None) -> int:
    if first is not None and first < 0:
        raise Invalid(f"a page cannot have {first} items")
    return min(DEFAULT_PAGE if first is None else first, MAX_PAGE)


def make_single_page(items: Sequence[Any]) -> dict[str, Any]:
    """Return a connection with all items on one page."""
    return make_connection([{"node": item, "cursor": str(i + 1)} for i, item in enumerate(items)], False, len(items))


def make_connection(edges: list[dict[str, Any]], has_next: bool, total: int) -> dict[str, Any]:
    end = edges[-1]["cursor"] if edges else None
    return {"edges": edges, "page_info": {"end_cursor": end, "has_next_page": has_next}, "total_count": total}


# --- JSON ---------------------------------------------------------------------------------------------------------


def replace_non_finite(value: Any) -> Any:
    """Return JSON with NaN and Infinity as strings: otherwise the SDK's decoder would drop the whole answer."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_non_finite(item) for item in value]
    return value


# --- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """A file of a run or of a version. `address` is where to download it, `upload_url` where to upload it."""

    id: str
    name: str
    address: str | None = None
    upload_url: str | None = None
    upload_headers: Sequence[str] = ()
    size_bytes: int | None = None
    updated_at: str | None = None
    digest: str | None = None
    storage_path: str | None = None
    artifact: Artifact | None = None

    @property
    def mimetype(self) -> str:
        return mimetypes.guess_type(self.name)[0] or "application/octet-stream"


# --- addresses ----------------------------------------------------------------------------------------------------

# Uploads carry no credentials: the address is signed for what it permits.
STORAGE = "/storage"


@dataclass(frozen=True)
class Addresses:
    """Makes the addresses for one client: `base` is where this client reaches the server."""

    base: str
    secret: bytes

    def upload(self, path: str) -> str:
        return self._sign_address("PUT", path, UPLOAD_TTL_S)

    def download(self, path: str) -> str:
        return self._sign_address("GET", path, DOWNLOAD_TTL_S)

    def _sign_address(self, method: str, path: str, ttl_s: int) -> str:
        expires = str(int(time.time()) + ttl_s)
        return f"{self.base}{quote(path)}?expires={expires}&signature={sign(self.secret, method, path, expires)}"


def sign(secret: bytes, method: str, path: str, expires: str) -> str:
    return hmac.digest(secret, f"{method}\n{path}\n{expires}".encode(), "sha256").hex()


def check_signature(secret: bytes, method: str, path: str, expires: str, signature: str) -> None:
    """Raise Forbidden unless the server itself made exactly this address, for this method, and it has not expired."""
    is_time = expires.isascii() and expires.isdigit() and len(expires) <= MAX_TIME_DIGITS
    if not is_time or not hmac.compare_digest(sign(secret, method, path, expires).encode(), signature.encode()):
        raise Forbidden("this server did not make this address")
    if int(expires) < time.time():
        raise Forbidden("the address has expired")


def build_storage_path(md5: str) -> str:
    """Return the path of a blob. The SDK's own tests look for `wandb_artifacts/` in it."""
    return f"wandb_artifacts/{md5}"


def build_blob_path(md5: str) -> str:
    return f"{STORAGE}/{build_storage_path(md5)}"


def build_upload_path(artifact_id: int, md5: str) -> str:
    """Return the upload path of a version's file. What is uploaded to it belongs only to this version."""
    return f"{STORAGE}/wandb_artifacts/{artifact_id}/{md5}"


def build_manifest_path(manifest_id: int, name: str = "wandb_manifest.json") -> str:
    return f"{STORAGE}/manifests/{manifest_id}/{name}"


def build_manifest_blob_path(md5: str) -> str:
    return f"{STORAGE}/manifests/{md5}/wandb_manifest.json"


def build_run_file_path(run_id: int, name: str) -> str:
    return f"{STORAGE}/run_files/{run_id}/{name}"
