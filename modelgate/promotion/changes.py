"""
Describe for the reviewer what a candidate was made from and production was not, by whom, and what is unusual about it.

This comes from W&B and from the evidence of production. Anyone who can log a run can write anything there, so each line
is for a person to follow up, and none of them refuses a model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, Named
from modelgate.promotion.ledger import Entry
from modelgate.text import to_line
from modelgate.tracking import client, files, lineage
from modelgate.tracking.lineage import Origin
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

_NOT_CONFIG = ("dataset", "inputs", "use_case")
_MAX_CHARS = 60
_MAX_VALUE = 30  # of a config; for the rest, a reviewer opens the runs
_MAX_IMAGES = 10


@dataclass(frozen=True)
class Provenance:
    """
    What a model was made from, and what it was judged on.

    trained: the datasets that it learned from, by name and digest. origin: None if W&B does not know it. commit,
    images, judged_on, account: from its evaluation; None if that cannot be read.
    """

    trained: tuple[str, ...] = ()
    origin: Origin | None = None
    commit: str | None = None
    images: Mapping[str, str] | None = None
    judged_on: Named | None = None
    account: str | None = None


def list_changes(candidate: Provenance, production: Provenance | None, known: Collection[str]) -> tuple[str, ...]:
    """
    Return what a reviewer should know first, one line each. production: None if nothing is in production.

    known: the config keys that train sets. Anyone who can write to the project can add thousands of others, so those
    are only counted.
    """
    return (
        _describe_code(candidate, production),
        *_list_config(candidate, production, known),
        *_list_unusual(candidate, production),
    )


def _describe_code(candidate: Provenance, production: Provenance | None) -> str:
    origin = candidate.origin
    by = f"Trained by {_quote(origin.account)}: {origin.url}" if origin else "No one knows who trained it."
    if production is None:
        return f"First version: nothing is in production yet. {by}"
    differs = list(_list_differences(candidate, production))
    if not differs:
        return f"Made from the same inputs as production. {by}"
    return f"Differs from production in {'; '.join(differs)}. {by}"


def _list_differences(candidate: Provenance, production: Provenance) -> Iterator[str]:
    if candidate.commit != production.commit and candidate.commit and production.commit:
        yield f"code ({production.commit[:12]} to {candidate.commit[:12]})"
    if _find_changed(candidate, production):
        yield "config"
    if candidate.trained != production.trained:
        yield f"training rows ({_join(production.trained)} to {_join(candidate.trained)})"
    if candidate.judged_on != production.judged_on and production.judged_on:
        yield "eval rows"
    theirs, ours = production.images or {}, candidate.images or {}
    if images := sorted(name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]):
        yield f"images and their locks ({', '.join(_quote(name) for name in images[:_MAX_IMAGES])})"


def _find_changed(candidate: Provenance, production: Provenance) -> list[str]:
    """Return the keys that differ between the configs of both trainings."""
    if candidate.origin is None or production.origin is None:
        return []
    ours, theirs = candidate.origin.config, production.origin.config
    names = ours.keys() | theirs.keys()
    return sorted(name for name in names if name not in _NOT_CONFIG and ours.get(name) != theirs.get(name))


def _list_config(candidate: Provenance, production: Provenance | None, known: Collection[str]) -> Iterator[str]:
    if production is None or not candidate.origin or not production.origin:
        return
    changed = _find_changed(candidate, production)
    ours, theirs = candidate.origin.config, production.origin.config
    parts = [
        f"{_quote(name)} {_format_value(theirs, name)} to {_format_value(ours, name)}"
        for name in changed
        if name in known
    ]
    others = len(changed) - len(parts)
    if parts:
        yield f"Config, {len(parts)} changed: {', '.join(parts)}."
    if others:
        yield f"Config: {others:,} key{'s' * (others > 1)} that train does not set differ{'s' * (others == 1)}."


def _format_value(config: Mapping[str, Any], name: str) -> str:
    return _quote(config[name], _MAX_VALUE) if name in config else "nothing"


def _quote(text: object, limit: int = _MAX_CHARS) -> str:
    """Return a part of a line that came from outside. The reader of the line takes the text after `: http` as its
    address.
    """
    return to_line(text, limit).replace(": ", ":")


def _name_rows(dataset: Named) -> str:
    """Format it with the start of its digest: the name of a deleted dataset can be reused."""
    return f"{dataset.name} {dataset.digest[:8]}"


def _join(names: Sequence[str]) -> str:
    return to_line(", ".join(names) or "unknown", 200)


def _list_unusual(candidate: Provenance, production: Provenance | None) -> Iterator[str]:
    if candidate.origin is None:
        yield "Lineage incomplete: W&B does not know which run logged the candidate."
    elif not candidate.trained:
        yield "Lineage incomplete: the rows that the candidate was trained on are gone."
    if production is None:
        return
    if production.origin is None:
        yield "Lineage incomplete: W&B does not know which run logged the model in production."
    if production.judged_on is None:
        yield "Lineage incomplete: the evidence of the model in production cannot be read."
    elif candidate.judged_on and candidate.judged_on != production.judged_on:
        yield (
            f"Eval rows changed: production was judged on {_name_rows(production.judged_on)}, and this candidate on "
            f"{_name_rows(candidate.judged_on)}."
        )
    if production.account and candidate.account != production.account:
        yield f"Evaluated by {_quote(candidate.account or 'no one')}, and production by {_quote(production.account)}."


# --- from W&B --------------------------------------------------------------------------------------------------------


def describe_making(origin: Origin, judged: Mapping[str, Any], judged_on: Named, account: str) -> Provenance:
    """Return what a candidate was made from. judged: `commit` and `images` of its evaluation."""
    return Provenance(_list_trained_on(origin), origin, judged["commit"], judged["images"], judged_on, account)


def find_production(api: wandb.Api, production: Artifact | None, promotions: Sequence[Entry]) -> Provenance | None:
    """Return what production was made from, by its run and by the evidence that the ledger names."""
    if production is None:
        return None
    origin = lineage.find_origin(production)
    name = str(Reference.pin(production))
    entry = next((entry for entry in reversed(promotions) if entry.content["to"]["name"] == name), None)
    evidence = _read_evidence(api, entry) if entry else None
    if evidence is None:
        return Provenance(_list_trained_on(origin), origin)
    judged_on = Named(evidence.dataset.name, evidence.dataset.digest)
    return Provenance(_list_trained_on(origin), origin, evidence.commit, evidence.images, judged_on, evidence.account)


def _list_trained_on(origin: Origin | None) -> tuple[str, ...]:
    used = origin.datasets if origin else ()
    return tuple(sorted(_name_rows(Named(str(Reference.pin(dataset)), dataset.digest)) for dataset in used))


def _read_evidence(api: wandb.Api, entry: Entry) -> Evidence | None:
    """Return the evidence of an entry; None if it is gone or was replaced."""
    reference = entry.content["evidence"]
    source = client.find(api, reference["name"])
    if source is None or source.digest != reference["digest"]:
        return None
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetched = files.fetch(source, form.FILE, Path(folder), evaluation.MAX_BYTES[form.FILE])
            known = fetched.sha256 == reference.get("sha256", fetched.sha256)
            return form.parse(fetched.path.read_bytes()) if known else None
        except (files.FileRefused, ValueError):
            return None
