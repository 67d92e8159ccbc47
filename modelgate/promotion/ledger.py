"""
Read and write the ledger of promotions: a W&B artifact, one version per entry, each with the hash of the previous one.

W&B has no compare-and-swap on an alias, but it numbers the versions of an artifact and never changes their files.
So the ledger decides: the first entry that follows a predecessor wins, and a later one with the same predecessor is
void.

An entry is written before the alias moves. Nothing marks it as applied afterwards, because anyone who can write to the
project can edit a mark. Instead, the next entry shows it: each entry names the version that it found in production, and
the entry that it skips (`voids`) because its promotion was interrupted or refused. For the last entry, the registry
shows it.

The alias moves together with a seal: an alias of the promoted version that contains the entry's number and hash. It is
in the registry, separate from the ledger, and outlives the entry: verify.py compares the ledger with it.
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
_MAX_NAME_CHARS = 1000  # of a version; W&B allows 128 for each part of it
_MAX_DEPTH = 10  # of an entry's JSON, which has 3
_MAX_DROP = 1e100
REGISTRY = "wandb-registry-model"
# A name of a version that W&B resolves without asking anyone else.
_NAME = re.compile(r"[^/:\\#?%\x00-\x1f\ud800-\udfff]+/[^/:\\#?%\x00-\x1f\ud800-\udfff]+/[A-Za-z0-9_.-]+:v[0-9]{1,9}")
OWN_PROJECT = "-promotions"  # only the account that promotes may write to this project: <project>-promotions


@dataclass(frozen=True)
class Entry:
    """
    One promotion, as written.

    number: its place in the ledger. content: what the entry says. applied: whether it took effect. void: whether
    another entry with the same predecessor came first. unbound: whether it does not name the run that logged it,
    although an earlier entry does. metadata: the version's metadata, which repeats the content. version: its pinned
    artifact version.
    """

    number: int
    content: Mapping[str, Any]
    applied: bool = False
    void: bool = False
    unbound: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def sha256(self) -> str:
        return hashlib.sha256(to_text(self.content).encode()).hexdigest()

    @property
    def names_run(self) -> bool:
        """Return whether the id of its run follows from its content, as it does since schema 4."""
        return isinstance(self.content.get("nonce"), str)

    @property
    def state(self) -> str:
        """`void`, `applied` or `unfinished`."""
        return "void" if self.void else "applied" if self.applied else "unfinished"


def get_name(use_case: str) -> str:
    """Return the artifact's name."""
    return f"{use_case}_promotions"


def to_text(content: Mapping[str, Any]) -> str:
    """Return an entry's canonical form, which is hashed and stored in the version's file."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def chain(entries: Iterable[Entry], production: str | None = None) -> list[Entry]:
    """
    Return the entries in order, and mark those that took effect, and as void those that do not follow the last valid
    one.

    production: the version that is in production now, which shows whether the last entry took effect.
    """
    result: list[Entry] = []
    last: str | None = None
    bound = False
    for entry in sorted(entries, key=lambda entry: entry.number):
        void = entry.content.get("previous") != last
        result.append(replace(entry, void=void, unbound=bound and not entry.names_run))
        if not void:
            last, bound = entry.sha256, bound or entry.names_run
    return mark_effects(result, production)


def mark_effects(entries: Iterable[Entry], production: str | None) -> list[Entry]:
    """Return the entries with `applied` set by the entry that follows each of them, and for the last one by the
    registry.
    """
    result: list[Entry] = []
    after: Entry | None = None
    for entry in reversed(list(entries)):
        applied = not entry.void and _has_taken_effect(entry, after, production)
        result.append(replace(entry, applied=applied))
        after = after if entry.void else entry
    return result[::-1]


def _has_taken_effect(entry: Entry, after: Entry | None, production: str | None) -> bool:
    to = entry.content.get("to")
    if after is None:
        return production is not None and isinstance(to, Mapping) and to.get("name") == production
    if "voids" in after.content:
        return bool(after.content["voids"] != entry.number)
    # Before schema 3, a refused entry was skipped silently, and an applied one had a mark.
    return "applied_at" in entry.metadata or after.content.get("from") == to


def find_head(entries: Iterable[Entry]) -> Entry | None:
    """Return the last valid entry, which the next one follows."""
    return next((entry for entry in reversed(list(entries)) if not entry.void), None)


def join(own: Sequence[Entry], older: Sequence[Entry] = ()) -> list[Entry]:
    """
    Return the entries of a ledger that began in another project, numbered across both.

    The first entry here says how many of the older ones count: anyone who can write there may have added some later.
    """
    if not own:
        return list(older)
    before = min(own, key=lambda entry: entry.number).content.get("continues", 0)
    earlier = [entry for entry in older if entry.number < before]
    return [*earlier, *(replace(entry, number=entry.number + before) for entry in own)]


def list_promotions(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that took effect."""
    return [entry for entry in entries if entry.applied]


def find_last_in_production(
    entries: Sequence[Entry], digest: str, counts: Callable[[Entry], bool] = lambda _: True
) -> Entry | None:
    """
    Return the last entry that proves that the model with this digest was in production; None without one.

    It is in production now, or the next entry found it there. counts: whether an account that may promote wrote an
    entry; the others prove nothing.
    """
    valid = [entry for entry in entries if not entry.void]
    for i in reversed(range(len(valid))):
        entry = valid[i]
        if entry.content["to"]["digest"] != digest or not counts(entry):
            continue
        after = next((later for later in valid[i + 1 :] if counts(later)), None)
        if entry.applied if after is None else after.content["from"] == entry.content["to"]:
            return entry
    return None


def sum_drops(entries: Iterable[Entry], metric: str) -> float:
    """Return how much all promotions judged by this metric have lost of it together, in its own unit."""
    judged = [entry.content for entry in list_promotions(entries) if get_metric(entry) == metric]
    return sum(content.get("drop") or 0.0 for content in judged)


def require_rows(entries: Iterable[Entry], digest: str, sha256: str | None) -> None:
    """Refuse the file of a dataset's eval rows if the ledger records another file for the dataset's digest."""
    for entry in list_promotions(entries):
        known = (entry.content.get("sha256") or {}).get("eval_rows")
        if entry.content["dataset"]["digest"] == digest and known not in (None, sha256):
            raise StepError(
                "rows_bytes_changed",
                f"the file of the eval rows has SHA-256 {sha256}, but entry v{entry.number} was judged on {known}",
                "find out who replaced it, then build the dataset again",
            )


def get_metric(entry: Entry) -> str:
    """Return the metric of an entry's policy. Early entries do not say it, because accuracy was the only one."""
    return str(entry.content.get("metric") or "accuracy")


# --- in W&B ----------------------------------------------------------------------------------------------------------


def find_names(api: wandb.Api, entity: str, project: str, use_case: str) -> list[str]:
    """
    Return where the ledger is, `entity/project/name`: new entries go to the first place, and the second has older ones.

    If there is a project `<project>-promotions`, the ledger is there: only the account that promotes may write to it.
    Entries that are older than this project stay where they are.
    """
    return list_names(entity, project, use_case, has_own=client.has_project(api, entity, f"{project}{OWN_PROJECT}"))


def list_names(entity: str, project: str, use_case: str, *, has_own: bool) -> list[str]:
    """Return the names of `find_names`, given whether the project `<project>-promotions` exists."""
    homes = [f"{project}{OWN_PROJECT}", project] if has_own else [project]
    return [f"{entity}/{home}/{get_name(use_case)}" for home in homes]


def read(api: wandb.Api, *names: str, registry: str = REGISTRY) -> list[Entry]:
    """
    Return all entries, oldest first, with void ones marked; empty if there are none.

    names: from `find_names`. registry: the name of the registry that the use case promotes in.
    """
    entries = join(*(_read_entries(api, name) for name in names))
    return chain(entries, _find_effective(api, find_head(chain(entries)), registry))


@dataclass(frozen=True)
class Promoters:
    """
    The accounts that may promote in a registry. What any other account wrote does not count.

    are_named: whether W&B says who the registry's admins are.
    """

    api: wandb.Api
    accounts: frozenset[str]
    are_named: bool
    _known: dict[str, bool] = field(default_factory=dict, compare=False)

    def has_written(self, entry: Entry) -> bool:
        """Return whether one of them wrote an entry. W&B is asked once per entry."""
        if entry.version not in self._known:
            self._known[entry.version] = find_writer(self.api, entry) in self.accounts
        return self._known[entry.version]

    def has_logged(self, version: str, run_id: str) -> bool:
        """Return whether one of them logged a version, in the run with this id."""
        return find_account(self.api, version, run_id) in self.accounts


def find_promoters(api: wandb.Api, collection: str, accounts: Iterable[str] = ()) -> Promoters:
    """
    Return who may promote in the registry of a collection: its admins, and these accounts.

    If W&B does not name the admins, and no account is given, it is the account of this key alone.
    """
    admins = client.list_admins(api, collection)
    return Promoters(api, (admins | set(accounts)) or frozenset({client.get_account(api)}), bool(admins))


def keep_by_promoters(api: wandb.Api, entries: Sequence[Entry], registry: str) -> list[Entry]:
    """
    Return the entries that count for a judgement: those that an admin of the registry wrote, ignoring the others.

    Return all of them if W&B does not say who the admins are, or if no admin wrote any.
    """
    if not entries or (home := client.find_registry(api, registry)) is None:
        return list(entries)
    promoters = find_promoters(api, f"{home}/")
    if not promoters.are_named:
        return list(entries)
    ours = [entry for entry in entries if not entry.void and promoters.has_written(entry)]
    return mark_effects(ours, _find_effective(api, find_head(ours), registry)) if ours else list(entries)


def _find_effective(api: wandb.Api, last: Entry | None, registry: str) -> str | None:
    """Return the version that the last entry put into production, if it did."""
    if last is None or not has_effect(api, last, client.find_registry(api, registry)):
        return None
    return str(last.content["to"]["name"])


def has_effect(api: wandb.Api, last: Entry, registry: str | None) -> bool:
    """
    Return whether the last entry moved the alias: its version has the alias or the entry's seal, or the version is
    gone.

    registry: the use case's, `organization/project`. Anyone who can write an entry could name a version elsewhere.
    """
    target = Reference.parse(last.content["to"]["name"], "the ledger")
    if get_registry(last) != registry:
        return False
    if version := client.find(api, str(target)):
        return bool({client.PRODUCTION, get_seal(last)} & set(version.aliases))
    now, promoters = client.find_production(api, target.collection), client.list_admins(api, target.collection)
    by_promoter = not promoters or find_writer(api, last) in promoters
    return has_outlived(last, str(Reference.pin(now)) if now else None, by_promoter=by_promoter)


def has_outlived(last: Entry, production: str | None, *, by_promoter: bool) -> bool:
    """
    Return whether the last entry took effect although its version is gone, with its alias and seal.

    It did if the version that it replaced is no longer in production, and an account that may promote wrote it: anyone
    who can write an entry could name a version that never existed.
    """
    before = last.content["from"]
    return by_promoter and (before is None or before["name"] != production)


def get_registry(entry: Entry) -> str:
    """Return the registry that an entry promotes in, `organization/project`."""
    return str(entry.content["to"]["name"]).rpartition("/")[0]


def get_collection(entries: Iterable[Entry], registry: str, own: str) -> str:
    """
    Return the collection of the use case's registry that the last entry promoted in; without an entry, the use case's
    own.

    Anyone who can write to the ledger could name a version in their own registry.
    """
    promotions = [entry for entry in entries if is_readable(entry.content) and get_registry(entry) == registry]
    if not promotions:
        return f"{registry}/{own}"
    return Reference.parse(promotions[-1].content["to"]["name"], "the ledger").collection


def _read_entries(api: wandb.Api, name: str) -> list[Entry]:
    return sorted(map(_read_entry, client.list_versions(api, ARTIFACT_TYPE, name)), key=lambda entry: entry.number)


def append(run: Run, use_case: str, content: Mapping[str, Any]) -> str:
    """Write an entry and return its version. `read` shows whether it won."""
    import wandb

    artifact = wandb.Artifact(get_name(use_case), type=ARTIFACT_TYPE, metadata={"entry": dict(content)})
    with artifact.new_file(FILE, mode="w", encoding="utf-8") as file:
        file.write(to_text(content))
    return str(Reference.pin(client.log(run, artifact, ["latest"])))


def compute_run_id(content: Mapping[str, Any], kind: str = "promotion") -> str:
    """
    Return the id of the run that logs this entry or receipt. It follows from all its content except the run's page.

    Anyone who can write to the project can continue someone else's run, but no one can give that run another id.
    """
    hashed = {key: value for key, value in content.items() if key != "run_url"}
    return f"{kind}-{hashlib.sha256(to_text(hashed).encode()).hexdigest()[:32]}"


def find_writer(api: wandb.Api, entry: Entry) -> str | None:
    """
    Return the account that wrote an entry; None if W&B knows none, or if the run was not created for it.

    Entries before schema 4 do not name their run: for them, it must be a run that logged no earlier entry.
    """
    if entry.unbound:
        return None
    if not entry.names_run:
        return find_logger(api, entry.version)
    return find_account(api, entry.version, compute_run_id(entry.content))


def find_account(api: wandb.Api, version: str, run_id: str) -> str | None:
    """Return the account of the run with this id, if it logged the version; None if another run did."""
    run = api.artifact(version).logged_by()
    return client.get_run_account(run) if run and run.id == run_id else None


def find_logger(api: wandb.Api, version: str) -> str | None:
    """
    Return the account whose run logged an entry before schema 4; None if W&B knows none.

    Also None if the run logged an earlier entry: each entry has its own run, and anyone who can write to the project
    can continue someone else's run.
    """
    written = api.artifact(version)
    run = written.logged_by()
    if run is None or (account := client.get_run_account(run)) is None:
        return None
    logged = [Reference.pin(artifact).number for artifact in run.logged_artifacts() if artifact.type == written.type]
    return account if min(logged, default=None) == Reference.parse(version, "").number else None


def format_now() -> str:
    """Return the time in the form of entries and evidence: UTC, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Parse a time as W&B, entries and people write it (ISO 8601; UTC if there is no zone); raise ValueError
    otherwise.
    """
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def get_seal(entry: Entry) -> str:
    """Return the alias that ties a promoted version to its entry."""
    return seal(f"v{entry.number}", entry.sha256)


def seal(version: str, sha256: str) -> str:
    """Return the seal of the entry that is this version of the ledger, `v3`, and has this hash."""
    return f"promotion-{version}-{sha256[:12]}"


def is_readable(content: object) -> bool:
    """Return whether this has all fields of a promotion with their types: the ledger's project may have other
    writers.
    """
    return (
        isinstance(content, dict)
        and _is_shallow(content, _MAX_DEPTH)
        and _are_hashes(content.get("sha256"))
        and all(_is_version(content.get(key)) for key in ("to", "model", "dataset", "evidence"))
        and (content.get("from") is None or _is_version(content["from"]))
        and all(isinstance(content.get(key), str) for key in ("approver", "reason"))
        and _is_time(content.get("time"))
        and (content.get("drop") is None or _is_number(content["drop"]))
        and isinstance(content.get("metric"), str | None)
        and isinstance(content["evidence"].get("sha256"), str | None)
        and isinstance(content.get("previous"), str | None)
        and (content.get("voids") is None or _is_place(content["voids"]))
        and isinstance(content.get("account"), str | None)
        and _is_place(content.get("continues", 0))
        and _are_texts(content.get("notify", []))
    )


def _is_version(value: object) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("name", "digest")):
        return False
    return len(value["name"]) <= _MAX_NAME_CHARS and _NAME.fullmatch(value["name"]) is not None


def _are_hashes(value: object) -> bool:
    """Return whether this is the SHA-256 of the files; entries of schema 1 have none."""
    return value is None or (
        isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("model", "eval_rows"))
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _MAX_DROP


def _is_place(value: object) -> bool:
    return type(value) is int and 0 <= value <= _MAX_ENTRIES


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and bool(parse_time(value))
    except ValueError:
        return False


def _is_shallow(value: object, depth: int) -> bool:
    """Return whether JSON is not nested deeper than this: Python may not be able to write what it has read."""
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return depth > 0 and all(_is_shallow(part, depth - 1) for part in parts)


def parse_entry(version: str, file: bytes | None, metadata: Mapping[str, Any]) -> Entry:
    """
    Return the entry in a version, from its file and its metadata. file: None if it is missing or damaged.

    A version that is not a promotion has no content, follows no entry, and is void.
    """
    try:
        content: Any = json.loads(file) if file is not None else None
    except (ValueError, RecursionError):
        content = None
    parsed: dict[str, Any] = content if is_readable(content) else {"previous": "unreadable"}
    return Entry(Reference.parse(version, "the ledger").number, parsed, metadata=metadata, version=version)


def _read_entry(version: Artifact) -> Entry:
    return parse_entry(str(Reference.pin(version)), _read_file(version), dict(version.metadata))


def _read_file(version: Artifact) -> bytes | None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            return files.fetch(version, FILE, Path(folder), MAX_BYTES).path.read_bytes()
        except files.FileRefused:  # no such file, or its bytes do not match its digest
            return None
