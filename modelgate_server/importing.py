"""
Import what `export` wrote into a data folder. The server may be running.

    python -m modelgate_server import --data DIR SOURCE [--to ENTITY/PROJECT]

Runs keep their names, and versions their numbers, digests, aliases and lineage. Existing data stays: a second import
changes nothing, or completes a killed one. A run that has continued here, a version that only this folder has, and
`latest` on it do not change. Exits 0 done, 2 wrong use, a damaged export, or a project that has other things under the
same names.
"""

import argparse
import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from modelgate_server.api.shapes import encode_id
from modelgate_server.errors import Invalid, NotFound, ServerError, StartError
from modelgate_server.exporting import FORMAT, INDEX, REFERENCE
from modelgate_server.maintenance import Progress, build_parser, hold_folder, locate_database, print_result, say
from modelgate_server.settings import MIB
from modelgate_server.store import (
    accounts,
    alerts,
    aliases,
    artifact_collections,
    files,
    history,
    lineage,
    manifests,
    memberships,
    projects,
    registry,
    runs,
    sweeps,
    tags,
)
from modelgate_server.store.accounts import User
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database, insert, select_one, update
from modelgate_server.store.manifests import Draft
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.store.tags import CollectionTag

# The errors of a document that `export` did not write.
DAMAGE = (
    *(LookupError, TypeError, ValueError, AttributeError, OverflowError),
    *(sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError),
)
LINES = 10_000  # lines of a stream in one transaction, so that the server's own writers get their turn
SWEEP_FIELDS = ("name", "display_name", "description", "config", "state", "points", "created_at", "updated_at")
ALERT_FIELDS = ("level", "title", "text", "created_at")
RUN_FIELDS = (
    *("display_name", "description", "notes", "tags", "state", "group_name", "job_type", "git_commit", "host"),
    *("program", "repo", "sweep_name", "exit_code", "created_at", "heartbeat_at"),
)


def parse_args(argv: list[str]) -> argparse.Namespace:
    made = build_parser(
        "import",
        "Import what `export` wrote into a data folder. The server may be running; you can repeat an import.",
        "--data .modelgate/server mnist-export --to ann/mnist",
    )
    made.add_argument("source", type=Path, metavar="SOURCE", help="the folder that `export` made")
    made.add_argument(
        "--to", metavar="ENTITY/PROJECT", help="the target (default: the names that it was exported from)"
    )
    parsed: argparse.Namespace = made.parse_args(argv)
    return parsed


def main(argv: list[str]) -> int:
    args = parse_args(argv)
    path = locate_database(args.data)
    if not (args.source / INDEX).is_file():
        raise StartError(f'"{args.source}" is not an export: it has no {INDEX}', "use the folder that `export` made")
    with hold_folder(args.data, alone=False):
        database = Database(path)
        try:
            done = Import(database, Blobs(args.data / "blobs"), Source(args.source), args.to)
            done.read()
        except (ServerError, *DAMAGE) as error:
            raise StartError(
                f'"{args.source}" cannot be imported: {error if isinstance(error, ServerError) else repr(error)}',
                "what was imported so far is complete; export again, or fix the export, and import again",
            ) from None
        finally:
            database.close()
    for what in done.not_carried:
        say(f"not imported: {what}")
    say(f"{done.runs} runs and {done.versions} versions are new in {done.target}; {done.there} already existed")
    print_result({"runs": done.runs, "versions": done.versions, "there": done.there, "not_carried": done.not_carried})
    return 0


class Import:
    """Import each run and each version in its own transaction, with its bytes durable before that."""

    def __init__(self, database: Database, blobs: Blobs, source: "Source", target: str | None) -> None:
        self.database = database
        self.blobs = blobs
        self.source = source
        self.index = source.read_document(INDEX)
        if self.index["format"] != FORMAT:
            raise StartError(
                f"the export's format is {self.index['format']}, not {FORMAT}", "use a server that fits it"
            )
        self.entity, self.name = self.index["entity"], self.index["project"]["name"]
        self.target = target or f"{self.entity}/{self.name}"
        self.runs = self.versions = self.there = 0
        self.not_carried: list[str] = []

    def read(self) -> None:
        folders = self.index["runs"]
        collections = [self.source.read_document(f"{folder}/collection.json") for folder in self.index["collections"]]
        versions = [(folder, self.source.read_document(f"{folder}/version.json")) for folder in self.index["versions"]]
        with self.database.write() as db:
            user, project = self._ensure_project(db)
            self._check_runs(db, project)
            held = self._find_latest(db, project, collections)
            self._import_sweeps(db, project)
            for document in collections:
                self._import_collection(db, project, document)
        progress = Progress("imported", "runs and versions", len(folders) + len(versions))
        for folder in folders:
            self._import_run(project, user, folder)
            progress.add(0)
        for folder, document in versions:
            self._import_version(project, user, folder, document)
            progress.add(0)
        links = [link for _, document in versions for link in document["links"]]
        links += [link for document in collections for link in document["links"]]
        with self.database.write() as db:
            self._assign_aliases(db, project, versions, held)
            self._import_links(db, user, links)
            for folder in folders:
                self._import_lineage(db, project, self.source.read_document(f"{folder}/run.json"))

    # --- where to ---------------------------------------------------------------------------------------------------

    def _ensure_project(self, db: sqlite3.Connection) -> tuple[User, Project]:
        """Return the project, created if it is missing, and the user who stands in for users that do not exist here."""
        entity, _, name = self.target.partition("/")
        owner = accounts.find_entity(db, entity)
        if owner is None or not name:
            raise StartError(
                f'there is no entity "{entity}" in this data folder',
                "make it (python -m modelgate_server admin --help), or give another with --to ENTITY/PROJECT",
            )
        user = accounts.get_user(db, owner.user_id) if owner.user_id else accounts.find_user(db, accounts.LOCAL_USER)
        if user is None:
            raise StartError("the data folder has no user yet", "start the server on it once")
        project = projects.find(db, owner.id, name)
        if project is None:
            fields = self.index["project"]
            project = projects.create(
                db,
                owner,
                name,
                user,
                description=fields["description"],
                access=fields["access"],
                allow_all_types=bool(fields["allow_all_types"]),
            )
        return user, project

    def _check_runs(self, db: sqlite3.Connection, project: Project) -> None:
        """Before anything is written, refuse a project that has another run of the same name."""
        for folder in self.index["runs"]:
            document = self.source.read_document(f"{folder}/run.json")
            run = runs.find(db, project.id, document["name"])
            if run is not None and run.created_at != document["created_at"]:
                raise StartError(
                    f'{self.target} has another run "{run.name}", of {run.created_at}',
                    "import into another project with --to ENTITY/PROJECT",
                )

    def _find_user_id(self, db: sqlite3.Connection, name: str | None) -> int | None:
        user = accounts.find_user(db, name) if name else None
        return user.id if user else None

    # --- runs -------------------------------------------------------------------------------------------------------

    def _import_sweeps(self, db: sqlite3.Connection, project: Project) -> None:
        for document in self.source.read_document("sweeps.json"):
            if sweeps.find(db, project.id, document["name"]) is None:
                sweeps.parse(document["config"])
                insert(db, "sweeps", project_id=project.id, **{name: document[name] for name in SWEEP_FIELDS})

    def _import_run(self, project: Project, user: User, folder: str) -> None:
        document = self.source.read_document(f"{folder}/run.json")
        self._copy_files(folder, document["files"])
        fields = {name: document[name] for name in RUN_FIELDS}
        for name in ("config", "summary"):
            fields[name] = self.source.locate(f"{folder}/{name}.json").read_text(encoding="utf-8")
        with self.database.write() as db:
            run = runs.find(db, project.id, document["name"])
            if run is None:
                self.runs += 1
                run = runs.create(db, project, user, document["name"], fields)
            else:
                self.there += 1
                if run.heartbeat_at > document["heartbeat_at"]:
                    return  # it has continued here
                runs.edit(db, run, fields)
            update(db, "runs", run.id, user_id=self._find_user_id(db, document["user"]))
            sent = [] if alerts.list_by_run(db, run.id) else document.get("alerts", [])  # an older export has none
            for alert in sent:
                insert(db, "alerts", run_id=run.id, **{name: alert[name] for name in ALERT_FIELDS})
            for listed in document["files"]:
                size = self.blobs.get_size(listed["md5"]) or 0
                files.put(db, run.id, listed["name"], md5=listed["md5"], size=size)
        for table, stream in history.TABLES.items():
            self._import_lines(run, stream, f"{folder}/{table}.jsonl", document["lines"][table])

    def _copy_files(self, folder: str, listed: list[dict[str, Any]]) -> None:
        """Copy files into the blob folder, durably, unless they are there and intact."""
        needed = [(entry["md5"], entry["file"]) for entry in listed if entry["md5"] is not None]
        for md5, name in needed:
            if self.blobs.renew(md5) and self.blobs.is_right(md5):
                continue
            with self.blobs.begin_upload() as copy, self.source.locate(f"{folder}/{name}").open("rb") as file:
                while piece := file.read(MIB):
                    copy.write(piece)
                if copy.compute_md5() != md5:
                    raise Invalid(f'"{folder}/{name}" is damaged: its MD5 is {copy.compute_md5()}, not {md5}')
                copy.keep()
        self.blobs.make_durable([md5 for md5, _ in needed])

    def _import_lines(self, run: Run, stream: str, where: str, blocks: list[list[int]]) -> None:
        with self.source.locate(where).open(encoding="utf-8", newline="\n") as file:
            for first, number in blocks:
                for start in range(first, first + number, LINES):
                    lines = [line.rstrip("\n") for line in islice(file, min(LINES, first + number - start))]
                    if stream == history.CONSOLE:
                        lines = [str(json.loads(line)) for line in lines]
                    with self.database.write() as db:
                        history.append(db, run.id, stream, start, lines, lowest=-history.MAX_NUMBER)

    def _import_lineage(self, db: sqlite3.Connection, project: Project, document: dict[str, Any]) -> None:
        run = runs.require(db, project, document["name"])
        for direction, listed in document["artifacts"].items():
            for said in listed:
                artifact = self._find(db, said)
                if artifact is None:
                    self.not_carried.append(
                        f"the {direction} {said['version']} of run {run.name}: it does not exist here"
                    )
                else:
                    lineage.record(db, run.id, artifact.id, direction)

    # --- artifacts --------------------------------------------------------------------------------------------------

    def _import_collection(self, db: sqlite3.Connection, project: Project, document: dict[str, Any]) -> None:
        if artifact_collections.find_type(db, project.id, document["type"]) is None and not project.allow_all_types:
            registry.add_types(db, project, [document["type"]])
        collection = artifact_collections.ensure(
            db, project, document["name"], document["type"], kind=document["kind"], description=document["description"]
        )
        number = max(collection.next_version, int(document["next_version"]))
        update(db, "collections", collection.id, next_version=number, created_at=document["created_at"])
        tags.add(db, CollectionTag, collection.id, document["tags"])
        for client in document["client_ids"]:
            db.execute("INSERT OR IGNORE INTO sequence_clients VALUES (?, ?)", (client, collection.id))

    def _import_version(self, project: Project, user: User, folder: str, document: dict[str, Any]) -> None:
        home = self._read_collection(folder)
        with self.database.read() as db:
            sequence = artifact_collections.find(db, project.id, home["name"])
            artifact = self._find_by_number(db, sequence, document["number"]) if sequence else None
            if artifact is not None and artifact.digest != document["digest"]:
                raise StartError(
                    f"{self.target}/{home['name']} has another v{document['number']}",
                    "import into another project with --to ENTITY/PROJECT",
                )
        self._copy_files(folder, document["files"])  # even if the version exists: its bytes may be lost
        if artifact is not None:
            self.there += 1
            return
        with self.database.write() as db:
            made = self._commit(db, project, user, home, folder, document)
        self.blobs.forget(made)
        self.versions += 1

    def _commit(
        self,
        db: sqlite3.Connection,
        project: Project,
        user: User,
        home: dict[str, Any],
        folder: str,
        document: dict[str, Any],
    ) -> int:
        """Create the version as a client would, with its old number; return its id."""
        artifact = manifests.announce(db, project, user, _read_draft(home, document))
        manifest = manifests.create(db, artifact, kind="FULL", digest="", base_id=None)
        manifests.mark_received(
            db, manifest.id, self.blobs.write(self._translate_manifest(db, folder, document, artifact.id))
        )
        self.blobs.record_uploads(
            artifact.id, [entry["md5"] for entry in document["files"] if entry["md5"] is not None]
        )
        with _set_next_number(db, artifact.sequence_id, int(document["number"])):
            manifests.commit(db, self.blobs, user, artifact)
        maker = runs.find(db, project.id, document["run"]) if document["run"] else None
        update(
            db,
            "artifacts",
            artifact.id,
            created_at=document["created_at"],
            updated_at=document["updated_at"],
            run_id=maker.id if maker else None,
            user_id=self._find_user_id(db, document["user"]),
        )
        for client in document["client_ids"]:
            db.execute("INSERT OR IGNORE INTO artifact_clients VALUES (?, ?)", (client, artifact.id))
        return artifact.id

    def _translate_manifest(
        self, db: sqlite3.Connection, folder: str, document: dict[str, Any], artifact_id: int
    ) -> bytes:
        """Return the version's manifest, with the ids of the other server replaced by those of this one."""
        manifest = self.source.read_document(f"{folder}/manifest.json")
        for entry in manifest["contents"].values():
            if "birthArtifactID" in entry:
                entry["birthArtifactID"] = encode_id("Artifact", artifact_id)
            match = REFERENCE.match(entry.get("ref") or "")
            if match:
                said = document["refers_to"].get(match[1])
                artifact = self._find(db, said) if said else None
                if artifact is None:
                    what = said["version"] if said else entry["ref"]
                    self.not_carried.append(f"{folder} refers to {what}, which does not exist here")
                else:
                    own = base64.b64decode(encode_id("Artifact", artifact.id)).hex()
                    entry["ref"] = entry["ref"].replace(match[1], own, 1)
        return json.dumps(manifest).encode()

    def _read_collection(self, folder: str) -> Any:
        """Return the document of the collection that a version's folder is in."""
        return self.source.read_document(f"{folder.rpartition('/')[0]}/collection.json")

    def _find_by_number(self, db: sqlite3.Connection, sequence: Collection, number: int) -> Artifact | None:
        """Return a version by its number, deleted or not: a number is never reused."""
        return select_one(db, Artifact, "WHERE sequence_id = ? AND version_index = ?", sequence.id, number)

    def _find(self, db: sqlite3.Connection, said: dict[str, str]) -> Artifact | None:
        """
        Return the version that has this name on the other server. Names in the exported project are looked up in the
        target.
        """
        home, _, version = said["version"].rpartition("/")
        entity, _, name = (self.target if home == f"{self.entity}/{self.name}" else home).partition("/")
        collection_name, _, number = version.rpartition(":v")
        owner = accounts.find_entity(db, entity)
        project = projects.find(db, owner.id, name) if owner else None
        collection = artifact_collections.find(db, project.id, collection_name) if project else None
        artifact = self._find_by_number(db, collection, int(number)) if collection else None
        return artifact if artifact and artifact.digest == said["digest"] and artifact.state == "COMMITTED" else None

    # --- aliases and links ------------------------------------------------------------------------------------------

    def _find_latest(
        self, db: sqlite3.Connection, project: Project, collections: list[dict[str, Any]]
    ) -> dict[str, Membership]:
        """Return the `latest` version per collection, if this folder has newer ones than the export."""
        held = {}
        for document in collections:
            collection = artifact_collections.find(db, project.id, document["name"])
            latest = memberships.resolve(db, collection.id, LATEST) if collection else None
            if latest is not None and latest.version_index >= document["next_version"]:
                held[document["name"]] = latest
        return held

    def _assign_aliases(
        self,
        db: sqlite3.Connection,
        project: Project,
        versions: list[tuple[str, dict[str, Any]]],
        held: dict[str, Membership],
    ) -> None:
        for folder, document in versions:
            name = self._read_collection(folder)["name"]
            sequence = artifact_collections.find(db, project.id, name)
            artifact = self._find_by_number(db, sequence, document["number"]) if sequence else None
            if sequence is None or artifact is None or artifact.state != "COMMITTED":
                self.not_carried.append(f"{name}:v{document['number']}: it was deleted here")
                continue
            for alias in document["aliases"]:
                aliases.assign(db, sequence, artifact.id, alias)
        for latest in held.values():
            aliases.assign(
                db, artifact_collections.get_collection(db, latest.collection_id), latest.artifact_id, LATEST
            )

    def _import_links(self, db: sqlite3.Connection, user: User, links: list[dict[str, Any]]) -> None:
        """
        Link the versions with their numbers first, then assign the aliases. `latest` stays on a newer version of this
        folder.
        """
        held: dict[int, Membership | None] = {}
        placed = []
        for link in sorted(links, key=lambda link: (link["collection"], link["number"])):
            db.execute("SAVEPOINT link")
            try:
                portfolio, artifact = self._ensure_portfolio(db, user, link)
                latest = memberships.resolve(db, portfolio.id, LATEST)
                placed.append((link, self._link_version(db, user, portfolio, artifact, link)))
                held.setdefault(portfolio.id, latest)
            except ServerError as error:
                # Otherwise a collection without a version would remain, or a number that was only reserved.
                db.execute("ROLLBACK TO link")
                where = f"{link['entity']}/{link['project']}/{link['collection']}"
                self.not_carried.append(f"the link of {link['version']} in {where}: {error}")
            db.execute("RELEASE link")
        for link, membership in placed:
            for alias in link["aliases"]:
                aliases.assign(
                    db, artifact_collections.get_collection(db, membership.collection_id), membership.artifact_id, alias
                )
        for portfolio_id, latest in held.items():
            newest = max(
                membership.version_index for _, membership in placed if membership.collection_id == portfolio_id
            )
            if latest is not None and latest.version_index > newest:
                aliases.assign(db, artifact_collections.get_collection(db, portfolio_id), latest.artifact_id, LATEST)

    def _ensure_portfolio(
        self, db: sqlite3.Connection, user: User, link: dict[str, Any]
    ) -> tuple[Collection, Artifact]:
        """
        Return the target of a link, created if it is missing, and the version. A registry is never created this way.
        """
        artifact = self._find(db, link)
        if artifact is None:
            raise NotFound("the version does not exist here")
        entity, name = link["entity"], link["project"]
        if (entity, name) == (self.entity, self.name):
            entity, _, name = self.target.partition("/")
        elif entity == self.entity:
            entity = self.target.partition("/")[0]
        owner = accounts.find_entity(db, entity)
        target = projects.find(db, owner.id, name) if owner else None
        if target is None and owner is not None and owner.kind != "organization":
            target = projects.create(db, owner, name, user)
        if target is None:
            raise NotFound(f'there is no registry "{entity}/{name}": create it and import again')
        kind = artifact_collections.get_type(
            db, artifact_collections.get_collection(db, artifact.sequence_id).type_id
        ).name
        return artifact_collections.ensure(db, target, link["collection"], kind, kind="portfolio"), artifact

    def _link_version(
        self, db: sqlite3.Connection, user: User, portfolio: Collection, artifact: Artifact, link: dict[str, Any]
    ) -> Membership:
        """Link a version with its old number, or with the next one if another version has that number."""
        membership = memberships.find(db, portfolio.id, artifact.id)
        if membership is not None:
            return membership
        number = int(link["number"])
        if memberships.resolve(db, portfolio.id, f"v{number}") is not None:
            number = artifact_collections.get_collection(db, portfolio.id).next_version
            self.not_carried.append(
                f"v{link['number']} of {portfolio.name} belongs to another version here: this one is v{number}"
            )
        with _set_next_number(db, portfolio.id, number):
            target = projects.get_project(db, portfolio.project_id)
            membership = registry.link(db, user, artifact, target, portfolio.name, [])
        update(db, "memberships", membership.id, created_at=link["created_at"])
        return membership


class Source:
    """The folder of an export. It comes from outside, so it must not name a file outside the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def locate(self, where: str) -> Path:
        path = (self._folder / where).resolve()
        if not path.is_relative_to(self._folder) or not path.is_file():
            raise Invalid(f'the export has no file "{where}"')
        return path

    def read_document(self, where: str) -> Any:
        try:
            return json.loads(self.locate(where).read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise Invalid(f'"{where}" is damaged: {error}') from None


@contextmanager
def _set_next_number(db: sqlite3.Connection, collection_id: int, number: int) -> Iterator[None]:
    """Give the next version of a collection this number; after that, the count continues as before."""
    before = artifact_collections.get_collection(db, collection_id).next_version
    update(db, "collections", collection_id, next_version=number)
    yield
    update(db, "collections", collection_id, next_version=max(before, number + 1))


def _read_draft(home: dict[str, Any], document: dict[str, Any]) -> Draft:
    """Return a version as a client would announce it. `home` is its collection."""
    return Draft(
        type_name=home["type"],
        collection_name=home["name"],
        digest=document["digest"],
        run=None,
        description=document["description"],
        metadata=json.dumps(document["metadata"]) if document["metadata"] is not None else None,
        aliases=[],
        tags=document["tags"],
        ttl_seconds=document["ttl_seconds"],
        history_step=document["history_step"],
        deduplicate=False,
        distributed_id=None,
        client_id=None,
        sequence_client_id=None,
    )
