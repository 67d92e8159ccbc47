"""Show a collection, a version of it, the version's files, and the form that changes its aliases."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.settings import MAX_NAME_CHARS
from modelgate_server.store import (
    accounts,
    aliases,
    artifact_collections,
    artifacts,
    entries,
    lineage,
    memberships,
    projects,
    protection,
    tags,
)
from modelgate_server.store.artifact_collections import Collection
from modelgate_server.store.artifacts import Artifact
from modelgate_server.store.entries import Entry
from modelgate_server.store.memberships import Membership
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.store.tags import Tag
from modelgate_server.web import contents, filters, links
from modelgate_server.web.access import Form, Visit, redirect
from modelgate_server.web.contents import Shown
from modelgate_server.web.links import Link
from modelgate_server.web.tables import Question
from modelgate_server.web.urls import Place, build_picture_url

FILES_A_PAGE = 100
MAX_FOLDERS = 1_000
# A file that is written for people, so it is shown directly.
REPORT = "report.md"
# Tables that the SDK logs by itself, one per call of run.log(): in a lineage, they would only be in the way.
BY_THE_WAY = "run_table"
# For this many of the newest versions, the list shows which runs used them last.
VERSIONS_WITH_USES = 20
USES = 5
MAX_VERDICT_CHARS = 20
# Aliases for machines: what a version was made from.
INPUTS = "inputs-"


@dataclass(frozen=True)
class Version:
    """A version in one of its collections, and the addresses of its pages."""

    project: Project
    place: Place
    collection: Collection
    type_name: str
    membership: Membership
    artifact: Artifact

    @property
    def name(self) -> str:
        return f"{self.collection.name}:v{self.membership.version_index}"

    @property
    def reference(self) -> str:
        return f"{self.place.entity}/{self.place.project}/{self.name}"

    @property
    def url(self) -> str:
        return self.place.build_version_url(self.type_name, self.collection.name, self.membership.version_index)

    @property
    def below(self) -> str:
        return self.place.build_plain_version_url(self.type_name, self.collection.name, self.membership.version_index)

    @property
    def collection_url(self) -> str:
        return self.place.build_collection_url(self.type_name, self.collection.name)


@dataclass(frozen=True)
class Row:
    """A version in its collection's list."""

    number: int
    url: str
    aliases: list[str]
    artifact: Artifact
    metrics: dict[str, float]
    uses: "list[Use]"


@dataclass(frozen=True)
class Use:
    """A run in a version's lineage, with the versions on its other side and its results: numbers, perhaps a verdict."""

    run: Link
    who: str
    state: str
    others: list[Link]
    metrics: dict[str, float]
    verdict: str
    judged: str  # the other version that the verdict is about; empty if it is about this one


# --- collections ----------------------------------------------------------------------------------------------------


def open_collection(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}/{name}: only the name identifies it; the type is for people."""
    project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    return show_collection(visit, home, find_collection(visit, project, visit.read_path("name")))


def find_collection(visit: Visit, project: Project, name: str) -> Collection:
    collection = artifact_collections.find(visit.db, project.id, name)
    if collection is None:
        raise NotFound(f'there is no collection "{name}" in "{project.name}"')
    return collection


def show_collection(visit: Visit, home: Place, collection: Collection) -> Response:
    kind = links.get_type_name(visit, collection)
    rows: list[Row] = []
    for membership in memberships.list_by_collection(visit.db, collection.id):
        visit.deadline.check()
        version = artifacts.get_artifact(visit.db, membership.artifact_id)
        url = home.build_version_url(kind, collection.name, membership.version_index)
        metrics = filters.select_numbers(filters.parse_object(version.metadata))
        uses = _list_users(visit, version)[-USES:] if len(rows) < VERSIONS_WITH_USES else []
        rows.append(Row(membership.version_index, url, links.list_aliases(visit, membership), version, metrics, uses))
    return visit.show(
        "collection.html",
        place=home,
        collection=collection,
        type_name=kind,
        rows=rows,
        metrics=_choose_metrics([row.metrics for row in rows]),
    )


def _choose_metrics(rows: list[dict[str, float]]) -> list[str]:
    """Return the numbers that distinguish versions, the most useful ones first."""
    keys = {key for row in rows for key in row if len(rows) == 1 or len({repr(other.get(key)) for other in rows}) > 1}
    return filters.choose_metrics([{key: row[key] for key in keys & row.keys()} for row in rows])


# --- a version ------------------------------------------------------------------------------------------------------


def open_version(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}/{name}/{version}"""
    return show_version(visit, find(visit))


def find(visit: Visit) -> Version:
    """Return the version that the address names."""
    project, home = links.require_project(visit, visit.read_path("entity"), visit.read_path("project"))
    return find_version(visit, project, home, visit.read_path("name"), visit.read_path("version"))


def find_version(visit: Visit, project: Project, home: Place, name: str, wanted: str) -> Version:
    """Return a version; `wanted` is a number like v3, an alias or a digest."""
    collection = find_collection(visit, project, name)
    membership = memberships.resolve(visit.db, collection.id, wanted)
    if membership is None:
        raise NotFound(f'there is no version "{wanted}" of "{name}" in "{project.name}"')
    return Version(
        project,
        home,
        collection,
        links.get_type_name(visit, collection),
        membership,
        artifacts.get_artifact(visit.db, membership.artifact_id),
    )


def show_version(visit: Visit, version: Version, *, status: int = 200, message: str = "", typed: str = "") -> Response:
    artifact = version.artifact
    role = projects.find_role(visit.db, visit.user, version.project)
    shown = _read_folder(visit, artifact, visit.read_query("folder")) if role in projects.READERS else Folder([], [], 0)
    held = links.list_aliases(visit, version.membership)
    report = entries.find(visit.db, artifact.id, REPORT)
    report = report if role in projects.READERS else None
    return visit.show(
        "version.html",
        status,
        found=version,
        artifact=artifact,
        aliases=held,
        others=_list_other_aliases(visit, version),
        latest=LATEST,
        tags=[tag.name for tag in tags.list_by_owner(visit.db, Tag, artifact.id)],
        may_write=role in projects.WRITERS,
        is_admin=role == "admin",
        protected=protection.list_protected(visit.db, version.project.id),
        guarded=protection.match_protected(visit.db, version.project.id, held),
        may_read=role in projects.READERS,
        metadata=filters.select_visible(filters.parse_object(artifact.metadata)),
        older=_find_older(visit, version),
        made_by=_find_maker(visit, artifact),
        used_by=_list_users(visit, artifact),
        also=_list_elsewhere(visit, version),
        folder=visit.read_query("folder"),
        folders=shown.folders,
        files=shown.files,
        count=shown.count,
        page=visit.page,
        page_size=FILES_A_PAGE,
        first=(visit.page - 1) * FILES_A_PAGE,
        report=_show_content(visit, version, report) if report else None,
        message=message,
        typed=typed,
    )


@dataclass
class Folder:
    """
    What is directly in a folder of a version: folders as [path, files, bytes], the files of one page, and the number of
    all files.
    """

    folders: list[list[Any]]
    files: list[Entry]
    count: int


def _read_folder(visit: Visit, artifact: Artifact, folder: str) -> Folder:
    """
    Read a folder ("" or "media/images/") one entry at a time, because a version's files may not all fit into memory.
    """
    content = Folder([], [], 0)
    first = (visit.page - 1) * FILES_A_PAGE
    for entry in entries.walk(visit.db, artifact.id, folder):
        name, deeper, _ = entry.path[len(folder) :].partition("/")
        if not deeper:
            if first <= content.count < first + FILES_A_PAGE:
                content.files.append(entry)
            content.count += 1
            continue
        path = f"{folder}{name}/"
        if not content.folders or content.folders[-1][0] != path:
            if len(content.folders) == MAX_FOLDERS:
                continue
            content.folders.append([path, 0, 0])
        content.folders[-1][1] += 1
        content.folders[-1][2] += entry.size
    return content


def _find_older(visit: Visit, version: Version) -> int | None:
    numbers = (
        membership.version_index for membership in memberships.list_by_collection(visit.db, version.collection.id)
    )
    return next((number for number in numbers if number < version.membership.version_index), None)


def _list_other_aliases(visit: Visit, version: Version) -> list[tuple[str, int]]:
    """
    Return the aliases of other versions in the collection, with the version. Adding one to this version removes it
    there.
    """
    return [
        (name, number)
        for name, number in aliases.list_numbered(visit.db, version.collection.id)
        if number != version.membership.version_index and name != LATEST and not name.startswith(INPUTS)
    ]


def _find_maker(visit: Visit, artifact: Artifact) -> Use | None:
    run = lineage.find_creator(visit.db, artifact.id)
    return _describe_use(visit, run, "input", artifact) if run else None


def _list_users(visit: Visit, artifact: Artifact) -> list[Use]:
    uses = (_describe_use(visit, run, "output", artifact) for run in lineage.list_users(visit.db, artifact.id))
    return [use for use in uses if use is not None]


def _describe_use(visit: Visit, run: Run, direction: str, artifact: Artifact) -> Use | None:
    """Return None for a run that this user may not see."""
    link = links.link_to_run(visit, run)
    if link is None:
        return None
    others = lineage.list_by_run(visit.db, run.id, direction)
    numbers = filters.select_numbers(filters.parse_object(run.summary))
    telling = [key for key in filters.choose_metrics([numbers], 2) if "accuracy" in key or "loss" in key]
    verdict, judged = next((pair for pair in map(_read_verdict, others) if pair[0]), ("", ""))
    return Use(
        run=link,
        who=accounts.get_user(visit.db, run.user_id).username if run.user_id is not None else "",
        state=run.state,
        others=[other for other in links.link_to_artifacts(visit, others) if other.note != BY_THE_WAY],
        metrics={key: numbers[key] for key in telling},
        verdict=verdict,
        judged=judged if judged and judged not in _list_names(visit, artifact) else "",
    )


def _read_verdict(version: Artifact) -> tuple[str, str]:
    """Return the verdict in the metadata of an evaluation, and the version that it is about; both empty if unknown."""
    metadata = filters.parse_object(version.metadata)
    verdict, judged = metadata.get("verdict"), metadata.get("version")
    if not isinstance(verdict, str) or len(verdict) > MAX_VERDICT_CHARS:
        return "", ""
    return verdict, judged.rpartition("/")[2][:MAX_NAME_CHARS] if isinstance(judged, str) else ""


def _list_names(visit: Visit, artifact: Artifact) -> list[str]:
    """Return the short name of this version in each collection that has it."""
    return [
        f"{artifact_collections.get_collection(visit.db, membership.collection_id).name}:v{membership.version_index}"
        for membership in memberships.list_by_artifact(visit.db, artifact.id)
    ]


def _list_elsewhere(visit: Visit, version: Version) -> list[tuple[Link, list[str]]]:
    """Return the same version in other collections: where it was logged, and where it is linked."""
    others = (
        membership
        for membership in memberships.list_by_artifact(visit.db, version.artifact.id)
        if membership.id != version.membership.id
    )
    named = (
        (links.link_to_membership(visit, membership), links.list_aliases(visit, membership)) for membership in others
    )
    return [(link, held) for link, held in named if link is not None]


# --- its aliases ----------------------------------------------------------------------------------------------------


def change_alias(visit: Visit, fields: Form) -> Response:
    """POST .../aliases: `alias`, and `do` = add or remove. Repeating it changes nothing."""
    version = find(visit)
    projects.require_writer(visit.db, visit.user, version.project, f'there is no version "{version.name}"')
    name = fields.get("alias", "").strip()
    try:
        if fields.get("do") == "remove":
            aliases.remove(visit.db, visit.user, version.collection.id, version.artifact.id, name)
        else:
            aliases.add(visit.db, visit.user, version.collection.id, version.artifact.id, name)
    except (Invalid, Forbidden) as error:
        return show_version(visit, version, status=error.status, message=str(error), typed=name)
    return redirect(f"{version.url}#aliases")


# --- its files ------------------------------------------------------------------------------------------------------


def show_file(visit: Visit) -> Response:
    """GET .../file?path="""
    version = find(visit)
    entry = _require_entry(visit, version)
    place = version.place
    trail = [(place.entity, f"/{place.base.split('/')[1]}"), (place.title, place.url)]
    trail += [(version.collection.name, version.collection_url), (f"v{version.membership.version_index}", version.url)]
    return visit.show(
        "file.html", trail=trail, url=version.below, path=entry.path, size=entry.size, digest=entry.digest,
        shown=_show_content(visit, version, entry), page=visit.page,
    )  # fmt: skip


def _show_content(visit: Visit, version: Version, entry: Entry) -> Shown:
    question = Question(visit.page, filter=visit.read_query("filter"), sort=visit.read_query("sort"))
    return contents.show(
        visit.blobs, entry.md5, entry.path, question, partial(build_picture_url, version.below), visit.deadline.check
    )


def send_frame(visit: Visit) -> Response:
    """GET .../frame?path="""
    return contents.send_frame(visit.blobs, _require_entry(visit, find(visit)).md5)


def send_picture(visit: Visit) -> Response:
    """GET .../picture?path="""
    return contents.send_picture(visit.blobs, _require_entry(visit, find(visit)).md5)


def send_download(visit: Visit) -> Response:
    """GET .../download?path="""
    entry = _require_entry(visit, find(visit))
    return contents.send_download(visit.blobs, entry.md5, entry.path)


def _require_entry(visit: Visit, version: Version) -> Entry:
    path = visit.read_query("path")
    if projects.find_role(visit.db, visit.user, version.project) not in projects.READERS:
        raise Forbidden("a restricted viewer may see versions, but not open or download their files")
    entry = entries.find(visit.db, version.artifact.id, path)
    if not path or entry is None:
        raise NotFound(f'there is no file "{path}" in "{version.name}"')
    return entry
