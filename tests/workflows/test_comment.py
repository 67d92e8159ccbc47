"""
The one comment of a pull request: the real script against a GitHub of the test's own, and files that the steps' own
code wrote.

    pytest tests/workflows/test_comment.py
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from modelgate import predictions
from modelgate.gate import metrics, report, rules
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.predictions import Predictions
from modelgate.promotion import evidence as form
from modelgate.promotion.evidence import Evidence, Metrics, Named
from tests.workflows.files import ACTIONS
from tests.workflows.github import comment, of_action

SCRIPT = ACTIONS / "report" / "report.py"
SHA = "a" * 40
POLICY = Policy("no_worse", 0.9, 0.005)
TOKEN = "ghs_TheTokenThatNobodyMayRead"
RESULT = {
    "verdict": "pass",
    "headline": "pass: 1.0 point lower than production, within what 1,000 rows can tell",
    "evidence": "vision/model-registry-dev/glyphs_evaluation:v3",
    "version": "acme/wandb-registry-model/glyphs-dev:v2",
    "url": "https://wandb.ai/orgs/acme/registry/model?selectionPath=acme%2Fx&version=v2",
    "run_url": "https://wandb.ai/vision/model-registry-dev/runs/abc",
}


@pytest.fixture
def say(github, tmp_path):
    """Comment, and return the body of the comment."""

    def say(result=RESULT, evidence=None, text="", jobs=None, **inputs):
        folder = tmp_path / "reports/report-glyphs"
        folder.mkdir(exist_ok=True, parents=True)
        for name, content in (("result.json", result), ("evidence.json", evidence), ("report.md", text)):
            (folder / name).unlink(missing_ok=True)
            if content:
                (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        environ = {
            **of_action(github),
            "GITHUB_TOKEN": TOKEN,
            "FOLDER": str(folder.parent),
            "USE_CASE": "",
            "UNTOUCHED": "",
            "CHECK": "false",
            "ENDED": "",
            "PULL_REQUEST": "7",
            "HEAD": "",
            "SHA": SHA,
            "THEN": "The job promote waits.",
            "JOBS": json.dumps(jobs or {}),
            "RUN_URL": "https://github.com/team/models/actions/runs/1",
            "FROM_STRANGER": "false" if inputs.get("PULL_REQUEST", "7") else "true",
            **inputs,
        }
        done = subprocess.run([sys.executable, SCRIPT], env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
        ours = [
            comment["body"] for comment in github.comments if comment["body"].startswith("<!-- modelgate glyphs -->\n")
        ]
        return ours[-1] if ours else None

    return say


@pytest.fixture(scope="module")
def judged():
    """The steps' evidence and scores of 500 rows in ten classes, with a version in production."""
    dice = np.random.default_rng(5)
    labels = np.arange(500) % 10

    def answers(right):
        chosen = np.where(dice.random(500) < right, labels, (labels + 1 + dice.integers(0, 3, 500)) % 10)
        scores = np.full((500, 10), 0.01)
        scores[np.arange(500), chosen] = 0.91
        return scores

    scores, policy = Scores(labels, answers(0.97), answers(0.96), 500, ()), POLICY

    def measured(answers):
        return Metrics(**predictions.measure(scores, policy, Predictions(answers, {}, 1.0, 10), None))

    outcomes = rules.judge(scores, policy)
    compared = predictions.describe_comparison(scores, policy, 0.0)
    mistakes = metrics.count_mistakes(labels, scores.candidate)
    named = Named("vision/model-registry-dev/glyphs_dataset:v1", "d" * 32)
    evidence = Evidence(
        schema=2,
        use_case="glyphs",
        task="image-classification",
        framework="keras",
        metric="accuracy",
        verdict="pass",
        headline=report.write_headline(
            outcomes, compared, metrics.compute_accuracy(labels, scores.candidate), 500, policy
        ),
        warnings=(),
        rules=tuple(form.Outcome(**vars(outcome)) for outcome in outcomes),
        policy=form.record_policy(policy),
        metrics=form.Measured(measured(scores.candidate), measured(scores.production)),
        comparison=form.Comparison(**compared),
        slices=form.list_slices(report.list_moved_slices(scores, policy)),
        confusion=form.list_confusion([(str(truth), str(answer), rows) for truth, answer, rows in mistakes]),
        per_row=None,
        return_=None,
        version=Named(RESULT["version"], "e" * 32),
        collection=RESULT["version"].partition(":")[0],
        model=Named("vision/model-registry-dev/glyphs_model:v1", "e" * 32),
        sha256=form.Hashes("a" * 64, None),
        trained_on=None,
        dataset=form.Dataset(named.name, named.digest, 500, ()),
        looks=None,
        production=Named("acme/wandb-registry-model/glyphs-dev:v1", "f" * 32),
        commit=SHA,
        git=form.parse_git(SHA),
        images=None,
        account="ada",
        evaluation_run=form.Run("vision/model-registry-dev/abc", RESULT["run_url"]),
        github=None,
        evaluated_at="2026-11-23T10:00:00Z",
    )
    return evidence, outcomes, scores


def test_the_headline_comes_first_and_everything_is_drawn_from_the_evidence(say, judged):
    evidence, outcomes, scores = judged
    text = report.report(form.as_json(evidence), outcomes, scores, POLICY)
    body = say(RESULT | {"headline": evidence.headline}, form.to_text(evidence), text)
    lines = body.splitlines()
    rest = evidence.headline.removeprefix("pass: ")
    assert lines[2] == f"`glyphs` ✅ **pass**: {rest}" and "than production" in rest
    assert "The job promote waits." in body
    for link in (
        "workflow run](https://github.com/",
        "version](https://wandb.ai/orgs",
        "evaluation](https://wandb.ai/v",
    ):
        assert f"[{link}" in body
    assert "[dataset](https://wandb.ai/vision/model-registry-dev/artifacts/dataset/glyphs_dataset/v1)" in body
    assert body.count("```mermaid") == 3
    for name in ("accuracy", "loss"):
        ours, theirs = (getattr(model, name) for model in (evidence.metrics.candidate, evidence.metrics.production))
        assert f"| {name} | {ours:.4f} ({ours - theirs:+.4f}) | {theirs:.4f} |" in lines
    boxes = {box[1]: box[2].split("<br/>") for box in re.finditer(r'\["<b>([a-z ]+)</b><br/>([a-z_<br/>]+)"\]', body)}
    assert len(outcomes) >= 8
    assert boxes == {"passed": [outcome.rule for outcome in outcomes]}
    name, rows, regressed, improved = report.list_moved_slices(scores, POLICY)[0]
    assert f"| `{name}` | {regressed} of {rows} | {improved} of {rows} |" in lines
    drawn = re.findall(r"^is (\d),taken for (\d),(\d+)$", body, re.MULTILINE)
    counts = metrics.count_confusion(scores.targets, scores.candidate)
    assert [int(count) for _, _, count in drawn] == sorted((counts - np.diag(counts.diagonal())).ravel())[:-9:-1]
    assert all(counts[int(truth)][int(answer)] == int(count) for truth, answer, count in drawn)
    assert 'e["evidence<br/>glyphs_evaluation:v3"]' in body
    assert text.strip() in body


def test_the_metrics_of_a_regression_are_compared_and_names_that_are_none_are_left_out(say, judged):
    content = form.as_json(judged[0])
    for side, error in (("candidate", 2.5), ("production", 3.0)):
        other = {"mean_absolute_error": error, "f1": 0.5, "](http://evil.example)": 1.0, "x" * 100: 1.0}
        content["metrics"][side] |= {"accuracy": None, "loss": None, "other": other}
    body = say(evidence=content)
    assert "| mean absolute error | 2.5000 (-0.5000) | 3.0000 |" in body and "| f1 | 0.5000 (+0.0000) |" in body
    assert "evil" not in body and "xxx" not in body and "accuracy |" not in body
    content["metrics"]["candidate"]["other"] = ["mean_absolute_error"]
    assert "mean absolute" not in say(evidence=content)


def test_what_differs_from_production_is_at_the_top_and_leads_to_the_run(say, judged):
    content = form.as_json(judged[0])
    content["warnings"] = [
        "Differs from production in config (epochs 5 to 9). Trained by bob: https://wandb.ai/v/p/runs/x1",
        "Evaluated by mallory`](http://evil.example) @ada, and production by ada.",
        7,
    ]
    body = say(evidence=content)
    lines = body.splitlines()
    line = "- `Differs from production in config (epochs 5 to 9). Trained by bob`"
    assert f"{line} ([run](https://wandb.ai/v/p/runs/x1))" in lines[:8]
    assert "- `Evaluated by mallory](http://evil.example) @ada, and production by ada.`" in lines[:9]
    assert line in say(evidence=content, FROM_STRANGER="true").splitlines()
    content["warnings"][0] = content["warnings"][0].replace("runs/x1", "runs/x1) [more](http://evil.example")
    assert line in say(evidence=content).splitlines()


def test_no_word_of_the_report_changes_what_is_drawn(say, judged):
    evidence, outcomes, scores = judged
    text = report.report(form.as_json(evidence), outcomes, scores, POLICY)
    assert len(re.findall(r"^#+ ", text, re.MULTILINE)) >= 5
    reworded = re.sub(r"^(#+) .*$", r"\1 Other words", text, flags=re.MULTILINE).replace("|", "/").upper()
    drawn = [
        say(RESULT, form.to_text(evidence), text_of_report).partition("<details>")[0]
        for text_of_report in (text, reworded, "x")
    ]
    assert len(set(drawn)) == 1 and "```mermaid" in drawn[0]


def test_there_is_one_comment_and_it_is_updated_in_place(say, github):
    github.comments += [comment(0, "<!-- modelgate glyphs -->\nof somebody else", "mallory"), comment(1, "hello")]
    github.comments += [comment(n, "talk", "bob") for n in range(2, 150)]
    first = say()
    other = RESULT | {"headline": "pass: as accurate as production, within what 1,000 rows can tell"}
    say(other)
    assert github.changes() == ["POST", "PATCH"]
    assert say(other) != first
    assert github.changes() == ["POST", "PATCH"]  # the same again changes nothing
    assert len(github.comments) == 151
    assert github.comments[0]["body"] == "<!-- modelgate glyphs -->\nof somebody else"


@pytest.mark.parametrize(
    ("result", "jobs", "sentence"),
    [
        (None, {"images": {"result": "success"}, "train": {"result": "failure"}}, "`train` failed; its log"),
        (None, {"images": {"result": "cancelled"}}, "`images` was cancelled; its log"),
        (None, {}, "nothing was evaluated"),
        ("{", {}, "nothing was evaluated"),
        ("[]", {}, "nothing was evaluated"),
        ({"error": {"name": "x"}}, {"evaluate": {"result": "failure"}}, "`evaluate` failed; its log"),
        ({"verdict": "fail", "headline": "fail: nothing is in production yet"}, {}, "**fail**: nothing is in"),
        ({"verdict": "unchanged", "headline": report.UNCHANGED}, {}, "⚪ **unchanged**: this model is already in"),
        ({"verdict": "fail"}, {}, "⛔ **fail**"),
    ],
)
def test_every_end_has_its_words(say, result, jobs, sentence):
    body = say(result, jobs=jobs)
    assert sentence in body.splitlines()[2]
    assert ("The job promote waits." in body) == ("pass" in str(result))


def test_a_refusal_is_named_below_the_verdict_with_its_reason(say, judged):
    outcomes = (form.Outcome("floor", True, True, "x"), form.Outcome("no_worse", False, True, "a drop of 5.0 points"))
    outcomes += (form.Outcome("slices_no_worse", False, False, "z"),)
    evidence = replace(judged[0], rules=outcomes, warnings=("Evaluated by ada.",))
    lines = say(RESULT | {"verdict": "fail"}, form.to_text(evidence)).splitlines()
    assert lines[4:7] == ["Refused by:", "- `no_worse`: `a drop of 5.0 points`", ""]
    assert lines[7:9] == ["Note:", "- `Evaluated by ada.`"]  # a separate list
    boxes = [line.strip() for line in lines if line.startswith("  r") and "[" in line]
    assert boxes == [
        'r0["<b>passed</b><br/>floor"]:::c0',
        'r1["<b>shown only</b><br/>slices_no_worse"]:::c1',
        'r2["<b>refused</b><br/>no_worse"]:::c2',
    ]


HOSTILE = (
    "@everyone <img src=x onerror=alert(1)> [click](javascript:alert(1)) ![](https://x.example/p) "
    "``` ~~~~ #1 </details>"
)


def with_leaves(content, leaf):
    """Return the same JSON with another value at each leaf."""
    if isinstance(content, dict):
        return {key: with_leaves(value, leaf) for key, value in content.items()}
    return [with_leaves(value, leaf) for value in content] if isinstance(content, list) else leaf


def test_a_stranger_s_text_is_quoted_and_none_of_it_is_in_a_picture_or_a_link(say, judged):
    content = form.as_json(judged[0])
    result = dict.fromkeys(RESULT, HOSTILE) | {"verdict": "pass", "url": "javascript:alert(1)"}
    text = f"# {HOSTILE}\n\n~~~~~\n{HOSTILE}\n"
    body = say(result, with_leaves(content, HOSTILE), text, FROM_STRANGER="true")
    before, _, quoted = body.partition("\n\n<details><summary>The whole report</summary>\n\n~~~~~~text\n")
    assert quoted.endswith("\n~~~~~~\n\n</details>\n")
    assert "~~~~~~" not in quoted.removesuffix("\n~~~~~~\n\n</details>\n")
    for part in ("everyone", "<img", "javascript", "mermaid", "x.example"):
        assert part not in before
    assert HOSTILE in quoted


def test_the_reason_of_a_refusal_is_code_whatever_it_says(say, judged):
    content = form.as_json(judged[0]) | {"warnings": []}
    content["rules"] = [{"rule": "floor", "passed": False, "blocking": True, "reason": f"{HOSTILE}\n- more"}]
    for stranger in ("true", "false"):
        lines = say(RESULT | {"verdict": "fail"}, content, FROM_STRANGER=stranger).splitlines()
        assert lines[4:7] == ["Refused by:", f"- `floor`: `{HOSTILE.replace('`', '')}- more`", ""]
    content["rules"][0]["reason"] = ["x"]
    assert "- `floor`" in say(RESULT | {"verdict": "fail"}, content).splitlines()


@pytest.mark.parametrize("leaf", [None, True, 1e999, [], {}, "", "²", "a\nb", 'a"]-->x', "1" * 5000, "a,b"])
def test_values_of_another_type_or_form_are_left_out(say, judged, leaf):
    body = say(RESULT, with_leaves(form.as_json(judged[0]), leaf), FROM_STRANGER="true")
    assert "```" not in body and "Slices that changed" not in body and "| accuracy" not in body


@pytest.mark.parametrize("key", ["rules", "metrics", "slices", "confusion", "version", "dataset", "production"])
def test_one_part_that_is_none_leaves_the_others(say, judged, key):
    drawn = say(RESULT, form.as_json(judged[0]) | {key: [[5]]}, FROM_STRANGER="true")
    assert "**pass**" in drawn and "```mermaid" in drawn


@pytest.mark.parametrize(
    "rest",
    [
        HOSTILE,
        "see www.x.example",
        "see https://x.example",
        "fixes #1",
        "ask @ada",
        "one\n\n# two",
        "`code`",
        "a" * 300,
        5,
        None,
        ["x"],
    ],
)
def test_a_headline_that_is_no_plain_sentence_is_left_out(say, rest):
    headline = f"pass: {rest}" if isinstance(rest, str) else rest
    assert say(RESULT | {"headline": headline}).splitlines()[2] == "`glyphs` ✅ **pass**"


def test_a_headline_that_names_the_rule_that_refused_is_shown(say):
    rest = "no_worse: 6.0 points lower than production (5 % of 1,000 rows), within what the rows can tell"
    comment = say(RESULT | {"verdict": "fail", "headline": f"fail: {rest}"})
    assert comment.splitlines()[2] == f"`glyphs` ⛔ **fail**: {rest}"


def test_a_headline_about_another_verdict_is_left_out(say):
    assert say(RESULT | {"verdict": "fail"}).splitlines()[2] == "`glyphs` ⛔ **fail**"


def test_the_name_of_a_slice_is_code_so_that_it_becomes_no_link(say, judged):
    slices = [{"name": "www.x.example", "rows": 50, "regressed": 2, "improved": 1}]
    assert "| `www.x.example` | 2 of 50 | 1 of 50 |" in say(RESULT, form.as_json(judged[0]) | {"slices": slices})


def test_a_picture_of_one_mistake_is_as_low_as_it_can_be(say, judged):
    mistakes = [{"truth": "0", "answer": str(n), "rows": 9} for n in range(1, 10)]
    heights = []
    for shown in (mistakes[:1], mistakes):
        body = say(evidence=form.as_json(judged[0]) | {"confusion": shown})
        heights.append(json.loads(re.search(r"^%%{init: (.*)}%%$", body, re.MULTILINE)[1])["sankey"]["height"])
    assert heights == [90, 300]


def test_a_verdict_of_a_stranger_s_own_is_in_no_picture(say, judged):
    """All other values are valid, so that everything would be drawn."""
    evidence = form.to_text(judged[0])
    body = say(RESULT, evidence, FROM_STRANGER="true")
    assert '"pass"' in body and "wandb.ai" not in body  # a stranger could name anyone's pages
    hostile = f'x"}}\n```\n{HOSTILE}'
    for verdict in (hostile, [hostile], "PASS", None):
        body = say(RESULT | {"verdict": verdict}, evidence, FROM_STRANGER="true")
        assert "**no verdict**" in body
        assert "```" not in body and "everyone" not in body


@pytest.mark.parametrize("number", ["²", "٣", 10**9, -1, 1e3, True, None])
def test_what_is_no_count_is_in_no_picture(say, judged, number):
    slices = [{"name": "thin", "rows": 9, "regressed": number, "improved": 1}]
    confusion = [{"truth": "0", "answer": "1", "rows": number}]
    body = say(RESULT, form.as_json(judged[0]) | {"slices": slices, "confusion": confusion}, FROM_STRANGER="true")
    assert "Slices that changed" not in body and "sankey" not in body and "The gate" in body


def test_a_file_of_any_size_is_read_to_its_limit_and_a_link_is_not_followed(say, github, tmp_path):
    folder = tmp_path / "hostile/report-glyphs"
    folder.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("only for the runner\n")
    for name in ("result.json", "evidence.json"):
        with (folder / name).open("wb") as file:
            file.write(json.dumps(RESULT).encode())
            file.truncate(1 << 34)  # 16 GB of nothing
    (folder / "report.md").symlink_to(secret)
    body = say(FOLDER=str(folder.parent), FROM_STRANGER="true")
    assert "**no verdict**" in body and "only for the runner" not in body


def test_evidence_that_is_a_link_or_no_json_is_not_drawn(say, judged, tmp_path):
    folder = tmp_path / "hostile/report-glyphs"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(RESULT))
    (tmp_path / "elsewhere.json").write_text(form.to_text(judged[0]))
    (folder / "evidence.json").symlink_to(tmp_path / "elsewhere.json")
    bodies = [say(FOLDER=str(folder.parent), FROM_STRANGER="true")]
    bodies += [say(RESULT, text, FROM_STRANGER="true") for text in ("{", "[]", "null", "[" * 100_000, "\x00")]
    assert len(set(bodies)) == 1
    assert "✅ **pass**" in bodies[0] and "```" not in bodies[0]


def test_a_long_report_is_cut_within_what_github_takes(say):
    body = say(text="# v1: pass\n" + "a line of the report\n" * 9000)
    assert len(body) <= 65_536
    assert "truncated here" in body and body.endswith("</details>\n")


def pull(number, sha=SHA, repository="eve/models", login="eve"):
    head = {"label": "eve:better", "sha": sha, "repo": repository and {"full_name": repository}}
    return {"number": number, "head": head, "user": login and {"login": login}}


def test_a_fork_s_pull_request_is_found_by_its_branch_and_commit(say, github):
    github.pulls = [pull(5, "b" * 40), pull(7)]
    assert say(PULL_REQUEST="", HEAD="eve:better")
    github.comments.clear()
    assert say(PULL_REQUEST="", HEAD="eve:other") is None
    assert say(PULL_REQUEST="", HEAD="eve:better", SHA="c" * 40) is None


@pytest.mark.parametrize(
    ("repository", "login", "commented"),
    [
        ("team/models", "dependabot[bot]", True),
        ("team/models", "ada", False),
        ("team/models", None, False),
        ("eve/models", None, True),
        (None, "eve", True),
    ],
)
def test_a_pull_request_on_which_the_pipeline_comments_gets_no_second_comment(
    say, github, repository, login, commented
):
    github.pulls = [pull(7, repository=repository, login=login)]
    assert bool(say(PULL_REQUEST="", HEAD="eve:better")) == commented


def test_the_comment_of_a_deleted_account_is_somebody_else_s(say, github):
    github.comments += [comment(0, "<!-- modelgate glyphs -->\nof a ghost") | {"user": None}]
    assert say()
    assert github.changes() == ["POST"]


def begins(github):
    return [comment["body"].splitlines()[0] for comment in github.comments]


def test_each_model_has_a_comment_of_its_own(say, github, tmp_path):
    say()
    shutil.copytree(tmp_path / "reports/report-glyphs", tmp_path / "reports/report-remote")
    say()
    assert begins(github) == ["<!-- modelgate glyphs -->", "<!-- modelgate remote -->"]
    say(RESULT | {"verdict": "fail"}, USE_CASE="glyphs")
    bodies = [comment["body"].splitlines()[2] for comment in github.comments]
    assert bodies[0] == "`glyphs` ⛔ **fail**" and bodies[1].startswith("`remote` ✅ **pass**")
    assert say(USE_CASE="other") and begins(github)[-1] == "<!-- modelgate other -->"
    assert "`other` ⚠️ **no verdict**" in github.comments[-1]["body"]


def test_a_comment_that_knew_of_no_model_becomes_that_of_the_first(say, github, tmp_path):
    say(FOLDER=str(tmp_path))
    assert begins(github) == ["<!-- modelgate -->"]
    say()
    assert begins(github) == ["<!-- modelgate glyphs -->"]
    assert github.changes() == ["POST", "PATCH"]


@pytest.mark.parametrize("name", ["report-a b", "report-", "report-<img>", "report-A", "other", "report-" + "a" * 41])
def test_a_report_that_is_called_like_no_use_case_is_of_none(say, github, tmp_path, name):
    (tmp_path / "strange" / name).mkdir(parents=True)
    say(FOLDER=str(tmp_path / "strange"), FROM_STRANGER="true")
    assert begins(github) == ["<!-- modelgate -->"]
