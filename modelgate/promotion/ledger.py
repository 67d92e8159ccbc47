"""
The ledger of promotions: a W&B artifact, one version an entry, each entry with the hash of the one before.

W&B has no compare-and-swap on an alias, but it numbers the versions of an artifact and never changes their files.
So the ledger decides: the first entry written on a predecessor wins, a later one on the same predecessor is void.

An entry is written before the alias moves. No mark says afterwards that it did, because anyone who can write to the
project can edit a mark. What follows says it: each entry names the version that it found in production, and the entry
that it passes over (`voids`) because its promotion was interrupted or refused. Of the last entry the registry says it.

The alias moves together with a seal: an alias of the promoted version that holds the entry's number and hash. It is in
the registry, apart from the ledger, and outlives the entry: verify.py reads the ledger against it.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.errors import StepError
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact, Run

ARTIFACT_TYPE = "promotion"
FILE = "entry.json"
MAX_BYTES = 1_000_000  # an entry has 2 kB
_MAX_ENTRIES = 1_000_000
_MAX_NAME_CHARS = 1000  # of a version; W&B takes 128 for each part of it
_MAX_DEPTH = 10  # of an entry's JSON, which has 3
_MAX_DROP = 1e100
REGISTRY = "wandb-registry-model"
# What W&B takes for the name of a version, and asks no one else about.
_NAME = re.compile(r"[^/:\\#?%\x00-\x1f\ud800-\udfff]+/[^/:\\#?%\x00-\x1f\ud800-\udfff]+/[A-Za-z0-9_.-]+:v[0-9]{1,9}")
OWN_PROJECT = "-promotions"  # the project that only the account that promotes may write to: <project>-promotions


@dataclass(frozen=True)
class Entry:
    """
    One promotion, as written.

    number: its place in the ledger. content: what the entry says. applied: whether it took effect. void: whether
    another entry on the same predecessor came first. unbound: whether it does not say which run logged it, although one
    before it does. noted: the version's metadata, which repeats the content. version: the artifact's version that it
    is, pinned.
    """

    number: int
    content: Mapping[str, Any]
    applied: bool = False
    void: bool = False
    unbound: bool = False
    noted: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(text(self.content).encode()).hexdigest()

    @property
    def names_run(self) -> bool:
        """Whether the id of the run that logged it follows from what it says, as since schema 4."""
        return isinstance(self.content.get("nonce"), str)

    @property
    def state(self) -> str:
        """`void`, `applied` or `unfinished`."""
        return "void" if self.void else "applied" if self.applied else "unfinished"


def name_of(use_case: str) -> str:
    """The artifact's name."""
    return f"{use_case}_promotions"


def text(content: Mapping[str, Any]) -> str:
    """An entry's canonical form: what is hashed and what the version's file holds."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def chained(entries: Iterable[Entry], production: str | None = None) -> list[Entry]:
    """
    The entries in order, with those marked void that do not follow the last valid one, and those that took effect.

    production: the version that is in production now, which says it of the last entry.
    """
    result: list[Entry] = []
    last: str | None = None
    bound = False
    for entry in sorted(entries, key=lambda entry: entry.number):
        void = entry.content.get("previous") != last
        result.append(replace(entry, void=void, unbound=bound and not entry.names_run))
        if not void:
            last, bound = entry.sha256, bound or entry.names_run
    return with_effect(result, production)


def with_effect(entries: Iterable[Entry], production: str | None) -> list[Entry]:
    """The entries with `applied` as what follows each of them says, and as the registry says of the last one."""
    result: list[Entry] = []
    after: Entry | None = None
    for entry in reversed(list(entries)):
        applied = not entry.void and _took_effect(entry, after, production)
        result.append(replace(entry, applied=applied))
        after = after if entry.void else entry
    return result[::-1]


def _took_effect(entry: Entry, after: Entry | None, production: str | None) -> bool:
    to = entry.content.get("to")
    if after is None:
        return production is not None and isinstance(to, Mapping) and to.get("name") == production
    if "voids" in after.content:
        return bool(after.content["voids"] != entry.number)
    # Before schema 3 an entry that was refused was passed over in silence, and one that was applied had a mark.
    return "applied_at" in entry.noted or after.content.get("from") == to


def head(entries: Iterable[Entry]) -> Entry | None:
    """The last valid entry, which the next one follows."""
    return next((entry for entry in reversed(list(entries)) if not entry.void), None)


def joined(own: Sequence[Entry], older: Sequence[Entry] = ()) -> list[Entry]:
    """
    The entries of a ledger that was begun in another project, with their numbers in the whole of it.

    The first of its own says how many of the older ones count: anyone who can write there may have added some since.
    """
    if not own:
        return list(older)
    before = min(own, key=lambda entry: entry.number).content.get("continues", 0)
    kept = [entry for entry in older if entry.number < before]
    return [*kept, *(replace(entry, number=entry.number + before) for entry in own)]


def promotions(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that took effect."""
    return [entry for entry in entries if entry.applied]


def last_in_production(
    entries: Sequence[Entry], digest: str, counts: Callable[[Entry], bool] = lambda _: True
) -> Entry | None:
    """
    The last entry by which the model with this digest is proven to have been in production; None without one.

    It is in production now, or the next entry found it there. counts: whether an entry is by an account that may
    promote; the others prove nothing.
    """
    valid = [entry for entry in entries if not entry.void]
    for place in reversed(range(len(valid))):
        entry = valid[place]
        if entry.content["to"]["digest"] != digest or not counts(entry):
            continue
        after = next((later for later in valid[place + 1 :] if counts(later)), None)
        if entry.applied if after is None else after.content["from"] == entry.content["to"]:
            return entry
    return None


def drops(entries: Iterable[Entry], metric: str) -> float:
    """How much all promotions that were judged by this metric have given up of it together, in its own unit."""
    judged = [entry.content for entry in promotions(entries) if metric_of(entry) == metric]
    return sum(content.get("drop") or 0.0 for content in judged)


def require_rows(entries: Iterable[Entry], digest: str, sha256: str | None) -> None:
    """Refuse the file of a dataset's eval rows if the ledger knows the dataset, by its digest, with another file."""
    for entry in promotions(entries):
        known = (entry.content.get("sha256") or {}).get("eval_rows")
        if entry.content["dataset"]["digest"] == digest and known not in (None, sha256):
            raise StepError(
                "rows_bytes_changed",
                f"the file of the eval rows has SHA-256 {sha256}, and entry v{entry.number} was judged on {known}",
                "find out who replaced it, then build the dataset again",
            )


def metric_of(entry: Entry) -> str:
    """The metric that an entry's policy is about. Entries did not say it when there was no other than accuracy."""
    return str(entry.content.get("metric") or "accuracy")


# --- in W&B ----------------------------------------------------------------------------------------------------------


def places(api: wandb.Api, entity: str, project: str, use_case: str) -> list[str]:
    """
    Where the ledger is, `entity/project/name`: entries are written to the first, and the second has older ones.

    If there is a project `<project>-promotions`, the ledger is there: a project in which only the account that promotes
    may write. Entries from before it was made stay where they are.
    """
    return names(entity, project, use_case, has_own=client.has_project(api, entity, f"{project}{OWN_PROJECT}"))


def names(entity: str, project: str, use_case: str, *, has_own: bool) -> list[str]:
    """`places` by what is known of the project `<project>-promotions`."""
    homes = [f"{project}{OWN_PROJECT}", project] if has_own else [project]
    return [f"{entity}/{home}/{name_of(use_case)}" for home in homes]


def read(api: wandb.Api, *places: str, registry: str = REGISTRY) -> list[Entry]:
    """
    All entries, void ones marked, oldest first; empty when there are none.

    places: as `places` gives them. registry: the name of the one that the use case promotes in.
    """
    entries = joined(*(_entries(api, place) for place in places))
    return chained(entries, _effective(api, head(chained(entries)), registry))


def by_promoters(api: wandb.Api, entries: Sequence[Entry], registry: str) -> list[Entry]:
    """
    The entries that count for a judgement: those that an admin of the registry wrote, as if the others were not there.

    All of them if W&B does not say who the admins are, or if none of them wrote any.
    """
    if not entries or (home := client.registry(api, registry)) is None:
        return list(entries)
    admins = client.admins(api, f"{home}/")
    ours = [entry for entry in entries if not entry.void and writer(api, entry) in admins]
    return with_effect(ours, _effective(api, head(ours), registry)) if ours else list(entries)


def _effective(api: wandb.Api, last: Entry | None, registry: str) -> str | None:
    """The version that the last entry has put into production, if it has."""
    if last is None or not has_effect(api, last, client.registry(api, registry)):
        return None
    return str(last.content["to"]["name"])


def has_effect(api: wandb.Api, last: Entry, registry: str | None) -> bool:
    """
    Whether the alias was moved by the last entry: its version has the alias or the entry's seal, or it outlived it.

    registry: the use case's, `organization/project`. Anyone who can write an entry can name a version elsewhere.
    """
    target = Reference.parse(last.content["to"]["name"], "the ledger")
    if registry_of(last) != registry:
        return False
    if version := client.find(api, str(target)):
        return bool({client.PRODUCTION, seal_of(last)} & set(version.aliases))
    now, promoters = client.production(api, target.collection), client.admins(api, target.collection)
    by_promoter = not promoters or writer(api, last) in promoters
    return outlived(last, str(Reference.pin(now)) if now else None, by_promoter=by_promoter)


def outlived(last: Entry, production: str | None, *, by_promoter: bool) -> bool:
    """
    Whether the last entry took effect although its version is gone, and alias and seal with it.

    It did if what it replaced is not in production any more, and an account wrote it that may promote: anyone who can
    write an entry can name a version that never was.
    """
    before = last.content["from"]
    return by_promoter and (before is None or before["name"] != production)


def registry_of(entry: Entry) -> str:
    """The registry that an entry promotes in, `organization/project`."""
    return str(entry.content["to"]["name"]).rpartition("/")[0]


def collection_of(entries: Iterable[Entry], registry: str, own: str) -> str:
    """
    The collection of the use case's registry that the last entry promoted in; without an entry the use case's own.

    Anyone who can write to the ledger could name a version of a registry of their own.
    """
    named = [entry for entry in entries if readable(entry.content) and registry_of(entry) == registry]
    return Reference.parse(named[-1].content["to"]["name"], "the ledger").collection if named else f"{registry}/{own}"


def _entries(api: wandb.Api, place: str) -> list[Entry]:
    return sorted(map(_entry, client.versions(api, ARTIFACT_TYPE, place)), key=lambda entry: entry.number)


def append(run: Run, use_case: str, content: Mapping[str, Any]) -> str:
    """Write an entry; returns the version that it is. Whether it won is for `read` to say."""
    import wandb

    artifact = wandb.Artifact(name_of(use_case), type=ARTIFACT_TYPE, metadata={"entry": dict(content)})
    with artifact.new_file(FILE, mode="w", encoding="utf-8") as file:
        file.write(text(content))
    return str(Reference.pin(client.log(run, artifact, ["latest"])))


def run_id(content: Mapping[str, Any], kind: str = "promotion") -> str:
    """
    The id of the run that logs this entry or receipt, which follows from all that it says but the run's page.

    Anyone who can write to the project can go on with a run of somebody else, and no one can give that run another id.
    """
    said = {key: value for key, value in content.items() if key != "run_url"}
    return f"{kind}-{hashlib.sha256(text(said).encode()).hexdigest()[:32]}"


def writer(api: wandb.Api, entry: Entry) -> str | None:
    """
    The account that wrote an entry; None if W&B knows none, or it was logged in a run that was not made for it.

    Entries from before schema 4 do not say which run was: of them it is the run that logged no other entry before.
    """
    if entry.unbound:
        return None
    if not entry.names_run:
        return logger(api, entry.version)
    return account_of(api, entry.version, run_id(entry.content))


def account_of(api: wandb.Api, version: str, run_id: str) -> str | None:
    """The account whose run has this id and logged a version; None if another run did."""
    run = api.artifact(version).logged_by()
    return client.account_of_run(run) if run and run.id == run_id else None


def logger(api: wandb.Api, version: str) -> str | None:
    """
    The account whose run logged an entry from before schema 4; None if W&B knows none.

    None, too, if the run logged another one before: each has a run of its own, and anyone who can write to the project
    can go on with the run of somebody else.
    """
    written = api.artifact(version)
    run = written.logged_by()
    if run is None or (account := client.account_of_run(run)) is None:
        return None
    logged = [Reference.pin(artifact).number for artifact in run.logged_artifacts() if artifact.type == written.type]
    return account if min(logged, default=None) == Reference.parse(version, "").number else None


def now() -> str:
    """The time as entries and evidence write it: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_of(text: str) -> datetime:
    """A time as W&B, entries and people write it (ISO 8601; UTC where no zone is given); ValueError otherwise."""
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def seal_of(entry: Entry) -> str:
    """The alias that a promoted version keeps of its entry."""
    return seal(f"v{entry.number}", entry.sha256)


def seal(version: str, sha256: str) -> str:
    """The seal of the entry that is this version of the ledger, `v3`, and has this hash."""
    return f"promotion-{version}-{sha256[:12]}"


def readable(content: object) -> bool:
    """Whether this says all that a promotion says, each in its type: the ledger's project may have other writers."""

    def version(value: object) -> bool:
        if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("name", "digest")):
            return False
        return len(value["name"]) <= _MAX_NAME_CHARS and _NAME.fullmatch(value["name"]) is not None

    def hashes(value: object) -> bool:
        """SHA-256 of the files; entries of schema 1 have none."""
        return value is None or (
            isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("model", "eval_rows"))
        )

    def number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_DROP

    def place(value: object) -> bool:
        return type(value) is int and 0 <= value <= _MAX_ENTRIES

    def texts(value: object) -> bool:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)

    def time(value: object) -> bool:
        try:
            return isinstance(value, str) and bool(time_of(value))
        except ValueError:
            return False

    return (
        isinstance(content, dict)
        and _is_shallow(content, _MAX_DEPTH)
        and hashes(content.get("sha256"))
        and all(version(content.get(key)) for key in ("to", "model", "dataset", "evidence"))
        and (content.get("from") is None or version(content["from"]))
        and all(isinstance(content.get(key), str) for key in ("approver", "reason"))
        and time(content.get("time"))
        and (content.get("drop") is None or number(content["drop"]))
        and isinstance(content.get("metric"), str | None)
        and isinstance(content["evidence"].get("sha256"), str | None)
        and isinstance(content.get("previous"), str | None)
        and (content.get("voids") is None or place(content["voids"]))
        and isinstance(content.get("account"), str | None)
        and place(content.get("continues", 0))
        and texts(content.get("notify", []))
    )


def _is_shallow(value: object, depth: int) -> bool:
    """Whether JSON is nested no deeper than this: what Python reads it may not be able to write again."""
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(part, depth - 1) for part in parts)


def entry(version: str, file: bytes | None, noted: Mapping[str, Any]) -> Entry:
    """
    The entry that a version holds, by its file and its metadata; file: None if it is missing or damaged.

    What is not a promotion says nothing, follows nothing, and is void.
    """
    try:
        content: Any = json.loads(file) if file is not None else None
    except (ValueError, RecursionError):
        content = None
    said: dict[str, Any] = content if readable(content) else {"previous": "unreadable"}
    return Entry(Reference.parse(version, "the ledger").number, said, noted=noted, version=version)


def _entry(version: Artifact) -> Entry:
    return entry(str(Reference.pin(version)), _file(version), dict(version.metadata))


def _file(version: Artifact) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return files.fetch(version, FILE, Path(folder), MAX_BYTES).path.read_bytes()
        except files.FileRefused:  # no such file, or not the bytes of its digest
            return None
