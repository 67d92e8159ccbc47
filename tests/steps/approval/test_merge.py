"""
The approval of the review of the pull request that was merged: every refusal by its name.

    pytest tests/steps/approval/test_merge.py
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from modelgate.promotion.approval import api, merge
from modelgate.promotion.approval.approver import Approval
from runner import images
from tests.steps.approval.asking import check_approval, refused
from tests.steps.github import (
    COMMITS,
    FILES,
    MERGE,
    OTHER,
    PULLS,
    REPOSITORY,
    REVIEWS,
    THIS_RUN,
    commit,
    evidence,
    file,
    may_write,
    pull,
    repository,
    review,
    workflow_run,
)
from tests.workflows.files import workflows


def test_a_review_of_what_was_merged_approves(github):
    github.answers[REVIEWS] = [review("bob", body="Ship\x1b[2J it.")]
    assert check_approval("merge") == Approval(
        "bob", "merge", "Ship [2J it.", f"https://github.com/{REPOSITORY}/pull/7#pullrequestreview-1"
    )


def test_a_pull_request_whose_last_commit_became_the_branchs_is_one_that_was_merged(github):
    github.answers |= {PULLS: [pull(merge_commit_sha=OTHER, head=pull()["head"] | {"sha": MERGE})]}
    github.answers[REVIEWS] = [review("bob", commit=MERGE)]
    assert check_approval("merge").approver == "bob"


@pytest.mark.parametrize("event", ["workflow_dispatch", "pull_request", "schedule", "\x1b[2J"])
def test_a_merge_approves_what_it_pushes_and_nothing_else(github, event):
    github.answers |= {THIS_RUN: workflow_run(event=event), REVIEWS: [review("bob")]}
    assert refused("merge") == "not_a_push"


ROLLBACK = "usecases/glyphs/rollback.toml"


def rolls_back(github, text='version = "v3"\nreason = "Wrong labels."\n', name=ROLLBACK):
    """The merged change asks for a rollback; return evidence of one to v3."""
    content = base64.b64encode(text.encode()).decode()
    github.answers |= {REVIEWS: [review("bob")], FILES: [file(name)]}
    github.answers[f"/repos/{REPOSITORY}/contents/{ROLLBACK}"] = {"type": "file", "content": content}
    return evidence() | {"policy": {"name": "rollback"}, "version": {"name": "acme/wandb-registry-model/glyphs-dev:v3"}}


def test_a_merge_approves_the_rollback_that_it_asks_for(github):
    assert check_approval("merge", of=rolls_back(github)).approver == "bob"
    assert f"/repos/{REPOSITORY}/contents/{ROLLBACK}?ref={MERGE}" in [path for path, _ in github.asked]


@pytest.mark.parametrize(
    "asks",
    [
        {"text": 'version = "v30"\n'},
        {"text": 'version = ["v3"]\n'},
        {"text": 'reason = "v3"\n'},
        {"name": "usecases/remote/rollback.toml"},
        {"name": "usecases/glyphs/model.py"},
    ],
)
def test_a_merge_that_asks_for_another_rollback_or_for_none_approves_none(github, asks):
    assert refused("merge", of=rolls_back(github, **asks)) == "rollback_by_merge"
    assert refused("merge", of=rolls_back(github) | {"version": None}) == "rollback_by_merge"


def test_a_rollback_file_that_cannot_be_read_approves_none(github):
    assert refused("merge", of=rolls_back(github, text="[version")) == "github_answer_unknown"


@pytest.mark.parametrize("policy", [{"name": "rollback"}, None])
def test_a_merge_approves_no_rollback(github, policy):
    github.answers[REVIEWS] = [review("bob")]
    assert refused("merge", of=evidence() | {"policy": policy}) == "rollback_by_merge"


@pytest.mark.parametrize(
    ("changed", "can"),
    [
        (file("docs/gate.md"), False),
        (file("requirements.txt.md"), False),
        (file("usecases/remote/model.py"), False),
        (file("usecases/__init__.py"), True),
        (file(".github/workflows/model.yml"), True),
        (file("tests/steps/test_train.py"), False),
        (file("requirements.txt"), True),
        (file(".github/workflows/pipeline.yml"), True),
        (file("docs/model.md", status="renamed", previous_filename="steps/train.py"), True),
    ],
)
def test_the_review_of_what_changes_no_model_approves_none(github, changed, can):
    github.answers |= {REVIEWS: [review("bob")], FILES: [*[file("docs/x.md")] * 150, changed]}
    if can:
        assert check_approval("merge").approver == "bob"
    else:
        assert refused("merge") == "changes_no_model"


def test_what_can_change_a_model_is_what_its_images_are_made_of_and_what_builds_and_runs_them():
    used = {path for name in ("build", "train", "link", "evaluate", "promote") for path in inputs(name)}
    calls = {job["uses"].removeprefix("./") for job in workflows()["pipeline.yml"].jobs.values() if "uses" in job}
    for path in {*used, *calls, ".github/workflows/pipeline.yml", "runner/images.py"}:
        assert path in merge.MODEL_FILES or path.startswith(merge.MODEL_FOLDERS), path


def inputs(name):
    root = Path(__file__).parents[3]
    use_case = sorted(path.parent.name for path in (root / "usecases").glob("*/config.toml"))[0]
    return images.wanted(root, use_case)[name].inputs


def test_files_without_end_are_given_up(github, monkeypatch):
    monkeypatch.setattr(api, "_MAX_PAGES", 2)
    github.answers |= {REVIEWS: [review("bob")], FILES: [file()] + [file("docs/x.md")] * 250}
    assert check_approval("merge").approver == "bob"
    github.answers[FILES] = github.answers[FILES][1:]
    assert refused("merge") == "github_answer_unknown"


def test_the_pull_request_of_a_deleted_account_is_reviewed_as_any_other(github):
    github.answers |= {PULLS: [pull() | {"user": None}], REVIEWS: [review("bob")]}
    assert check_approval("merge").approver == "bob"


@pytest.mark.parametrize("permission", ["admin", "write"])
def test_who_may_write_may_approve_the_merge(github, permission):
    github.answers |= {REVIEWS: [review("carol")], **may_write("carol", permission)}
    assert check_approval("merge").approver == "carol"


@pytest.mark.parametrize(
    "pulls",
    [
        [],
        [pull(merged_at=None)],
        [pull(merge_commit_sha=OTHER)],
        [pull(base=pull()["base"] | {"ref": "playground"})],
        [pull(base=pull()["base"] | {"repo": repository() | {"full_name": "fork/models"}})],
    ],
)
def test_a_commit_that_no_merge_made(github, pulls):
    github.answers |= {PULLS: pulls, REVIEWS: [review("bob")]}
    assert refused("merge") == "not_merged"


@pytest.mark.parametrize(
    "reviews",
    [
        [],
        [review("bob", "COMMENTED")],
        [review("bob"), review("bob", "DISMISSED")],
        [review("bob"), review("bob", "CHANGES_REQUESTED")],
        [review("bob"), review("Bob", "DISMISSED")],
        [review("mallory")],
        [review("bob") | {"user": None}],
    ],
)
def test_nobody_with_a_say_approved_the_merge(github, reviews):
    github.answers |= {REVIEWS: reviews, **may_write("mallory", "read")}
    assert refused("merge") == "no_approving_review"


@pytest.mark.parametrize("state", ["COMMENTED", "PENDING"])
def test_what_is_no_verdict_takes_no_approval_back(github, state):
    github.answers[REVIEWS] = [review("bob"), review("bob", state)]
    assert check_approval("merge").approver == "bob"


@pytest.mark.parametrize(("author", "approves"), [("ada", "Ada"), ("Ada", "ada")])
def test_the_author_approved_the_merge(github, author, approves):
    github.answers |= {PULLS: [pull(author)], REVIEWS: [review(approves)], **may_write(approves)}
    assert refused("merge") == "self_approval"


def test_who_wrote_a_part_of_it_does_not_approve_the_merge(github):
    github.answers |= {COMMITS: [commit("bob")], REVIEWS: [review("bob")]}
    assert refused("merge") == "self_approval"


@pytest.mark.parametrize("commit", [OTHER, None, "\x1b[2J"])
def test_the_review_was_of_another_commit(github, commit):
    github.answers[REVIEWS] = [review("bob", commit=commit)]
    assert refused("merge") == "review_of_other_commit"


def test_the_commit_that_was_merged_is_printed_without_control_characters(github):
    github.answers |= {PULLS: [pull(head=pull()["head"] | {"sha": "\x1b[2J"})], REVIEWS: [review("bob")]}
    assert refused("merge") == "review_of_other_commit"


@pytest.mark.parametrize("change", [{"sha": OTHER}, {"repository": "fork/models"}, {"run_id": 4710}])
def test_the_evidence_was_of_another_commit(github, change):
    github.answers[REVIEWS] = [review("bob")]
    assert refused("merge", of=evidence(**change)) == "evidence_of_other_commit"


def test_the_evidence_was_of_no_commit_on_github(github):
    github.answers[REVIEWS] = [review("bob")]
    assert refused("merge", of={"github": None}) == "evidence_of_other_commit"


def test_reviews_are_read_to_the_last_page(github):
    github.answers[REVIEWS] = [review("bob"), *[review("carol", "COMMENTED")] * 150, review("bob", "DISMISSED")]
    assert refused("merge") == "no_approving_review"


def test_reviews_without_end_are_given_up(github, monkeypatch):
    monkeypatch.setattr(api, "_MAX_PAGES", 2)
    github.answers[REVIEWS] = [review("bob")] * 199
    assert check_approval("merge").approver == "bob"
    github.answers[REVIEWS] += [review("bob", "DISMISSED")]
    assert refused("merge") == "github_answer_unknown"
