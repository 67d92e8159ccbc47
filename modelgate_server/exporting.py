"""
Write a project as plain files: JSON, JSON lines, and the files themselves. The server may be running.

    python -m modelgate_server export --data DIR ENTITY/PROJECT TARGET

You can read them without this software, and `import` reads them into another server. TARGET appears when it is
complete; until then, it is TARGET.part. Exits 0 done, 1 a blob is missing or corrupt (each is named), 2 wrong use.
"""

import argparse
import base64
import json
import re
import shutil
import sqlite3
import unicodedata
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from modelgate_server.api.shapes import decode_id
from modelgate_server.errors import NotFound, StartError
from modelgate_server.maintenance import (
    Progress,
    build_parser,
    format_amount,
    hold_folder,
    locate_database,
    print_result,
    say,
)
from modelgate_server.store import (
    accounts,
    alerts,
    aliases,
    artifact_collections,
    artifacts,
    entries,
    files,
    history,
    lineage,
    memberships,
    projects,
    references,
    runs,
    sweeps,
    tags,
)
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs, sync_file_system
from modelgate_server.store.db import format_now, open_snapshot
from modelgate_server.store.memberships import Membership
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.store.tags import CollectionTag, Tag

FORMAT = 1
INDEX = "export.json"
MAX_PART_BYTES = 200  # most file systems allow 255
REFERENCE = re.compile(r"wandb-artifact://([0-9a-f]+)(?:/|$)")
READ_ME = """\
A project of a W&B-compatible server, as plain files.

export.json                          the contents, in the order of creation
runs/RUN/run.json                    the run; config.json and summary.json as the SDK sent them
runs/RUN/history.jsonl               one line per logged step; events.jsonl: system metrics; console.jsonl: output
runs/RUN/files/                      the run's files
artifacts/NAME/v0/version.json       a version: digest, metadata, aliases, where it is linked, its files by path
artifacts/NAME/v0/files/             the files of that version
sweeps.json                          the sweeps

A file whose name is not possible here is in a folder "renamed"; the JSON has its real name.
To import it into another server: python -m modelgate_server import --data DIR THIS_FOLDER
"""


@dataclass
class Shelf:
    """
    Gives each name from outside its own file, on any file system: under its name if that is possible, else under a
    number.
    """

    natural: str
    _files: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    def assign_path(self, name: str) -> str:
        key = unicodedata.normalize("NFC", name).casefold()
        folders = {key[:i] for i, letter in enumerate(key) if letter == "/"}
        parts = name.split("/")
        possible = all(
            part not in ("", ".", "..") and len(part.encode()) <= MAX_PART_BYTES and not re.search(r'[\\:*?"<>|]', part)
            for part in parts
        )
        if not possible or len(name) > 1000 or key in self._files | self._folders or folders & self._files:
            return f"{self.natural}.renamed/{next(self._numbers)}"
        self._files.add(key)
        self._folders |= folders
        return f"{self.natural}/{name}"


def parse_args(argv: list[str]) -> argparse.Namespace:
    made = build_parser(
        "export",
        "Write a project as plain files: JSON, JSON lines, and the files themselves. The server may be running.",
        "--data .modelgate/server local/mnist mnist-export",
    )
    made.add_argument("project", metavar="ENTITY/PROJECT", help="the project, for example local/mnist")
    made.add_argument("target", type=Path, metavar="TARGET", help="a folder that does not exist yet")
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    path = locate_database(args.data)
    part = args.target.with_name(f"{args.target.name}.part")
    _check_target(args.target, part)
    with hold_folder(args.data, alone=False):
        with open_snapshot(path) as db:
            export = Export(db, _require_project(db, args.project), part)
            export.write()
        broken = export.copy(Blobs(args.data / "blobs", make=False))
    sync_file_system(part)
    part.rename(args.target)
    for md5 in broken:
        say(f"error: blob {md5} is missing or corrupt in {args.data}; see python -m modelgate_server check")
    say(f"{len(export.index['runs'])} runs and {len(export.index['versions'])} versions: {args.target}")
    numbers = {name: len(export.index[name]) for name in ("runs", "versions", "collections")}
    print_result({**numbers, "files": len(export.files), "broken": broken})
    return 1 if broken else 0


def _check_target(target: Path, part: Path) -> None:
    if target.exists():
        raise StartError(f'"{target}" exists', "choose another TARGET, or move it away")
    if part.exists():
        if not (part / INDEX).is_file():
            raise StartError(f'"{part}" exists, but not from an earlier export', "move it away")
        shutil.rmtree(part)  # left by an export that was killed
    part.mkdir(parents=True)


def _require_project(db: sqlite3.Connection, name: str) -> Project:
    match = projects.find_by_path(db, name)
    if match is None:
        raise StartError(
            f'project "{name}" is not in this data folder', "write it as ENTITY/PROJECT, for example local/mnist"
        )
    return match


class Export:
    """Write everything from the rows first, in one snapshot; the bytes follow."""

    def __init__(self, db: sqlite3.Connection, project: Project, folder: Path) -> None:
        self.db = db
        self.project = project
        self.folder = folder
        self.files: list[tuple[str, str]] = []  # MD5, and where the bytes go
        self.index: dict[str, Any] = {
            "format": FORMAT,
            "exported_at": format_now(),
            "entity": accounts.get_entity(db, project.entity_id).name,
            "project": _select_fields(project, leave="id entity_id user_id views"),
            "runs": [],
            "collections": [],
            "versions": [],
        }

    def write(self) -> None:
        (self.folder / "README.txt").write_text(READ_ME, encoding="utf-8")
        self._write_json(INDEX, self.index)  # marks the folder as an export, in case this is killed
        shelf = Shelf("runs")
        for run in reversed(runs.list_by_project(self.db, self.project.id)):
            self.index["runs"].append(folder := shelf.assign_path(run.name))
            self._write_run(run, folder)
        self._write_json("sweeps.json", [_select_fields(sweep, leave="id project_id") for sweep in self._list_sweeps()])
        shelf, versions = Shelf("artifacts"), []
        for collection in artifact_collections.list_by_project(self.db, self.project.id):
            self.index["collections"].append(folder := shelf.assign_path(collection.name))
            self._write_collection(collection, folder)
            if collection.kind == "sequence":
                for membership in memberships.list_by_collection(self.db, collection.id):
                    where = f"{folder}/v{membership.version_index}"
                    versions.append((membership.artifact_id, where))
                    self._write_version(artifacts.get_artifact(self.db, membership.artifact_id), where)
        self.index["versions"] = [where for _, where in sorted(versions)]
        self._write_json(INDEX, self.index)

    def copy(self, blobs: Blobs) -> list[str]:
        """Copy the bytes, each read once and compared with its MD5; return those that are missing or corrupt."""
        placed: dict[str, Path] = {}
        broken = set()
        progress = Progress("wrote", "files", len(self.files))
        for md5, where in self.files:
            path = self.folder / where
            path.parent.mkdir(parents=True, exist_ok=True)
            if md5 in placed:
                _link_or_copy(placed[md5], path)
            elif blobs.get_size(md5) is None or blobs.copy(md5, path) != md5:
                broken.add(md5)
                path.unlink(missing_ok=True)
                continue
            placed.setdefault(md5, path)
            progress.add(path.stat().st_size)
        say(f"{len(self.files)} files, {format_amount(sum(path.stat().st_size for path in placed.values()))}")
        return sorted(broken)

    # --- runs -------------------------------------------------------------------------------------------------------

    def _write_run(self, run: Run, folder: str) -> None:
        shelf = Shelf("files")
        listed = []
        for item in files.list_by_run(self.db, run.id):
            where = shelf.assign_path(item.name)
            self.files.append((item.md5, f"{folder}/{where}"))
            listed.append({**_select_fields(item, leave="id run_id"), "file": where})
        lines = {stream: self._write_lines(run.id, stream, f"{folder}/{stream}.jsonl") for stream in history.TABLES}
        self._write_text(f"{folder}/config.json", run.config)
        self._write_text(f"{folder}/summary.json", run.summary)
        fields = _select_fields(run, leave="id project_id user_id config summary tags stop_requested")
        used = {direction: self._list_lineage(run, direction) for direction in ("input", "output")}
        sent = [_select_fields(item, leave="id run_id") for item in reversed(alerts.list_by_run(self.db, run.id))]
        document = {**fields, "tags": json.loads(run.tags), "user": self._find_username(run.user_id), "alerts": sent}
        self._write_json(f"{folder}/run.json", {**document, "lines": lines, "files": listed, "artifacts": used})

    def _write_lines(self, run_id: int, stream: str, where: str) -> list[list[int]]:
        """Write a stream's lines. Return [first number, count] of each block, because numbers may be missing."""
        blocks: list[list[int]] = []
        self._write_text(where, "")
        with (self.folder / where).open("w", encoding="utf-8", newline="\n") as file:
            for number, line in history.read_numbered(self.db, run_id, stream):
                # Within JSON, a line break can only be white space.
                plain = json.dumps(line) if stream == "console" else line.replace("\r", " ").replace("\n", " ")
                file.write(plain + "\n")
                if blocks and sum(blocks[-1]) == number:
                    blocks[-1][1] += 1
                else:
                    blocks.append([number, 1])
        return blocks

    def _list_lineage(self, run: Run, direction: str) -> list[dict[str, Any]]:
        return [
            {"version": references.name_version(self.db, artifact.id), "digest": artifact.digest}
            for artifact in lineage.list_by_run(self.db, run.id, direction)
        ]

    def _list_sweeps(self) -> list[sweeps.Sweep]:
        return list(reversed(sweeps.list_by_project(self.db, self.project.id)))

    # --- artifacts --------------------------------------------------------------------------------------------------

    def _write_collection(self, collection: Collection, folder: str) -> None:
        clients = self.db.execute("SELECT client_id FROM sequence_clients WHERE collection_id = ?", (collection.id,))
        document = {
            **_select_fields(collection, leave="id project_id type_id"),
            "type": artifact_collections.get_type(self.db, collection.type_id).name,
            "tags": [tag.name for tag in tags.list_by_owner(self.db, CollectionTag, collection.id)],
            "client_ids": [name for (name,) in clients],
            # The links of a portfolio; the versions of a sequence have their own folders.
            "links": self._list_links(collection) if collection.kind == "portfolio" else [],
        }
        self._write_json(f"{folder}/collection.json", document)

    def _list_links(self, collection: Collection) -> list[dict[str, Any]]:
        return [
            self._describe_link(membership)
            for membership in reversed(memberships.list_by_collection(self.db, collection.id))
        ]

    def _describe_link(self, membership: Membership) -> dict[str, Any]:
        """Return a version's place in a portfolio."""
        portfolio = artifact_collections.get_collection(self.db, membership.collection_id)
        home = projects.get_project(self.db, portfolio.project_id)
        return {
            "version": references.name_version(self.db, membership.artifact_id),
            "digest": artifacts.get_artifact(self.db, membership.artifact_id).digest,
            "entity": accounts.get_entity(self.db, home.entity_id).name,
            "project": home.name,
            "collection": portfolio.name,
            "number": membership.version_index,
            "aliases": [alias.name for alias in aliases.list_by_membership(self.db, membership.id)],
            "created_at": membership.created_at,
        }

    def _write_version(self, artifact: Artifact, folder: str) -> None:
        shelf, listed = Shelf("files"), []
        refers_to: dict[str, dict[str, str]] = {}
        for entry in entries.list_by_artifact(self.db, artifact.id):
            where = None
            if entry.md5 is not None:
                where = shelf.assign_path(entry.path)
                self.files.append((entry.md5, f"{folder}/{where}"))
            refers_to |= self._resolve_reference(entry.ref)
            listed.append({**_select_fields(entry, leave="artifact_id"), "file": where})
        self.files.append((str(artifact.manifest_md5), f"{folder}/manifest.json"))
        home, *elsewhere = memberships.list_by_artifact(self.db, artifact.id)
        maker = lineage.find_creator(self.db, artifact.id)
        clients = self.db.execute("SELECT client_id FROM artifact_clients WHERE artifact_id = ?", (artifact.id,))
        fields = _select_fields(
            artifact, leave="id sequence_id state metadata manifest_md5 pending_aliases run_id user_id version_index"
        )
        document = {
            **fields,
            "number": artifact.version_index,
            "metadata": json.loads(artifact.metadata) if artifact.metadata else None,
            "aliases": [alias.name for alias in aliases.list_by_membership(self.db, home.id)],
            "tags": [tag.name for tag in tags.list_by_owner(self.db, Tag, artifact.id)],
            "user": self._find_username(artifact.user_id),
            # A run of another project is not exported.
            "run": maker.name if maker and maker.project_id == self.project.id else None,
            "client_ids": [name for (name,) in clients],
            "links": [self._describe_link(membership) for membership in elsewhere],
            "refers_to": refers_to,
            "files": listed,
        }
        self._write_json(f"{folder}/version.json", document)

    def _resolve_reference(self, ref: str | None) -> dict[str, dict[str, str]]:
        """Return the version and digest that an address refers to, because its id is valid only on this server."""
        match = REFERENCE.match(ref or "")
        if not match:
            return {}
        try:
            artifact = artifacts.find(self.db, decode_artifact_id(match[1]))
        except (NotFound, ValueError):
            return {}  # not an id of this project
        if artifact is None or artifact.state != "COMMITTED":
            return {}
        return {match[1]: {"version": references.name_version(self.db, artifact.id), "digest": artifact.digest}}

    # --- writing ----------------------------------------------------------------------------------------------------

    def _find_username(self, user_id: int | None) -> str | None:
        return accounts.get_user(self.db, user_id).username if user_id is not None else None

    def _write_json(self, where: str, value: Any) -> None:
        self._write_text(where, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def _write_text(self, where: str, text: str) -> None:
        path = self.folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        # Metadata may have half a surrogate pair, which is not UTF-8. Python's escape of it is also JSON's.
        path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")


def decode_artifact_id(hexadecimal: str) -> int:
    """Return the row number of an id as references write it: the id as base64, then in hex digits."""
    return decode_id("Artifact", base64.b64encode(bytes.fromhex(hexadecimal)).decode())


def _select_fields(row: Any, *, leave: str) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if name not in leave.split()}


def _link_or_copy(source: Path, target: Path) -> None:
    """Give the same bytes a second name, or copy them on a file system without hard links."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
