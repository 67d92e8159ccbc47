"""
The one comment of a pull request: the real script against a GitHub of the test's own, and a report that the steps' own
code wrote.

    pytest tests/workflows/test_comment.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from modelgate.gate import metrics, report, rules
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores
from tests.workflows.files import ACTIONS
from tests.workflows.github import GitHub, comment

SCRIPT = ACTIONS / "comment" / "comment.py"
SHA = "a" * 40
TOKEN = "ghs_TheTokenThatNobodyMayRead"
RESULT = {
    "verdict": "pass",
    "accuracy": 0.9859,
    "production_accuracy": 0.98,
    "loss": 0.0834,
    "production_loss": 0.09,
    "evidence": "vision/model-registry-dev/glyphs_evaluation:v3",
    "version": "acme/wandb-registry-model/glyphs-dev:v2",
    "url": "https://wandb.ai/orgs/acme/registry/model?selectionPath=acme%2Fx&version=v2",
    "run_url": "https://wandb.ai/vision/model-registry-dev/runs/abc",
}


@pytest.fixture
def github():
    fake = GitHub("team/models")
    yield fake
    fake.close()


@pytest.fixture
def say(github, tmp_path):
    """Comment; the body of the comment that there is afterwards."""

    def say(result=RESULT, text="", jobs=None, **inputs):
        folder = tmp_path / "report"
        folder.mkdir(exist_ok=True)
        for name, content in (("result.json", result), ("report.md", text)):
            (folder / name).unlink(missing_ok=True)
            if content:
                (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        environ = {
            "PATH": os.environ["PATH"],
            "GITHUB_API_URL": github.url,
            "GITHUB_REPOSITORY": "team/models",
            "GITHUB_TOKEN": TOKEN,
            "FOLDER": str(folder),
            "PULL_REQUEST": "7",
            "HEAD": "",
            "SHA": SHA,
            "THEN": "The job promote waits.",
            "JOBS": json.dumps(jobs or {}),
            "RUN_URL": "https://github.com/team/models/actions/runs/1",
            "FROM_STRANGER": "false",
            **inputs,
        }
        done = subprocess.run([sys.executable, SCRIPT], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        ours = [one["body"] for one in github.comments if one["body"].startswith("<!-- modelgate -->")]
        return ours[-1] if ours else None

    return say


@pytest.fixture(scope="module")
def real_report():
    """The report that the steps' own code writes of 500 rows in ten classes, with production beside."""
    dice = np.random.default_rng(5)
    labels = np.arange(500) % 10

    def answers(right):
        chosen = np.where(dice.random(500) < right, labels, (labels + 1 + dice.integers(0, 3, 500)) % 10)
        scores = np.full((500, 10), 0.01)
        scores[np.arange(500), chosen] = 0.91
        return scores

    scores = Scores(labels, answers(0.97), answers(0.96), 500, ())
    outcomes = rules.judge(scores, Policy("no_worse", 0.9, 0.005))
    named = {"name": "vision/model-registry-dev/glyphs_dataset:v1", "digest": "d" * 32}
    evidence = {
        "verdict": "pass" if rules.passes(outcomes) else "fail",
        "policy": {"name": "no_worse"},
        "metrics": {
            who: {"accuracy": 0.97, "loss": 0.1, "calibration_error": 0.01, "latency_ms": 1.0, "size_bytes": 10}
            for who in ("candidate", "production")
        },
        "comparison": None,
        "return": None,
        "version": {"name": RESULT["version"], "digest": "e" * 32},
        "production": {"name": "acme/wandb-registry-model/glyphs-dev:v1", "digest": "f" * 32},
        "dataset": named | {"eval_rows": 500},
        "commit": SHA,
        "evaluation_run": {"name": "x", "url": RESULT["run_url"]},
    }
    return report.report(evidence, outcomes, scores), scores


def test_the_verdict_comes_first_and_the_pictures_are_of_the_report(say, real_report):
    text, scores = real_report
    body = say(text=text)
    lines = body.splitlines()
    assert lines[2] == "✅ **pass**, accuracy 0.9859 against 0.9800 in production (+0.0059)"
    assert "The job promote waits." in body
    for link in (
        "workflow run](https://github.com/",
        "version](https://wandb.ai/orgs",
        "evaluation](https://wandb.ai/v",
    ):
        assert f"[{link}" in body
    assert "[dataset](https://wandb.ai/vision/model-registry-dev/artifacts/dataset/glyphs_dataset/v1)" in body
    assert body.count("```mermaid") == 3
    assert "| accuracy | 0.9859 | 0.9800 | +0.0059 |" in lines and "| loss | 0.0834 | 0.0900 | -0.0066 |" in lines
    boxes = {box[1]: box[2].split("<br/>") for box in re.finditer(r'\["<b>([a-z ]+)</b><br/>([a-z_<br/>]+)"\]', body)}
    ends = re.findall(r"^\| `([a-z_]+)` \| \**([a-z ]+?)\** \|", text, re.MULTILINE)
    assert len(ends) >= 8
    assert boxes == {how: [name for name, end in ends if end == how] for how in {end for _, end in ends}}
    drawn = re.findall(r"^is (\d),taken for (\d),(\d+)$", body, re.MULTILINE)
    counts = metrics.confusion(scores.labels, scores.candidate)
    assert [int(count) for _, _, count in drawn] == sorted((counts - np.diag(counts.diagonal())).ravel())[:-9:-1]
    assert all(counts[int(truth)][int(answer)] == int(count) for truth, answer, count in drawn)
    assert 'e["evidence<br/>glyphs_evaluation:v3"]' in body
    assert text.strip() in body


def test_there_is_one_comment_and_it_is_updated_in_place(say, github):
    github.comments += [comment(0, "<!-- modelgate --> of somebody else", "mallory"), comment(1, "hello")]
    github.comments += [comment(n, "talk", "bob") for n in range(2, 150)]
    first = say()
    say(RESULT | {"accuracy": 0.5})
    assert github.changes() == ["POST", "PATCH"]
    assert say(RESULT | {"accuracy": 0.5}) != first
    assert github.changes() == ["POST", "PATCH"]  # the same again changes nothing
    assert len(github.comments) == 151
    assert github.comments[0]["body"] == "<!-- modelgate --> of somebody else"


@pytest.mark.parametrize(
    ("result", "jobs", "words"),
    [
        (None, {"images": {"result": "success"}, "train": {"result": "failure"}}, "`train` did not end well"),
        (None, {}, "nothing was evaluated"),
        ("{", {}, "nothing was evaluated"),
        ("[]", {}, "nothing was evaluated"),
        ({"error": {"name": "x"}}, {"evaluate": {"result": "failure"}}, "`evaluate` did not end well"),
        (RESULT | {"verdict": "fail", "production_accuracy": None}, {}, "**fail**, accuracy 0.9859; nothing is in"),
        ({"verdict": "unchanged"}, {}, "**unchanged**: this is the model that production already is"),
    ],
)
def test_every_end_has_its_words(say, result, jobs, words):
    body = say(result, jobs=jobs)
    assert words in body.splitlines()[2]
    assert ("The job promote waits." in body) == ("pass" in str(result))


def test_a_refusal_is_named_beside_the_verdict(say):
    rules = "| rule |  | why |\n|---|---|---|\n| `floor_accuracy` | passed | x |\n| `no_worse` | **refused** | y |\n"
    lines = say(RESULT | {"verdict": "fail"}, f"## Rules\n\n{rules}").splitlines()
    assert lines[4] == "Refused by `no_worse`."
    assert '  r1["<b>refused</b><br/>no_worse"]:::c1' in lines


HOSTILE = (
    "@everyone <img src=x onerror=alert(1)> [click](javascript:alert(1)) ![](https://x.example/p) "
    "``` ~~~~ #1 </details>"
)


def test_a_stranger_s_text_is_quoted_and_none_of_it_is_in_a_picture_or_a_link(say):
    confusion = f"| | 0 | 1 |\n|---|---|---|\n| **0** | 1 | {HOSTILE} |"
    text = (
        f"# {HOSTILE}\n\n## Rules\n\n| rule | | why |\n| --- | --- | --- |\n| `{HOSTILE}` | passed | x |\n"
        f'| `floor` | {HOSTILE} | x |\n| a"]:::pass | passed | x |\n\n## What was judged\n\n| | name |\n| --- | --- |\n'
        f'| dataset | `a/b/c"]-->x:v1` |\n\n## Confusion of the candidate\n\n{confusion}'
        f"\n\n~~~~~\n{HOSTILE}\n"
    )
    result = dict.fromkeys(RESULT, HOSTILE) | {"verdict": "pass", "accuracy": 1e999, "url": "javascript:alert(1)"}
    body = say(json.dumps(result), text, FROM_STRANGER="true")
    before, _, quoted = body.partition("\n\n<details><summary>The whole report</summary>\n\n~~~~~~text\n")
    assert quoted.endswith("\n~~~~~~\n\n</details>\n")
    assert "~~~~~~" not in quoted.removesuffix("\n~~~~~~\n\n</details>\n")
    for part in ("everyone", "<img", "javascript", "mermaid", "x.example"):
        assert part not in before
    assert HOSTILE in quoted


JUDGED = """## What was judged

| | name |
| --- | --- |
| version | `acme/wandb-registry-model/glyphs-dev:v2` |
| dataset | `vision/model-registry-dev/glyphs_dataset:v1` |
"""


def test_a_verdict_of_a_stranger_s_own_is_in_no_picture(say):
    """Every other name is in its form, so that the lineage would be drawn."""
    body = say(RESULT, JUDGED, FROM_STRANGER="true")
    assert '"pass"' in body and "wandb.ai" not in body  # whose pages a stranger names may be anybody's
    hostile = f'x"}}\n```\n{HOSTILE}'
    for verdict in (hostile, [hostile], "PASS", None):
        before, _, _ = say(RESULT | {"verdict": verdict}, JUDGED, FROM_STRANGER="true").partition("<details>")
        assert "**no verdict**" in before
        assert "```" not in before and "everyone" not in before


@pytest.mark.parametrize("number", ["²", "٣", "1" * 5000, "-1", "1e3"])
def test_what_is_no_count_is_in_no_picture(say, number):
    slices = f"## Slices\n\n| slice | rows | regressed | improved |\n|---|---|---|---|\n| thin | 9 | {number} | 1 |\n"
    confusion = f"## Confusion\n\n| | 0 | 1 |\n|---|---|---|\n| 0 | 1 | {number} |\n| {number} | 5 | 5 |\n"
    before, _, _ = say(RESULT, slices + confusion, FROM_STRANGER="true").partition("<details>")
    assert "Slices that moved" not in before and "sankey" not in before


def test_a_file_of_any_size_is_read_to_its_limit_and_a_link_is_not_followed(say, github, tmp_path):
    folder = tmp_path / "hostile"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("only for the runner\n")
    with (folder / "result.json").open("wb") as file:
        file.write(json.dumps(RESULT).encode())
        file.truncate(1 << 34)  # 16 GB of nothing
    (folder / "report.md").symlink_to(secret)
    body = say(FOLDER=str(folder), FROM_STRANGER="true")
    assert "**no verdict**" in body and "only for the runner" not in body


def test_a_long_report_is_cut_within_what_github_takes(say):
    body = say(text="# v1: pass\n" + "a line of the report\n" * 9000)
    assert len(body) <= 65_536
    assert "cut off here" in body and body.endswith("</details>\n")


def test_a_fork_s_pull_request_is_found_by_its_branch_and_commit(say, github):
    github.pulls = [
        {"number": 5, "head": {"label": "eve:better", "sha": "b" * 40}},
        {"number": 7, "head": {"label": "eve:better", "sha": SHA}},
    ]
    assert say(PULL_REQUEST="", HEAD="eve:better")
    github.comments.clear()
    assert say(PULL_REQUEST="", HEAD="eve:other") is None
    assert say(PULL_REQUEST="", HEAD="eve:better", SHA="c" * 40) is None
