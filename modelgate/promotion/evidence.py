"""
Define what an approval is given for, as one frozen dataclass: which model, on which rows, against what, by which rules.

`evidence.schema.json` next to this file publishes the format. It is generated from the dataclass:

    python -m modelgate.promotion.evidence_schema

Evidence can come from anyone who can log an artifact, so the type and form of every value are checked when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import from_json

from modelgate.commit import get_sha, is_dirty
from modelgate.gate import policy as limits

FILE = "evidence.json"
# A comment or a page shows the first few; the report and the tables in W&B have all of them.
MAX_SLICES = MAX_CONFUSIONS = 100
MAX_WARNINGS = 20

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, validate_by_name=True)

Pinned = Annotated[str, Field(pattern=r"^[^/:]+/[^/:]+/[A-Za-z0-9_.-]+:v[0-9]{1,9}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{7,64}$")]
Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Count = Annotated[int, Field(ge=0, lt=2**53)]


# --- the parts of evidence -------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_STRICT)
class Named:
    """A version in W&B: its pinned name, and the digest of its manifest."""

    name: Pinned
    digest: Digest


@dataclass(frozen=True, config=_STRICT)
class Outcome:
    """The outcome of one rule. A rule that did not pass refuses the model if it is blocking."""

    rule: str
    passed: bool
    blocking: bool
    reason: str
    method: Annotated[str | None, Field(description="How the rule decides; null: chance plays no part.")] = None
    level: Annotated[
        Literal["exact", "approximate"] | None,
        Field(description="Whether its error rate is exact for all rows, or approximate."),
    ] = None


@dataclass(frozen=True, config=_STRICT)
class Policy:
    """The limits for the candidate, in the metric's own unit; null: the policy has no such limit."""

    name: Literal["no_worse", "better", "non_inferior", "rollback"]
    at_least: float | None
    at_most: float | None
    tolerance: Annotated[float | None, Field(description="Regression: an answer within it counts as right.")]
    margin: Annotated[float | None, Field(ge=0, description="How far below production still counts as no worse.")]
    margin_relative: Annotated[float | None, Field(description="The same, as a fraction of production's value.")]
    quantile: Annotated[float | None, Field(description="The quantile of the pinball loss.")] = None


@dataclass(frozen=True, config=_STRICT)
class Metrics:
    """accuracy, calibration_error: fractions; loss: nats per row; latency_ms: per row; null: not finite, or none."""

    accuracy: float | None
    loss: float | None
    calibration_error: float | None
    latency_ms: float | None
    size_bytes: Count | None
    other: Annotated[dict[Word, float | None], Field(max_length=50, description="Any other metric, by its name.")]


@dataclass(frozen=True, config=_STRICT)
class Measured:
    """The metrics of each model on these rows; production is null if nothing is in production."""

    candidate: Metrics
    production: Metrics | None


@dataclass(frozen=True, config=_STRICT)
class Comparison:
    """The candidate against production, in the metric's own unit."""

    drop: Annotated[float, Field(description="Production's value minus the candidate's; below 0: a gain.")]
    shown: Annotated[
        float | None,
        Field(
            ge=0,
            description="How much of the drop or gain these rows show with 95 % confidence; 0: they show "
            "neither; null: not recorded (schema 1).",
        ),
    ]
    smallest_drop: Annotated[float, Field(description="The smallest drop that is refused four times out of five.")]
    drops_since_first: Annotated[float, Field(description="The sum of all drops by this metric, including this one.")]
    rows_needed: Annotated[
        Count | None,
        Field(
            description="How many rows like these `non_inferior` needs to pass a model as good as production four "
            "times out of five; null: no number is enough, or not recorded."
        ),
    ] = None


@dataclass(frozen=True, config=_STRICT)
class Return:
    """When this model was in production before, according to the ledger. until: null if it still is."""

    entry: Count
    version: Pinned
    since: str
    until: str | None


@dataclass(frozen=True, config=_STRICT)
class Dataset:
    """The dataset version whose eval rows were used. eval_rows_seen_in_training: their indices."""

    name: Pinned
    digest: Digest
    eval_rows: Count
    eval_rows_seen_in_training: tuple[Count, ...]


@dataclass(frozen=True, config=_STRICT)
class PerRow:
    """Where the loss of each row is: the names of arrays in a file of this evaluation's version."""

    file: Literal["predictions.npz"]
    candidate: Literal["losses/candidate"]
    production: Literal["losses/production"] | None


@dataclass(frozen=True, config=_STRICT)
class Hashes:
    """SHA-256 of the file of the model and of the file that holds the eval rows; null: not recorded (schema 1)."""

    model: Sha256 | None
    eval_rows: Sha256 | None


@dataclass(frozen=True, config=_STRICT)
class TrainedOn:
    """The dataset version that the candidate was trained on, the rows it saw, and its near-duplicates of eval rows."""

    dataset: Named
    rows: Count | None
    near_duplicates: Count | None


@dataclass(frozen=True, config=_STRICT)
class Git:
    """The commit of the code that judged. dirty: the files differed from it. The rest is known only on GitHub."""

    commit: str
    dirty: bool
    head: Commit | None
    base: Commit | None
    tree: Commit | None
    pull_request: Count | None


@dataclass(frozen=True, config=_STRICT)
class Run:
    """A W&B run: entity/project/id, and its page."""

    name: str
    url: str


@dataclass(frozen=True, config=_STRICT)
class GitHub:
    """The workflow run and its attempt, and the approvals of the environment that there were before this evaluation."""

    repository: str
    run_id: int
    run_attempt: int
    sha: str
    actor: str
    triggering_actor: str
    approvals: Count
    approvers: tuple[str, ...]


@dataclass(frozen=True, config=_STRICT)
class Slice:
    """A group of rows. regressed: only production gets them right; improved: only the candidate does."""

    name: str
    rows: Count
    regressed: Count
    improved: Count


@dataclass(frozen=True, config=_STRICT)
class Confusion:
    """How many rows of one class the candidate mistook for another."""

    truth: str
    answer: str
    rows: Count


# --- evidence --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, config=_STRICT)
class Evidence:
    """What an approval is given for: which model was judged, on which rows, against what, by which rules."""

    schema: Annotated[Literal[2], Field(description="The version of this format.")]
    use_case: Annotated[str, Field(pattern="^[A-Za-z0-9_-]+$")]
    task: Annotated[Word, Field(description="The kind of row and of answer, such as `image-classification`.")]
    framework: Annotated[Word, Field(description="The format of the model's file, such as `keras`.")]
    metric: Annotated[Word, Field(description="The metric of the policy's limits, such as `accuracy`.")]
    verdict: Literal["pass", "fail"]
    headline: Annotated[
        str, Field(description="The verdict, how much better or worse, and what these rows show, in one line.")
    ]
    warnings: Annotated[
        tuple[str, ...],
        Field(max_length=MAX_WARNINGS, description="What a person should know first, one line each."),
    ]
    rules: Annotated[tuple[Outcome, ...], Field(min_length=1, description="The outcome of each rule, in order.")]
    policy: Policy
    metrics: Measured
    comparison: Annotated[Comparison | None, Field(description="Null if there is nothing to compare with.")]
    slices: Annotated[
        tuple[Slice, ...],
        Field(max_length=MAX_SLICES, description="The groups of rows that changed, the worst first."),
    ]
    confusion: Annotated[
        tuple[Confusion, ...],
        Field(max_length=MAX_CONFUSIONS, description="The candidate's mistakes by class, the most frequent first."),
    ]
    per_row: Annotated[
        PerRow | None,
        Field(
            description="The loss of each row by `metric`, for both models; if the metric is not a mean, 1 for a "
            "mistake and 0 otherwise. It is stored as arrays in predictions.npz, next to the answers, and not in this "
            "file, because there may be a million rows. Null if rows are missing or were not recorded."
        ),
    ]
    return_: Annotated[
        Return | None,
        Field(alias="return", description="When this model was in production before; null if it never was."),
    ]
    version: Annotated[Named, Field(description="The registry version that was judged.")]
    collection: Annotated[
        str,
        Field(pattern=r"^[^/:]+/[^/:]+/[A-Za-z0-9_.-]+$", description="Its collection in the registry."),
    ]
    model: Annotated[Named, Field(description="The model version that it links to.")]
    sha256: Hashes
    trained_on: Annotated[TrainedOn | None, Field(description="Null: not recorded.")]
    dataset: Dataset
    looks: Annotated[
        Count | None,
        Field(description="How many different candidates these eval rows have judged so far; null: not recorded."),
    ]
    production: Annotated[Named | None, Field(description="The version that it was compared with.")]
    commit: Annotated[str, Field(description="The commit of the code as it was given; empty if it was not given.")]
    git: Annotated[Git | None, Field(description="The commit in its parts; null if it was not given.")]
    images: Annotated[
        dict[str, str] | None,
        Field(description="The digest of the image that each step ran in, by name; null: no image."),
    ]
    account: Annotated[str | None, Field(description="The W&B account that judged; null: not recorded (schema 1).")]
    evaluation_run: Run
    github: Annotated[GitHub | None, Field(description="Null if it was not evaluated on GitHub.")]
    evaluated_at: Time


TYPE = TypeAdapter(Evidence)


def as_json(evidence: Evidence) -> dict[str, Any]:
    """Return the evidence as plain JSON types."""
    return dict(TYPE.dump_python(evidence, mode="json", by_alias=True))


def to_text(evidence: Evidence) -> str:
    """Return the content of `evidence.json`."""
    return json.dumps(as_json(evidence), indent=2, sort_keys=True, allow_nan=False) + "\n"


def parse(content: str | bytes) -> Evidence:
    """Return the evidence in a file of schema 2 or 1; ValueError names what is missing or wrong."""
    try:
        evidence = from_json(content)
        if isinstance(evidence, dict) and evidence.get("schema") == 1 and evidence["schema"] is not True:
            evidence = _read_schema_1(evidence)
        return TYPE.validate_json(json.dumps(evidence))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in ("$", *first["loc"]))
        raise ValueError(f"{FILE} at {path}: {first['msg']}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{FILE} cannot be read: {error}") from error


def _read_schema_1(old: Mapping[str, Any]) -> dict[str, Any]:
    """
    Evidence of schema 1 in the form of schema 2, before its values are checked.

    Schema 1 was only for images, Keras and accuracy. What it did not record is null or empty.
    """
    policy = {key: value for key, value in old["policy"].items() if key != "floor_accuracy"}
    unlimited = dict.fromkeys(("at_most", "tolerance", "margin_relative"))
    changed = {
        "schema": 2,
        "policy": policy | unlimited | {"at_least": old["policy"]["floor_accuracy"]},
        "metrics": {side: values and {**values, "other": {}} for side, values in old["metrics"].items()},
        "comparison": old["comparison"] and {**old["comparison"], "shown": None},
    }
    added = {
        "task": "image-classification",
        "framework": "keras",
        "metric": "accuracy",
        "headline": old["verdict"],
        "warnings": [],
        "slices": [],
        "confusion": [],
        "per_row": None,
        "collection": old["version"]["name"].partition(":")[0],
        "sha256": {"model": None, "eval_rows": None},
        "trained_on": None,
        "looks": None,
        "git": (git := parse_git(old["commit"])) and vars(git),
        "account": None,
    }
    if unknown := added.keys() & old.keys():
        raise ValueError(f"schema 1 has no {min(unknown)!r}")
    return {**old, **changed, **added}


# --- its parts, from and for others ----------------------------------------------------------------------------------


def parse_git(commit: str, github: Mapping[str, Any] | None = None) -> Git | None:
    """
    Parse `--commit`: a commit, followed by `-dirty` if the files differed from it.

    github: head, base, tree and pull_request of a workflow run on GitHub.
    """
    if not commit:
        return None
    parts = github or {"head": None, "base": None, "tree": None, "pull_request": None}
    return Git(get_sha(commit), is_dirty(commit), **parts)


def list_slices(moved: Sequence[tuple[str, int, int, int]]) -> tuple[Slice, ...]:
    """Return the first of the slices that changed: name, rows, regressed, improved."""
    return tuple(Slice(*row) for row in moved[:MAX_SLICES])


def list_confusion(mistakes: Sequence[tuple[str, str, int]]) -> tuple[Confusion, ...]:
    """Return the most frequent mistakes: truth, answer, rows."""
    return tuple(Confusion(*mistake) for mistake in mistakes[:MAX_CONFUSIONS])


def record_policy(policy: limits.Policy) -> Policy:
    """Return a policy in the form of evidence. Its metric is a field of the evidence."""
    return Policy(**{name: value for name, value in vars(policy).items() if name != "metric"})


def restore_policy(evidence: Evidence) -> limits.Policy:
    """Return the policy that the evidence was judged by. Without a limit, nothing passes."""
    return limits.Policy(**vars(evidence.policy), metric=evidence.metric)
