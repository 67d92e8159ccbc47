"""
Serve the files of runs: announced by GraphQL, uploaded to a signed address (file_transfer.py), listed and downloaded.
"""

from typing import Any

from ariadne import MutationType, ObjectType

from modelgate_server.api.runs import require_writable
from modelgate_server.api.shapes import Call, File, Info, build_run_file_path, decode_id, encode_id, paginate
from modelgate_server.errors import NotFound
from modelgate_server.store import files, names, projects, runs
from modelgate_server.store.files import RunFile
from modelgate_server.store.filters import Order
from modelgate_server.store.names import normalize_run_file as run_file_name
from modelgate_server.store.runs import Run

# The MD5 of a missing file that was requested by name.
MISSING_MD5 = "0"

mutation = MutationType()
run = ObjectType("Run")
file = ObjectType("File")
TYPES = (mutation, run, file)


@mutation.field("createRunFiles")
def create_run_files(_: Any, info: Info, input: dict[str, Any]) -> dict[str, Any]:
    """Return an upload address for each file, in the order and under the names of the request."""
    call = info.context
    wanted = input["files"]
    run = require_writable(call, input["entity_name"], input["project_name"], input["run_name"])
    return {
        "run_id": encode_id("Run", run.id),
        "upload_headers": [],
        "files": [
            File(
                id=f"{encode_id('Run', run.id)}:{name}",
                name=name,
                upload_url=call.addresses.upload(build_run_file_path(run.id, names.normalize_run_file(name))),
            )
            for name in wanted
        ],
    }


@mutation.field("markRunFilesUploaded")
def mark_run_files_uploaded(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    """Do nothing: the upload itself has already registered them."""
    call = info.context
    run = require_writable(call, input["entity_name"], input["project_name"], input["run_name"])
    return {"success": len(files.find_named(call.db, run.id, input["files"])) == len(set(input["files"]))}


@mutation.field("deleteFiles")
def delete_files(_: Any, info: Info, input: dict[str, Any]) -> dict[str, bool]:
    """Delete files. A file that is already deleted, or that the user may not see, is skipped."""
    call = info.context
    for text in input["files"]:
        run_file = files.find_by_id(call.db, decode_id("File", text))
        if run_file is None:
            continue
        try:
            projects.require_writable_item(call.db, call.user, runs.get_run(call.db, run_file.run_id), "")
        except NotFound:
            continue
        files.delete(call.db, run_file.id)
    return {"success": True}


@run.field("fileCount")
def run_file_count(run: Run, info: Info) -> int:
    return files.count(info.context.db, run.id)


@run.field("files")
def run_files(
    run: Run,
    info: Info,
    names: list[str] | None = None,
    after: str | None = None,
    first: int | None = None,
    pattern: str | None = None,
) -> dict[str, Any]:
    call = info.context
    listed = files.find_named(call.db, run.id, names) if names else files.list_by_run(call.db, run.id, pattern=pattern)
    # W&B also returns a file that is requested by name but missing: wandb_run.restore in the SDK checks for the MD5
    # "0".
    missing = dict.fromkeys(run_file_name(name) for name in names or [] if name).keys() - {
        run_file.name for run_file in listed
    }
    listed += [RunFile(0, run.id, name, MISSING_MD5, 0, run.heartbeat_at) for name in missing]
    connection = paginate(listed, after, first, Order(lambda row: [row.name]))
    for edge in connection["edges"]:
        edge["node"] = _build_file(call, edge["node"])
    return connection


def _build_file(call: Call, run_file: RunFile) -> File:
    if run_file.md5 == MISSING_MD5:
        return File(
            id=f"{encode_id('Run', run_file.run_id)}:{run_file.name}", name=run_file.name, size_bytes=0, digest="0"
        )
    path = build_run_file_path(run_file.run_id, run_file.name)
    return File(
        id=encode_id("File", run_file.id),
        name=run_file.name,
        address=call.addresses.download(path),
        upload_url=call.addresses.upload(path),
        size_bytes=run_file.size,
        updated_at=run_file.updated_at,
        digest=run_file.md5,
    )


# --- a file's fields, of runs and of versions -----------------------------------------------------------------------


@file.field("url")
def file_url(file: File, info: Info, upload: bool | None = None) -> str | None:
    return file.upload_url if upload else file.address


@file.field("directUrl")
def file_direct_url(file: File, info: Info) -> str | None:
    return file.address


@file.field("displayName")
def file_display_name(file: File, info: Info) -> str:
    return file.name


@file.field("md5")
def file_md5(file: File, info: Info) -> str | None:
    return file.digest


@file.field("uploadMultipartUrls")
def file_upload_parts(file: File, info: Info) -> None:
    """Return None, so that the client sends a file of any size in one PUT."""
