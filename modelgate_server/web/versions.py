"""Show a collection, a version of it, the version's files, and the form that changes its aliases."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from modelgate_server.errors import Forbidden, Invalid, NotFound
from modelgate_server.store import accounts, artifacts, projects, protection
from modelgate_server.store.artifacts import Artifact, Collection, Entry, Membership
from modelgate_server.store.names import LATEST
from modelgate_server.store.projects import Project
from modelgate_server.store.runs import Run
from modelgate_server.web import contents, filters, links
from modelgate_server.web.access import Form, Visit, see_other
from modelgate_server.web.contents import Shown
from modelgate_server.web.links import Link
from modelgate_server.web.tables import Question
from modelgate_server.web.urls import Place, picture_url

FILES_A_PAGE = 100
MAX_FOLDERS = 1_000
# What is written for people, and so shown at once.
REPORT = "report.md"
# Tables that the SDK logs by itself, one a call of run.log(): in a lineage they only stand in the way.
BY_THE_WAY = "run_table"
# Of the newest versions in a list it is said which runs used them last.
VERSIONS_WITH_USES = 20
USES = 5
MAX_VERDICT_CHARS = 20
# Aliases for machines: what a version was made from.
INPUTS = "inputs-"


@dataclass(frozen=True)
class Version:
    """A version in one of its collections, and where its pages are."""

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
        return self.place.version(self.type_name, self.collection.name, self.membership.version_index)

    @property
    def below(self) -> str:
        return self.place.plain_version(self.type_name, self.collection.name, self.membership.version_index)

    @property
    def collection_url(self) -> str:
        return self.place.collection(self.type_name, self.collection.name)


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
    """A run in a version's lineage, with what is on its other side, and what it came to: numbers, perhaps a verdict."""

    run: Link
    who: str
    state: str
    others: list[Link]
    metrics: dict[str, float]
    verdict: str


# --- collections ----------------------------------------------------------------------------------------------------


def collection(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}/{name}: only the name identifies it; the type is for people."""
    found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    return show_collection(visit, home, find_collection(visit, found, visit.at("name")))


def find_collection(visit: Visit, project: Project, name: str) -> Collection:
    found = artifacts.find_collection(visit.db, project.id, name)
    if found is None:
        raise NotFound(f'there is no collection "{name}" in "{project.name}"')
    return found


def show_collection(visit: Visit, home: Place, collection: Collection) -> Response:
    kind = links.type_name(visit, collection)
    rows: list[Row] = []
    for one in artifacts.versions(visit.db, collection.id):
        visit.deadline.check()
        version = artifacts.artifact(visit.db, one.artifact_id)
        url = home.version(kind, collection.name, one.version_index)
        metrics = filters.numbers(filters.parsed(version.metadata))
        uses = _users(visit, version)[-USES:] if len(rows) < VERSIONS_WITH_USES else []
        rows.append(Row(one.version_index, url, links.aliases(visit, one), version, metrics, uses))
    return visit.show(
        "collection.html",
        place=home,
        collection=collection,
        type_name=kind,
        rows=rows,
        metrics=_differing([row.metrics for row in rows]),
    )


def _differing(rows: list[dict[str, float]]) -> list[str]:
    """Return the numbers that distinguish versions, the most useful ones first."""
    keys = {key for row in rows for key in row if len(rows) == 1 or len({repr(other.get(key)) for other in rows}) > 1}
    return filters.key_metrics([{key: row[key] for key in keys & row.keys()} for row in rows])


# --- a version ------------------------------------------------------------------------------------------------------


def version(visit: Visit) -> Response:
    """GET /{entity}/{project}/artifacts/{type}/{name}/{version}"""
    return show_version(visit, find(visit))


def find(visit: Visit) -> Version:
    """Return the version that the address names."""
    found, home = links.project(visit, visit.at("entity"), visit.at("project"))
    return find_version(visit, found, home, visit.at("name"), visit.at("version"))


def find_version(visit: Visit, project: Project, home: Place, name: str, wanted: str) -> Version:
    """`wanted` is a number like v3, an alias or a digest."""
    found = find_collection(visit, project, name)
    there = artifacts.resolve(visit.db, found.id, wanted)
    if there is None:
        raise NotFound(f'there is no version "{wanted}" of "{name}" in "{project.name}"')
    return Version(
        project, home, found, links.type_name(visit, found), there, artifacts.artifact(visit.db, there.artifact_id)
    )


def show_version(visit: Visit, version: Version, *, status: int = 200, message: str = "", typed: str = "") -> Response:
    artifact = version.artifact
    role = projects.role(visit.db, visit.user, version.project)
    shown = _folder(visit, artifact, visit.asked("folder")) if role in projects.READERS else Folder([], [], 0)
    aliases = links.aliases(visit, version.membership)
    report = next(iter(artifacts.entries(visit.db, artifact.id, paths=[REPORT])), None)
    report = report if role in projects.READERS else None
    return visit.show(
        "version.html",
        status,
        found=version,
        artifact=artifact,
        aliases=aliases,
        others=_other_aliases(visit, version),
        latest=LATEST,
        tags=[tag.name for tag in artifacts.tags(visit.db, artifact.id)],
        may_write=role in projects.WRITERS,
        is_admin=role == "admin",
        protected=protection.protected(visit.db, version.project.id),
        guarded=protection.among(visit.db, version.project.id, aliases),
        may_read=role in projects.READERS,
        metadata=filters.visible(filters.parsed(artifact.metadata)),
        older=_older(visit, version),
        made_by=_maker(visit, artifact),
        used_by=_users(visit, artifact),
        also=_elsewhere(visit, version),
        folder=visit.asked("folder"),
        folders=shown.folders,
        files=shown.files,
        count=shown.count,
        page=visit.page,
        page_size=FILES_A_PAGE,
        first=(visit.page - 1) * FILES_A_PAGE,
        report=_shown(visit, version, report) if report else None,
        message=message,
        typed=typed,
    )


@dataclass
class Folder:
    """What is directly in a folder of a version: folders as [path, files, bytes], the files of one page, all files."""

    folders: list[list[Any]]
    files: list[Entry]
    count: int


def _folder(visit: Visit, artifact: Artifact, folder: str) -> Folder:
    """Of a folder ("" or "media/images/"). A version may have more files than fit into memory: one at a time."""
    found = Folder([], [], 0)
    first = (visit.page - 1) * FILES_A_PAGE
    for entry in artifacts.entries_in(visit.db, artifact.id, folder):
        name, deeper, _ = entry.path[len(folder) :].partition("/")
        if not deeper:
            if first <= found.count < first + FILES_A_PAGE:
                found.files.append(entry)
            found.count += 1
            continue
        path = f"{folder}{name}/"
        if not found.folders or found.folders[-1][0] != path:
            if len(found.folders) == MAX_FOLDERS:
                continue
            found.folders.append([path, 0, 0])
        found.folders[-1][1] += 1
        found.folders[-1][2] += entry.size
    return found


def _older(visit: Visit, version: Version) -> int | None:
    numbers = (one.version_index for one in artifacts.versions(visit.db, version.collection.id))
    return next((number for number in numbers if number < version.membership.version_index), None)


def _other_aliases(visit: Visit, version: Version) -> list[tuple[str, int]]:
    """Aliases that other versions of the collection hold, with the version: adding one here takes it from there."""
    numbers = {one.id: one.version_index for one in artifacts.versions(visit.db, version.collection.id)}
    everything = artifacts.aliases_in(visit.db, version.collection.id)
    return [
        (alias.name, numbers[alias.membership_id])
        for alias in everything
        if alias.membership_id != version.membership.id and alias.name != LATEST and not alias.name.startswith(INPUTS)
    ]


def _maker(visit: Visit, artifact: Artifact) -> Use | None:
    run = artifacts.created_by(visit.db, artifact.id)
    return _use(visit, run, "input", artifact) if run else None


def _users(visit: Visit, artifact: Artifact) -> list[Use]:
    uses = (_use(visit, run, "output", artifact) for run in artifacts.used_by(visit.db, artifact.id))
    return [use for use in uses if use is not None]


def _use(visit: Visit, run: Run, direction: str, artifact: Artifact) -> Use | None:
    """Return None for a run that this user may not see."""
    link = links.to_run(visit, run)
    if link is None:
        return None
    others = artifacts.of_run(visit.db, run.id, direction)
    numbers = filters.numbers(filters.parsed(run.summary))
    telling = [key for key in filters.key_metrics([numbers], 2) if "accuracy" in key or "loss" in key]
    return Use(
        run=link,
        who=accounts.user(visit.db, run.user_id).username if run.user_id is not None else "",
        state=run.state,
        others=[other for other in links.to_artifacts(visit, others) if other.note != BY_THE_WAY],
        metrics={key: numbers[key] for key in telling},
        verdict=next((verdict for other in others if (verdict := _verdict(other))), ""),
    )


def _verdict(version: Artifact) -> str:
    """Return what an evaluation says about the version that it judged, from its metadata."""
    verdict = filters.parsed(version.metadata).get("verdict")
    return verdict if isinstance(verdict, str) and len(verdict) <= MAX_VERDICT_CHARS else ""


def _elsewhere(visit: Visit, version: Version) -> list[tuple[Link, list[str]]]:
    """Return the same version in other collections: where it was logged, where it is linked."""
    others = (one for one in artifacts.memberships(visit.db, version.artifact.id) if one.id != version.membership.id)
    named = ((links.to_membership(visit, one), links.aliases(visit, one)) for one in others)
    return [(link, aliases) for link, aliases in named if link is not None]


# --- its aliases ----------------------------------------------------------------------------------------------------


def change_alias(visit: Visit, fields: Form) -> Response:
    """POST .../aliases: `alias`, and `do` = add or remove. Twice is the same as once."""
    found = find(visit)
    projects.require_writer(visit.db, visit.user, found.project, f'there is no version "{found.name}"')
    name = fields.get("alias", "").strip()
    try:
        if fields.get("do") == "remove":
            artifacts.remove_alias(visit.db, visit.user, found.collection.id, found.artifact.id, name)
        else:
            artifacts.add_alias(visit.db, visit.user, found.collection.id, found.artifact.id, name)
    except (Invalid, Forbidden) as error:
        return show_version(visit, found, status=error.status, message=str(error), typed=name)
    return see_other(f"{found.url}#aliases")


# --- its files ------------------------------------------------------------------------------------------------------


def file(visit: Visit) -> Response:
    """GET .../file?path="""
    found = find(visit)
    entry = _entry(visit, found)
    place = found.place
    trail = [(place.entity, f"/{place.base.split('/')[1]}"), (place.title, place.url)]
    trail += [(found.collection.name, found.collection_url), (f"v{found.membership.version_index}", found.url)]
    return visit.show(
        "file.html", trail=trail, url=found.below, path=entry.path, size=entry.size, digest=entry.digest,
        shown=_shown(visit, found, entry), page=visit.page,
    )  # fmt: skip


def _shown(visit: Visit, version: Version, entry: Entry) -> Shown:
    question = Question(visit.page, filter=visit.asked("filter"), sort=visit.asked("sort"))
    return contents.show(
        visit.blobs, entry.md5, entry.path, question, partial(picture_url, version.below), visit.deadline.check
    )


def framed(visit: Visit) -> Response:
    """GET .../frame?path="""
    return contents.framed(visit.blobs, _entry(visit, find(visit)).md5)


def picture(visit: Visit) -> Response:
    """GET .../picture?path="""
    return contents.picture(visit.blobs, _entry(visit, find(visit)).md5)


def download(visit: Visit) -> Response:
    """GET .../download?path="""
    entry = _entry(visit, find(visit))
    return contents.download(visit.blobs, entry.md5, entry.path)


def _entry(visit: Visit, version: Version) -> Entry:
    path = visit.asked("path")
    if projects.role(visit.db, visit.user, version.project) not in projects.READERS:
        raise Forbidden("a restricted viewer may see versions, but not open or download their files")
    entries = artifacts.entries(visit.db, version.artifact.id, paths=[path])
    if not path or not entries:
        raise NotFound(f'there is no file "{path}" in "{version.name}"')
    return entries[0]
