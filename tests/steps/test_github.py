"""
The answers of the fake in github.py are checked against GitHub's own description of its API.

    TEST_GITHUB_OPENAPI=$(.ci/github-description.sh) pytest tests/steps/test_github.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from modelgate.promotion import approval
from tests.steps.github import (
    approved,
    commit,
    deployment,
    deployment_status,
    file,
    git_commit,
    may_write,
    pull,
    review,
    workflow_run,
)


def differs(value, schema, whole, path="answer"):
    """Return where a value does not match an OpenAPI 3.0 schema; only the keywords that GitHub's schemas use here."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return differs(value, whole["components"]["schemas"][name], whole, path)
    if "oneOf" in schema and value is not None:
        return min((differs(value, option, whole, path) for option in schema["oneOf"]), key=len)
    if value is None and (schema.get("nullable") or "type" not in schema):
        return []
    kinds = {"array": list, "object": dict, "string": str, "integer": int, "boolean": bool}
    if (kind := schema.get("type")) and not isinstance(value, kinds[kind]):
        return [f"{path} is no {kind}"]
    if value not in schema.get("enum", [value]):
        return [f"{path} is none of {schema['enum']}"]
    if isinstance(value, list):
        return [text for item in value for text in differs(item, schema["items"], whole, f"{path}[]")]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        fields = [
            (key, differs(item, known[key], whole, f"{path}.{key}")) for key, item in value.items() if key in known
        ]
        unknown = [f"{path}.{key} is not described" for key in value if key not in known]
        return unknown + [text for _, texts in fields for text in texts]
    return []


@pytest.mark.parametrize(
    ("path", "answer", "whole_shape"),
    [
        ("/repos/{owner}/{repo}/actions/runs/{run_id}/approvals", [approved("bob")], True),
        ("/repos/{owner}/{repo}/commits/{commit_sha}/pulls", [pull()], False),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/reviews", [review("bob")], True),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/commits", [commit()], True),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/commits", [commit(None, None)], True),
        ("/repos/{owner}/{repo}/pulls/{pull_number}/files", [file()], True),
        ("/repos/{owner}/{repo}/pulls/{pull_number}", pull(), False),
        ("/repos/{owner}/{repo}/actions/runs/{run_id}", workflow_run(), False),
        (
            "/repos/{owner}/{repo}/actions/workflows/{workflow_id}/runs",
            {"total_count": 1, "workflow_runs": [workflow_run()]},
            False,
        ),
        ("/repos/{owner}/{repo}/git/commits/{commit_sha}", git_commit("b" * 40), False),
        ("/repos/{owner}/{repo}/deployments", [deployment(8)], True),
        ("/repos/{owner}/{repo}/deployments/{deployment_id}/statuses", [deployment_status(4711)], True),
        ("/repos/{owner}/{repo}/collaborators/{username}/permission", next(iter(may_write("bob").values())), False),
    ],
)
def test_the_answers_of_these_tests_are_githubs(whole, path, answer, whole_shape):
    """whole_shape: every field that GitHub always sends is there; other answers leave out fields that no one reads."""
    schema = whole["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert differs(answer, schema, whole) == []
    item = answer[0] if isinstance(answer, list) else answer
    spoiled = {key: [] if isinstance(value, str | int) else 5 for key, value in item.items()}
    assert differs([spoiled] if isinstance(answer, list) else spoiled, schema, whole)
    if whole_shape:
        described = whole["components"]["schemas"][schema["items"]["$ref"].rsplit("/", 1)[1]]
        assert set(described["required"]) <= set(item)


def test_the_fields_that_are_read_are_in_the_fakes_answers():
    """The fields that the approval reads are those that were checked against the description."""
    modules = sorted(Path(approval.__file__).parent.glob("*.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in modules)
    read = set(re.findall(r'\brequire_field\([^"]*"(\w+)"', source))
    of_pulls = [pull(), review("a"), may_write("a"), commit(), file()]
    answers = json.dumps([approved("a"), {"workflow_runs": [workflow_run()]}, git_commit("b" * 40), *of_pulls])
    assert read
    assert all(f'"{name}"' in answers for name in read)
