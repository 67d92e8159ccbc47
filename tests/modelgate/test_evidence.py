"""
Evidence as a dataclass: its published schema, what is refused when it is read, and schema 1.

    pytest tests/modelgate/test_evidence.py
"""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from modelgate.promotion import evidence, evidence_schema

# Written for the glyphs by the code before schema 2: the second model, with the first in production.
STORED = Path(__file__).with_name("evidence_schema_1") / "evidence.json"
DIGEST = "d" * 32


@pytest.fixture
def old():
    return json.loads(STORED.read_text())


@pytest.fixture
def content(old):
    """Evidence of schema 2 in which nothing is null."""
    named = {"name": "team/project/glyphs_dataset:v0", "digest": DIGEST}
    git = {"commit": "c0ffee", "dirty": True, "head": "a" * 40, "base": "b" * 40, "tree": "c" * 40, "pull_request": 7}
    parsed_content = evidence.as_json(evidence.parse(json.dumps(old)))
    parsed_content["comparison"] |= {"shown": 0.0, "rows_needed": 40_000}
    parsed_content["policy"] |= {"at_most": 1.0, "tolerance": 5, "margin_relative": 0.1, "quantile": 0.9}
    parsed_content["metrics"]["candidate"]["other"] = {"balanced_accuracy": 0.9}
    return parsed_content | {
        "headline": "pass: 1.0 point lower than production, within what 497 rows can tell",
        "warnings": ["few rows"],
        "slices": [{"name": "class 3", "rows": 50, "regressed": 2, "improved": 1}],
        "confusion": [{"truth": "3", "answer": "5", "rows": 2}],
        "per_row": {"file": "predictions.npz", "candidate": "losses/candidate", "production": None},
        "return": {"entry": 0, "version": "org/registry/glyphs:v0", "since": "2026-11-23T10:00:00Z", "until": None},
        "sha256": {"model": "a" * 64, "eval_rows": "b" * 64},
        "trained_on": {"dataset": named, "rows": 1300, "near_duplicates": 0},
        "looks": 3,
        "git": git,
        "images": {"train": "sha256:1"},
        "account": "ada",
        "github": {
            "repository": "team/models",
            "run_id": 1,
            "run_attempt": 2,
            "sha": "c" * 40,
            "actor": "ada",
            "triggering_actor": "ada",
            "approvals": 1,
            "approvers": ["bob"],
        },
    }


def parsed(content):
    return evidence.parse(json.dumps(content))


def test_the_published_schema_is_made_from_the_dataclass():
    assert evidence_schema.PATH.read_text() == evidence_schema.write_schema()


def test_the_published_schema_and_the_dataclass_take_the_same(content):
    schema = json.loads(evidence_schema.PATH.read_text())
    Draft202012Validator.check_schema(schema)
    follows = Draft202012Validator(schema).is_valid
    assert follows(content) and evidence.as_json(parsed(content)) == content
    for key in content:
        assert not follows({name: value for name, value in content.items() if name != key})
        assert not follows(content | {key: [7]})


def test_evidence_is_frozen_and_comes_back_from_its_file_as_it_was(content):
    evidence_read = parsed(content)
    assert evidence.parse(evidence.to_text(evidence_read)) == evidence_read
    with pytest.raises(FrozenInstanceError):
        evidence_read.verdict = "fail"


def test_evidence_of_before_the_other_tasks_is_read(content):
    """The first form of schema 2: its rules had no method, its policy no quantile, its comparison no rows_needed."""
    for rule in content["rules"]:
        del rule["method"], rule["level"]
    del content["policy"]["quantile"], content["comparison"]["rows_needed"]
    evidence_read = parsed(content)
    assert (evidence_read.policy.quantile, evidence_read.comparison.rows_needed) == (None, None)
    assert {(rule.method, rule.level) for rule in evidence_read.rules} == {(None, None)}


def test_a_missing_field_is_named(content, old):
    for written in (content, old):
        for key in written:
            with pytest.raises(ValueError, match=key):
                parsed({name: value for name, value in written.items() if name != key})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("verdict",), "PASS"),
        (("verdict",), ["pass"]),
        (("surprise",), 1),
        (("schema",), 3),
        (("schema",), True),
        (("rules",), []),
        (("policy", "name"), "anything_goes"),
        (("policy", "margin"), "0.005"),
        (("policy", "margin"), -0.5),
        (("policy", "margin"), True),
        (("metrics", "candidate", "accuracy"), float("nan")),
        (("metrics", "candidate", "surprise"), 1),
        (("dataset", "eval_rows"), -1),
        (("dataset", "eval_rows"), 1.5),
        (("dataset", "digest"), "d" * 31),
        (("version", "name"), "org/registry/glyphs:latest"),
        (("version", "name"), "../../etc/passwd"),
        (("sha256", "model"), "a" * 32),
        (("git", "head"), "--output=x"),
        (("per_row", "file"), "/etc/passwd"),
        (("slices",), [{"name": "x", "rows": 1, "regressed": 0, "improved": 0}] * (evidence.MAX_SLICES + 1)),
        (("evaluated_at",), "yesterday"),
    ],
)
def test_a_value_that_is_not_in_its_form_is_refused_and_named(content, path, value):
    inside = content
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    with pytest.raises(ValueError, match=path[-1]):
        parsed(content)


@pytest.mark.parametrize("written", ["", "[]", "null", "{}", "[" * 100_000, '{"schema": 1, "policy": 5}', b"\xff"])
def test_a_file_that_is_not_evidence_is_refused(written):
    with pytest.raises(ValueError, match=r"evidence\.json"):
        evidence.parse(written)


# --- schema 1 --------------------------------------------------------------------------------------------------------


def test_evidence_of_schema_1_is_read_with_every_value_that_it_has(old):
    evidence_read = evidence.as_json(parsed(old))
    assert evidence_read["policy"]["at_least"] == old["policy"]["floor_accuracy"]
    assert (evidence_read["task"], evidence_read["framework"], evidence_read["metric"]) == (
        "image-classification",
        "keras",
        "accuracy",
    )
    assert evidence_read["collection"] == "local-org/wandb-registry-model/test-make-0"
    assert (evidence_read["git"]["commit"], evidence_read["git"]["dirty"]) == (old["commit"], False)
    changed = {"schema", "policy", "metrics", "comparison", "rules"}
    assert {key: evidence_read[key] for key in old.keys() - changed} == {key: old[key] for key in old.keys() - changed}
    for side in ("candidate", "production"):
        assert evidence_read["metrics"][side] == old["metrics"][side] | {"other": {}}
    assert evidence_read["comparison"] == old["comparison"] | {"shown": None, "rows_needed": None}
    assert evidence_read["rules"] == [rule | {"method": None, "level": None} for rule in old["rules"]]


def test_a_first_model_of_schema_1_is_read_too(old):
    old |= {"production": None, "comparison": None, "commit": ""}
    old["metrics"]["production"] = None
    evidence_read = parsed(old)
    assert (evidence_read.production, evidence_read.comparison, evidence_read.git) == (None, None, None)


@pytest.mark.parametrize("key", ["headline", "sha256", "surprise"])
def test_schema_1_does_not_take_what_it_never_had(old, key):
    with pytest.raises(ValueError, match=key):
        parsed(old | {key: "x"})


def test_a_commit_with_changes_is_dirty():
    assert evidence.parse_git("") is None
    assert (evidence.parse_git("c0ffee").commit, evidence.parse_git("c0ffee").dirty) == ("c0ffee", False)
    assert (evidence.parse_git("c0ffee-dirty").commit, evidence.parse_git("c0ffee-dirty").dirty) == ("c0ffee", True)
