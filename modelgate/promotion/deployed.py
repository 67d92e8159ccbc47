"""
Decide whether a version may answer, before its model is loaded. Only this module decides it, for predict and for the
service.

An alias can move, and files can be replaced. So a version answers only if the ledger's last entry for its collection
promoted it, if it has the seal of that entry, and if its file is, byte for byte, the one in the entry. The refusals
have the same names as the findings of `audit --verify`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

from modelgate.errors import WRONG_USE, StepError
from modelgate.promotion import ledger
from modelgate.promotion.ledger import Entry
from modelgate.text import to_line
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

UNAPPROVED = "unapproved"
ANSWER_S = 10.0  # for the answer of a service
MAX_ANSWER_BYTES = 100_000
_AUDIT = "find out what happened: python -m steps.audit --verify; to continue, promote a version through the gate"


@dataclass(frozen=True)
class Deployed:
    """
    A version that may answer, with its model's file on this disk.

    version: pinned. entry: the promotion that put it into production; None for a trial that no one approved. sha256: of
    the file.
    """

    version: str
    digest: str
    sha256: str
    model: Path
    url: str
    entry: Entry | None

    @property
    def ledger_entry(self) -> str:
        """Return the number of the entry, as v3; `unapproved` for a trial."""
        return f"v{self.entry.number}" if self.entry else UNAPPROVED

    @property
    def commit(self) -> str:
        """Return the commit that the version was evaluated at; empty if it is not known."""
        return str(self.entry.content.get("commit") or "") if self.entry else ""

    def as_json(self) -> dict[str, Any]:
        """Return what each answer, run and readiness page says about it."""
        return {
            "version": self.version,
            "digest": self.digest,
            "sha256": self.sha256,
            "ledger_entry": self.ledger_entry,
            "ledger_sha256": self.entry.sha256 if self.entry else None,
            "approved": self.entry is not None,
        }


def verify(
    api: wandb.Api,
    entries: Sequence[Entry],
    collection: str,
    file: str,
    folder: Path,
    *,
    version: Reference | None = None,
    unapproved: bool = False,
) -> Deployed:
    """
    Return the version in production, or another one that the ledger knows, after all its records agree. Its file is
    then in the folder.

    entries: the ledger. collection: `entity/project/name` in the registry. file: the name of the model's file. version:
    a version other than production. unapproved: accept it even if it was never promoted. Raise StepError with the name
    of what does not agree, before anything is loaded.
    """
    artifact, entry = (
        _find_version(api, entries, version, unapproved) if version else _find_production(api, entries, collection)
    )
    if entry is not None:
        _require_sealed(artifact, entry)
    folder.mkdir(parents=True, exist_ok=True)
    fetched = files.fetch(artifact, file, folder)
    if entry is not None:
        _require_bytes(artifact, entry, fetched.sha256)
    reference = str(Reference.pin(artifact))
    return Deployed(reference, artifact.digest, fetched.sha256, fetched.path, client.get_page(artifact), entry)


def find_collection(api: wandb.Api, registry: str, name: str) -> str:
    """
    Return a registered model of the use case's registry, `organization/registry/name`.

    The ledger does not decide this: anyone who can write to it could name their own registry.
    """
    if (home := client.find_registry(api, registry)) is None:
        raise _refuse_nothing(name)
    return f"{home}/{name}"


def find_promotion(entries: Sequence[Entry], collection: str) -> Entry | None:
    """Return the last entry that took effect in a collection: it says what should be in production there."""
    ours = (entry for entry in reversed(entries) if entry.applied)
    return next((entry for entry in ours if _parse_version(entry).collection == collection), None)


def _parse_version(entry: Entry) -> Reference:
    return Reference.parse(entry.content["to"]["name"], "the ledger")


def _find_production(api: wandb.Api, entries: Sequence[Entry], collection: str) -> tuple[Artifact, Entry]:
    holder = client.find_production(api, collection)
    now = Reference.pin(holder) if holder else None
    entry = _find_deciding(api, entries, collection, holder)
    if entry is None:
        if holder is None:
            raise _refuse_nothing(collection)
        raise StepError("moved_outside", f"{now} is {client.PRODUCTION}, but the ledger has no promotion of it", _AUDIT)
    if holder is None:
        message = f"{_parse_version(entry)} should be {client.PRODUCTION} by entry v{entry.number}, but no version is"
        raise StepError("production_gone", message, _AUDIT)
    if now != _parse_version(entry):
        message = f"{now} is {client.PRODUCTION}, but the last entry, v{entry.number}, promoted {_parse_version(entry)}"
        raise StepError("moved_outside", message, _AUDIT)
    return holder, entry


def _find_deciding(api: wandb.Api, entries: Sequence[Entry], collection: str, holder: Artifact | None) -> Entry | None:
    """
    Return the entry that put the current version into production, or else the last one that says what should be there,
    or None.

    The seal moves with the alias. An entry without a seal that no admin wrote may have been planted, and does not
    count. One with a seal counts if no admin's entry says the same.
    """
    promoters = ledger.find_promoters(api, collection)
    sealed: Entry | None = None
    for entry in reversed(entries):
        if entry.void or _parse_version(entry).collection != collection:
            continue
        if holder and Reference.pin(holder) == _parse_version(entry) and ledger.get_seal(entry) in holder.aliases:
            if promoters.has_written(entry):
                return entry
            sealed = sealed or entry
        elif entry.applied and promoters.has_written(entry):
            return sealed or entry
    return sealed


def _find_version(
    api: wandb.Api, entries: Sequence[Entry], version: Reference, unapproved: bool
) -> tuple[Artifact, Entry | None]:
    artifact = client.get(api, version, "--version")
    promotions = [entry for entry in reversed(entries) if entry.applied and _parse_version(entry) == version]
    promoters = ledger.find_promoters(api, version.collection)
    entry = next((entry for entry in promotions if promoters.has_written(entry)), None)
    if entry is None and not unapproved:
        raise StepError(
            "version_not_promoted",
            f"the ledger has no promotion of {version} by an account that may promote",
            "promote it, or add --unapproved for a trial; then its answers say so",
        )
    return artifact, entry


def _require_sealed(artifact: Artifact, entry: Entry) -> None:
    """Check that the version has the seal of the entry, and that entry and version are what was promoted."""
    if ledger.get_seal(entry) not in artifact.aliases:
        message = f"{Reference.pin(artifact)} has no seal of entry v{entry.number}, which says that it was promoted"
        raise StepError("entry_not_sealed", message, _AUDIT)
    if entry.metadata.get("entry") != entry.content:
        message = f"entry v{entry.number} and its version's metadata differ"
        raise StepError("entry_changed", message, _AUDIT)
    if artifact.digest != entry.content["to"]["digest"]:
        message = f"{Reference.pin(artifact)} is {artifact.digest}, but {entry.content['to']['digest']} was promoted"
        raise StepError("version_changed", message, _AUDIT)


def _require_bytes(artifact: Artifact, entry: Entry, sha256: str) -> None:
    """Check that the file is the one that was promoted. Entries of schema 1 did not record it."""
    judged = (entry.content.get("sha256") or {}).get("model")
    if judged not in (None, sha256):
        message = f"the file of {Reference.pin(artifact)} is {sha256}, but entry v{entry.number} promoted {judged}"
        raise StepError("model_bytes_changed", message, _AUDIT)


def _refuse_nothing(collection: str) -> StepError:
    message = f"nothing is in production for {collection}"
    return StepError(
        "nothing_in_production", message, "approve the version that waits (make approve), or train one (make run)"
    )


# --- what a service reports ------------------------------------------------------------------------------


def ask(url: str) -> Mapping[str, Any] | None:
    """Return what the service at an address reports about itself; None if it does not answer like a service of ours."""
    if not url.startswith(("http://", "https://")):
        raise StepError("url_unreadable", f"{url!r} is not a URL", "use http://host:port", WRONG_USE)
    try:
        try:
            answer = urlopen(f"{url.rstrip('/')}/v2/health/ready", timeout=ANSWER_S)  # noqa: S310
        except HTTPError as error:  # 503: it runs, but has no version
            answer = error
        with answer:
            state = json.loads(answer.read(MAX_ANSWER_BYTES))
    except (OSError, HTTPException, ValueError, RecursionError):
        return None
    return state if isinstance(state, dict) else None


def list_differences(
    state: Mapping[str, Any] | None,
    use_case: str,
    entries: Sequence[Entry],
    collection: str,
    now: datetime,
    stale_s: float,
) -> list[tuple[str, str]]:
    """
    Compare a service's report with the ledger. Return the name and the message of everything that does not agree.

    state: the body of its readiness; None if it did not answer. stale_s: how long after a promotion it may still run
    the previous version, in seconds.
    """
    if state is None:
        return [("service_unreachable", "it does not answer")]
    if state.get("use_case") != use_case:
        return [("service_of_another_use_case", f"it serves {to_line(state.get('use_case'))}, not {use_case}")]
    if state.get("ready") is not True:
        problem = state.get("problem")
        reason = problem.get("message") if isinstance(problem, dict) else "it gives no reason"
        return [("service_not_ready", f"no version answers: {to_line(reason)}")]
    by = next((entry for entry in entries if entry.applied and entry.sha256 == state.get("ledger_sha256")), None)
    if by is None or state.get("approved") is not True:
        return [("service_unverified", f"it names no promotion in the ledger for {to_line(state.get('version'))}")]
    promoted_by = by.content["to"]
    if state.get("version") != promoted_by["name"]:
        message = f"it runs {to_line(state.get('version'))}, but entry v{by.number} promoted {promoted_by['name']}"
        return [("service_of_other_version", message)]
    return [*_compare_file(state, by), *_find_delay(by, find_promotion(entries, collection), now, stale_s)]


def _compare_file(state: Mapping[str, Any], by: Entry) -> Iterator[tuple[str, str]]:
    """Return what is wrong if the service runs another file than this entry promoted."""
    promoted_by = by.content["to"]
    sha256 = (by.content.get("sha256") or {}).get("model")
    if state.get("digest") != promoted_by["digest"] or sha256 not in (None, state.get("sha256")):
        message = f"its file of {promoted_by['name']} is {to_line(state.get('sha256'))}, but {sha256} was promoted"
        yield "service_of_other_digest", message


def _find_delay(by: Entry, last: Entry | None, now: datetime, stale_s: float) -> Iterator[tuple[str, str]]:
    """Return what is wrong if the service still runs what this entry promoted, although another promotion followed."""
    if last is not None and last.number != by.number:
        late = (now - ledger.parse_time(last.content["time"])).total_seconds()
        if late > stale_s:
            runs = by.content["to"]["name"]
            yield "service_stale", f"it runs {runs}, but entry v{last.number} promoted another version {late:.0f} s ago"
