"""
Import what `export` wrote into a data folder. The server may be running.

    python -m modelgate_server import --data DIR SOURCE [--to ENTITY/PROJECT]

Runs keep their names, and versions their numbers, digests, aliases and lineage. Existing data stays: a second import
changes nothing, or completes a killed one. A run that has continued here, a version that only this folder has, and
`latest` on it do not change. Exits 0 done, 2 wrong use, a damaged export, or a project that has other things under the
same names.
"""

import argparse
import json
import sqlite3
from itertools import islice
from pathlib import Path
from typing import Any

from modelgate_server.errors import ServerError, StartError
from modelgate_server.exporting import INDEX
from modelgate_server.import_artifacts import ArtifactImport
from modelgate_server.import_links import import_links
from modelgate_server.import_source import Source, find_user_id
from modelgate_server.maintenance import Progress, build_parser, hold_folder, locate_database, print_result, say
from modelgate_server.store import accounts, alerts, files, history, lineage, projects, runs, sweeps
from modelgate_server.store.accounts import User
from modelgate_server.store.blobs import Blobs
from modelgate_server.store.db import Database, insert, update
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run

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
            done = Import(database, Blobs(args.data / "blobs"), Source(args.source, args.to))
            done.read()
        except (ServerError, *DAMAGE) as error:
            raise StartError(
                f'"{args.source}" cannot be imported: {error if isinstance(error, ServerError) else repr(error)}',
                "what was imported so far is complete; export again, or fix the export, and import again",
            ) from None
        finally:
            database.close()
    source, versions = done.source, done.artifacts.made
    existed = done.there + done.artifacts.there
    for what in source.not_carried:
        say(f"not imported: {what}")
    say(f"{done.runs} runs and {versions} versions are new in {source.target}; {existed} already existed")
    print_result({"runs": done.runs, "versions": versions, "there": existed, "not_carried": source.not_carried})
    return 0


class Import:
    """Import each run and each version in its own transaction, with its bytes durable before that."""

    def __init__(self, database: Database, blobs: Blobs, source: Source) -> None:
        self.database = database
        self.blobs = blobs
        self.source = source
        self.artifacts = ArtifactImport(database, blobs, source)
        self.runs = self.there = 0

    def read(self) -> None:
        read, index = self.source.read_document, self.source.index
        folders = index["runs"]
        collections = [read(f"{folder}/collection.json") for folder in index["collections"]]
        versions = [(folder, read(f"{folder}/version.json")) for folder in index["versions"]]
        with self.database.write() as db:
            user, project = self._ensure_project(db)
            self._check_runs(db, project)
            held = self.artifacts.find_latest(db, project, collections)
            self._import_sweeps(db, project)
            for document in collections:
                self.artifacts.import_collection(db, project, document)
        progress = Progress("imported", "runs and versions", len(folders) + len(versions))
        for folder in folders:
            self._import_run(project, user, folder)
            progress.add(0)
        for folder, document in versions:
            self.artifacts.import_version(project, user, folder, document)
            progress.add(0)
        links = [link for _, document in versions for link in document["links"]]
        links += [link for document in collections for link in document["links"]]
        with self.database.write() as db:
            self.artifacts.assign_aliases(db, project, versions, held)
            import_links(db, self.source, user, links)
            for folder in folders:
                self._import_lineage(db, project, read(f"{folder}/run.json"))

    # --- where to ---------------------------------------------------------------------------------------------------

    def _ensure_project(self, db: sqlite3.Connection) -> tuple[User, Project]:
        """Return the project, created if it is missing, and the user who stands in for users that do not exist here."""
        entity, _, name = self.source.target.partition("/")
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
            fields = self.source.index["project"]
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
        for folder in self.source.index["runs"]:
            document = self.source.read_document(f"{folder}/run.json")
            run = runs.find(db, project.id, document["name"])
            if run is not None and run.created_at != document["created_at"]:
                raise StartError(
                    f'{self.source.target} has another run "{run.name}", of {run.created_at}',
                    "import into another project with --to ENTITY/PROJECT",
                )

    # --- runs -------------------------------------------------------------------------------------------------------

    def _import_sweeps(self, db: sqlite3.Connection, project: Project) -> None:
        for document in self.source.read_document("sweeps.json"):
            if sweeps.find(db, project.id, document["name"]) is None:
                sweeps.parse(document["config"])
                insert(db, "sweeps", project_id=project.id, **{name: document[name] for name in SWEEP_FIELDS})

    def _import_run(self, project: Project, user: User, folder: str) -> None:
        document = self.source.read_document(f"{folder}/run.json")
        self.source.copy_files(self.blobs, folder, document["files"])
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
            update(db, "runs", run.id, user_id=find_user_id(db, document["user"]))
            sent = [] if alerts.list_by_run(db, run.id) else document.get("alerts", [])  # an older export has none
            for alert in sent:
                insert(db, "alerts", run_id=run.id, **{name: alert[name] for name in ALERT_FIELDS})
            for listed in document["files"]:
                size = self.blobs.get_size(listed["md5"]) or 0
                files.put(db, run.id, listed["name"], md5=listed["md5"], size=size)
        for table, stream in history.TABLES.items():
            self._import_lines(run, stream, f"{folder}/{table}.jsonl", document["lines"][table])

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
            for reference in listed:
                artifact = self.source.find_version(db, reference)
                if artifact is None:
                    self.source.not_carried.append(
                        f"the {direction} {reference['version']} of run {run.name}: it does not exist here"
                    )
                else:
                    lineage.record(db, run.id, artifact.id, direction)
