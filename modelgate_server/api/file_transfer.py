"""
Upload and download the files of artifacts and runs, and manifests.

The SDK uploads without credentials, so every URL under /storage is signed and expires. A download by the SDK's own
URL, /artifactsV2/..., carries the API key.
"""

import mimetypes

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from modelgate_server.api.handling import Services, authenticate, get_addresses, get_services
from modelgate_server.api.shapes import MAX_ID, check_signature
from modelgate_server.errors import NotFound, ServerError, TooLarge
from modelgate_server.settings import KIB, MAX_MANIFEST_BYTES, MAX_UPLOAD_BYTES
from modelgate_server.store import artifact_collections, entries, files, manifests, projects, runs
from modelgate_server.store.blobs import Incoming

# Uploads are served unchanged, and may be HTML that a run wrote, so they get no rights on our pages.
HARMLESS = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
HARMLESS |= {"X-Content-Type-Options": "nosniff", "Cache-Control": "private"}
# Files up to this size are read at once: a version may have thousands of them, and passing each to a thread takes
# longer.
MAX_AT_ONCE = 256 * KIB
BLOBS = "/storage/wandb_artifacts"


async def upload_blob(request: Request) -> Response:
    """
    PUT /storage/wandb_artifacts/{version}/{md5}: uses no SQL, because one version may need thousands of these requests.
    """
    _check(request)
    services, number, md5 = get_services(request), _read_number(request), request.path_params["md5"]
    with services.blobs.begin_upload() as upload:
        await _receive(request, upload, MAX_UPLOAD_BYTES)
        await _keep(upload, md5)
    services.blobs.record_uploads(number, [md5])
    return Response(headers={"ETag": f'"{md5}"'})


def store_blob(services: Services, target: bytes, body: bytes) -> list[tuple[bytes, bytes]] | None:
    """
    Do what `upload_blob` does, with a body that has arrived. Return the headers of the answer, or None if `upload_blob`
    should answer: it knows the reason for a refusal.
    """
    path, _, query = target.partition(b"?")
    folder, _, md5 = path.decode("latin-1").rpartition("/")
    parent, _, number = folder.rpartition("/")
    if parent != BLOBS or len(body) > MAX_AT_ONCE:
        return None
    try:
        version = _parse_number(number)
        _check_address(services, "PUT", f"{folder}/{md5}", query)
        with services.blobs.begin_upload() as upload:
            upload.write(body)
            upload.keep(md5)
        services.blobs.record_uploads(version, [md5])
    except (ServerError, OSError):
        return None
    return [(b"etag", f'"{md5}"'.encode())]


async def upload_manifest(request: Request) -> Response:
    """PUT /storage/manifests/{id}/wandb_manifest.json"""
    _check(request)
    services, number = get_services(request), _read_number(request)

    def find_expected() -> str | None:
        with services.database.read() as db:
            manifest = manifests.find(db, number)
        if manifest is None:
            raise NotFound("the manifest to upload no longer belongs to a version")
        return manifests.decode_md5(manifest.digest) if manifest.digest else None

    def register(md5: str) -> None:
        services.blobs.make_durable([md5])
        with services.database.write() as db:
            manifests.mark_received(db, number, md5)

    with services.blobs.begin_upload() as upload:
        await _receive(request, upload, MAX_MANIFEST_BYTES)
        md5 = await _keep(upload, await run_in_threadpool(find_expected))
    await run_in_threadpool(register, md5)
    return Response(headers={"ETag": f'"{md5}"'})


async def upload_run_file(request: Request) -> Response:
    """PUT /storage/run_files/{run}/{name}"""
    _check(request)
    services, run_id, name = get_services(request), _read_number(request), request.path_params["name"]
    with services.blobs.begin_upload() as upload:
        await _receive(request, upload, MAX_UPLOAD_BYTES)
        md5, size = await _keep(upload), upload.size

    def register() -> None:
        services.blobs.make_durable([md5])
        with services.database.write() as db:
            if runs.find_by_id(db, run_id) is None:
                raise NotFound(f'the run of file "{name}" was deleted')
            files.put(db, run_id, name, md5=md5, size=size)

    await run_in_threadpool(register)
    return Response(headers={"ETag": f'"{md5}"'})


async def _receive(request: Request, upload: Incoming, limit: int) -> None:
    more = True
    while more:  # starlette's own generator takes twice the processor time for a small file
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece, more = message.get("body", b""), message.get("more_body", False)
        if upload.size + len(piece) > limit:
            raise TooLarge(f"the file has more than {limit} bytes")
        upload.write(piece)


async def _keep(upload: Incoming, expected: str | None = None) -> str:
    """Store the upload: in a thread if it is large, because it is compared with what is already stored."""
    return upload.keep(expected) if upload.size <= MAX_AT_ONCE else await run_in_threadpool(upload.keep, expected)


async def download_blob(request: Request) -> Response:
    """GET /storage/wandb_artifacts/{md5} and /storage/manifests/{md5}/wandb_manifest.json"""
    _check(request)
    return _send_file(request, request.path_params["md5"], "application/octet-stream")


async def download_run_file(request: Request) -> Response:
    """GET /storage/run_files/{run}/{name}"""
    _check(request)
    services, run_id, name = get_services(request), _read_number(request), request.path_params["name"]

    def find_md5() -> str | None:
        with services.database.read() as db:
            file = files.find(db, run_id, name)
            return file.md5 if file else None

    md5 = await run_in_threadpool(find_md5)
    if md5 is None:
        raise NotFound(f'file "{name}" not found')
    return _send_file(request, md5, mimetypes.guess_type(name)[0] or "application/octet-stream")


async def download_entry(request: Request) -> Response:
    """GET /artifactsV2/...: the address that the SDK itself builds for a file of a version."""
    services, at = get_services(request), request.path_params

    def is_allowed() -> bool:
        with services.database.read() as db:
            user = authenticate(request, db)
            home = projects.find_readable(db, user, at["entity"], at["project"])
            reader = home is not None and projects.find_role(db, user, home) in projects.READERS
            where = artifact_collections.find(db, home.id, at["collection"]) if home and reader else None
            return where is not None and entries.has_blob(db, where.id, at["md5"])

    if not await run_in_threadpool(is_allowed):
        raise NotFound(f'file "{at["name"]}" not found')
    return _send_file(request, at["md5"], "application/octet-stream")


async def allow_origin(request: Request) -> Response:
    """OPTIONS /storage/...: a browser asks which pages may fetch from this address: only those of this server."""
    ours = get_addresses(request).base
    theirs = request.headers.get("origin") == ours
    allowed = {"Access-Control-Allow-Origin": ours, "Access-Control-Allow-Methods": "GET, PUT"}
    return Response(headers=allowed if theirs else None)


def _read_number(request: Request) -> int:
    return _parse_number(request.path_params["number"])


def _parse_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:20]) > MAX_ID:
        raise NotFound(f'"{text[:20]}" is not a valid number')
    return int(text)


def _check(request: Request) -> None:
    method = "GET" if request.method == "HEAD" else request.method
    _check_address(get_services(request), method, request.scope["path"], request.scope["query_string"])


def _check_address(services: Services, method: str, path: str, query: bytes) -> None:
    # Parsed by hand, just as it was built: starlette's own parser takes a tenth of an upload's processor time.
    expires, _, signature = query.decode("latin-1").removeprefix("expires=").partition("&signature=")
    check_signature(services.secret, method, path, expires, signature)


def _send_file(request: Request, md5: str, media_type: str) -> Response:
    """Return the bytes, or the requested range of them."""
    blobs = get_services(request).blobs
    size = blobs.get_size(md5)
    if size is None:
        raise NotFound(f"the server does not have the bytes {md5}")
    if size <= MAX_AT_ONCE and request.method == "GET" and "range" not in request.headers:
        headers = HARMLESS | {"ETag": f'"{md5}"', "Accept-Ranges": "bytes"}
        return Response(blobs.read(md5), media_type=media_type, headers=headers)
    return FileResponse(blobs.locate(md5), media_type=media_type, headers=HARMLESS)
