"""
Who approved: every refusal by its name, against a GitHub of the test's own whose answers have GitHub's published shape.

    pytest tests/steps/test_approval.py

The GitHub that they ask is the stand-in of github.py.
"""

from __future__ import annotations

import socket
import threading
import time

import pytest

from modelgate.errors import StepError
from modelgate.promotion import approval
from modelgate.text import one_line
from tests.approvers import NAMES, NO_NAMES
from tests.steps.github import (
    COMMITS,
    FILES,
    HEAD,
    ITS_WORKFLOW,
    MERGE,
    OTHER,
    PULL,
    PULLS,
    REPOSITORY,
    REVIEWS,
    RUN,
    THIS_COMMIT,
    THIS_RUN,
    TOKEN,
    TREE,
    approved,
    commit,
    evidence,
    file,
    git_commit,
    may_write,
    open_pull,
    pull,
    repository,
    review,
    workflow_run,
)
from tests.workflows.files import workflows


def asked(how="github", of=None, self_approval=False):
    approval.check_flags(None, how)
    return approval.of(None, how, of or evidence(), self_approval=self_approval)


def refused(how="github", **arguments):
    with pytest.raises(StepError) as stopped:
        asked(how, **arguments)
    said = f"{stopped.value} {stopped.value.hint}"
    assert TOKEN not in said
    assert said.isprintable() and len(said) < 600, said
    return stopped.value.name


# --- which flag, where -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on_github", "approver", "how", "name", "code"),
    [
        (False, None, None, "no_approval", 1),
        (False, " \n", None, "no_approval", 1),
        (False, "clear; time make run", None, "approver_not_a_name", 2),
        (False, "ada", "github", "two_approvals", 2),
        (False, None, "github", "not_on_github", 1),
        (False, None, "merge", "not_on_github", 1),
        (True, "ada", None, "name_is_no_approval", 1),
        (True, None, None, "name_is_no_approval", 1),
        (True, "ada", "github", "two_approvals", 2),
    ],
)
def test_flags_that_approve_nothing_here(monkeypatch, on_github, approver, how, name, code):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    if on_github:
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
    with pytest.raises(StepError) as stopped:
        approval.check_flags(approver, how)
    assert (stopped.value.name, stopped.value.exit_code) == (name, code)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_approves_on_a_machine_of_ones_own(monkeypatch, name):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    approval.check_flags(name, None)
    assert approval.of(f"{name} ", None, {}, self_approval=False) == approval.Approval(
        name.replace("\u200c", " "), "name"
    )


@pytest.mark.parametrize("text", NO_NAMES)
def test_a_line_for_a_shell_is_not_a_name(monkeypatch, text):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    with pytest.raises(StepError) as stopped:
        approval.check_flags(text, None)
    assert (stopped.value.name, stopped.value.exit_code) == ("approver_not_a_name", 2)
    assert str(stopped.value).isprintable()


# --- what evaluate notes ---------------------------------------------------------------------------------------------


def test_off_github_there_is_no_context(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert approval.context() is None


def test_the_context_counts_the_approvals_so_far(github):
    github.answers[RUN] = [approved("bob"), approved("eve", environment="staging"), approved("eve", state="rejected")]
    assert approval.context() == evidence(approvals=1, approvers=["bob"])["github"]
    assert github.asked == [(RUN, f"Bearer {TOKEN}")]


def test_off_github_a_commit_has_no_parts(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert approval.commit() is None


def test_the_commit_of_a_branch_outlives_its_run_and_needs_a_tree_alone(github):
    assert approval.commit() == {"head": None, "base": None, "tree": TREE, "pull_request": None}
    assert [path for path, _ in github.asked] == [THIS_COMMIT]


def test_the_commit_of_a_pull_request_is_named_by_what_outlives_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    github.answers[THIS_COMMIT] = git_commit(OTHER, HEAD)
    assert approval.commit() == {"head": HEAD, "base": OTHER, "tree": TREE, "pull_request": 7}


@pytest.mark.parametrize(
    ("ref", "answer"),
    [
        ("refs/pull/7/merge", git_commit(OTHER)),
        ("refs/pull/7/merge", git_commit(OTHER, HEAD, MERGE)),
        ("refs/pull/7/merge", git_commit(OTHER, "main")),
        ("refs/heads/main", git_commit(OTHER, f"{HEAD}\n")),
        ("refs/heads/main", git_commit(OTHER) | {"tree": {"sha": None}}),
    ],
)
def test_a_commit_that_is_none_is_not_recorded(github, monkeypatch, ref, answer):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[THIS_COMMIT] = answer
    with pytest.raises(StepError) as stopped:
        approval.commit()
    assert stopped.value.name == "github_answer_unknown"


# --- the reviewer of the environment ---------------------------------------------------------------------------------


def test_a_reviewer_approves_this_attempt(github):
    github.answers[RUN] = [approved("bob", "Fine\x1b[2J‮ by me")]
    assert asked() == approval.Approval(
        "bob", "github", "Fine [2J by me", f"https://github.com/{REPOSITORY}/actions/runs/4711/attempts/2"
    )


def test_nobody_approved(github):
    assert refused() == "no_approval"


def test_an_environment_without_reviewers_is_no_approval(github):
    github.answers[RUN] = [approved("bob", environment="training")]
    assert refused() == "no_approval"


def test_a_rejection_is_no_approval(github):
    github.answers[RUN] = [approved("bob", state="rejected")]
    assert refused() == "no_approval"


@pytest.mark.parametrize("others", [[], [approved("bob", state="rejected")]])
def test_an_administrator_who_did_not_wait_approved_nothing(github, others):
    github.answers[RUN] = [approved("root", state="skipped"), *others]
    assert refused() == "bypassed"
    github.answers[RUN] = [approved("root", state="skipped", environment="training")]
    assert refused() == "no_approval"


def test_a_reviewer_beside_a_bypass_is_enough(github):
    github.answers[RUN] = [approved("root", state="skipped"), approved("bob")]
    assert asked().approver == "bob"


def test_an_account_that_was_deleted_approves_nothing_and_blocks_nobody(github):
    nobody = approved("eve") | {"user": None}
    github.answers[RUN] = [nobody]
    assert refused() == "no_approval"
    github.answers[RUN] = [nobody, approved("bob")]
    assert asked().approver == "bob"


@pytest.mark.parametrize("newest_first", [True, False])
def test_an_approval_of_the_attempt_before_does_not_count(github, newest_first):
    before = evidence(approvals=1, approvers=["bob"])
    github.answers[RUN] = [approved("bob")]
    assert refused(of=before) == "no_approval"
    github.answers[RUN] = [approved("bob"), approved("carol")][:: -1 if newest_first else 1]
    assert asked(of=before).approver == "carol"


def test_an_approval_that_is_new_is_not_enough_where_one_that_was_counted_is_gone(github):
    github.answers[RUN] = [approved("carol")]
    assert refused(of=evidence(approvals=1, approvers=["bob"])) == "no_approval"


@pytest.mark.parametrize("counted", [None, "x", [5], [None], {}])
def test_evidence_that_does_not_say_whose_approvals_it_counted(github, counted):
    github.answers[RUN] = [approved("bob"), approved("bob")]
    assert refused(of=evidence(approvers=counted)) == "evidence_unreadable"


def test_the_same_reviewer_may_approve_again(github):
    github.answers[RUN] = [approved("bob"), approved("bob", "Again.")]
    assert asked(of=evidence(approvals=1, approvers=["bob"])).approver == "bob"


@pytest.mark.parametrize(
    "change",
    [
        {"run_attempt": 1},
        {"run_id": 4710},
        {"repository": "team/other"},
        {"run_id": "\x1b[2J"},
        {"run_id": "x" * 10_000},
    ],
)
def test_evidence_of_another_attempt(github, change):
    github.answers[RUN] = [approved("bob")]
    assert refused(of=evidence(**change)) == "approval_other_attempt"


def test_evidence_of_another_attempt_says_of_which(github):
    with pytest.raises(StepError, match=r"is of run 4711 of team/models, attempt 1, and this is run .*, attempt 2:"):
        asked(of=evidence(run_attempt=1))


def test_evidence_from_a_laptop(github):
    github.answers[RUN] = [approved("bob")]
    assert refused(of={"github": None}) == "approval_other_attempt"


@pytest.mark.parametrize("starter", ["GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"])
@pytest.mark.parametrize(("started", "approves"), [("Bob", "bob"), ("bob", "Bob")])
def test_who_started_the_run_may_not_approve_it(github, monkeypatch, starter, started, approves):
    monkeypatch.setenv(starter, started)
    github.answers[THIS_RUN] = workflow_run(event="workflow_dispatch")
    github.answers[RUN] = [approved(approves)]
    assert refused() == "self_approval"
    assert asked(self_approval=True).approver == approves


def test_self_approval_hides_behind_no_older_approval(github):
    github.answers[RUN] = [approved("ada"), approved("bob")]
    assert refused(of=evidence(approvals=1, approvers=["bob"])) == "self_approval"


def test_another_reviewer_beside_the_starter_is_enough(github):
    github.answers[RUN] = [approved("ada"), approved("bob", "I did not start it."), approved("ada")]
    assert (asked().approver, asked().comment) == ("bob", "I did not start it.")


@pytest.fixture
def pull_request(github, monkeypatch):
    """The run of pull request 7, to which eve pushed last; ada opened it, and carol wrote and dan committed a part."""
    monkeypatch.setenv("GITHUB_REF", "refs/pull/7/merge")
    monkeypatch.setenv("GITHUB_ACTOR", "eve")
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "eve")
    run = workflow_run(event="pull_request", head_branch="better", head_sha=HEAD)
    github.answers |= {THIS_RUN: run, PULL: open_pull(), COMMITS: [commit("Carol", "Dan"), commit(None, {})]}
    return github


@pytest.mark.parametrize("who", ["ada", "Ada", "carol", "dan", "eve"])
def test_who_opened_wrote_committed_or_pushed_may_not_approve_the_pull_request(pull_request, who):
    pull_request.answers[RUN] = [approved(who)]
    assert refused() == "self_approval"
    pull_request.answers[RUN] += [approved("bob")]
    assert asked().approver == "bob"


@pytest.mark.parametrize("attempt", ["first", "again"])
def test_who_only_merged_may_approve_and_who_wrote_it_may_not(github, monkeypatch, attempt):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    monkeypatch.setenv("GITHUB_TRIGGERING_ACTOR", "bob" if attempt == "first" else "dan")
    github.answers[COMMITS] = [commit("carol")]
    github.answers[RUN] = [approved("ada"), approved("carol")] + ([approved("dan")] if attempt == "again" else [])
    assert refused() == "self_approval"
    github.answers[RUN] += [approved("bob")]
    assert asked().approver == "bob"


def test_who_pushed_without_a_pull_request_may_not_approve_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    github.answers |= {PULLS: [], RUN: [approved("bob")]}
    assert refused() == "self_approval"


def test_who_dispatched_what_they_did_not_write_may_not_approve_it(github, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "bob")
    github.answers |= {THIS_RUN: workflow_run(event="workflow_dispatch"), RUN: [approved("bob")]}
    assert refused() == "self_approval"


@pytest.mark.parametrize("spoiled", [None, "carol", commit() | {"author": "carol"}])
def test_a_commit_that_is_none_names_nobody(pull_request, spoiled):
    pull_request.answers |= {RUN: [approved("bob")], COMMITS: [spoiled]}
    assert refused() == "github_answer_unknown"


def test_a_pull_request_whose_authors_github_does_not_list_is_refused(pull_request):
    pull_request.answers |= {RUN: [approved("bob")], COMMITS: [commit("carol")] * 249}
    assert asked().approver == "bob"
    pull_request.answers[COMMITS] += [commit("carol")]
    assert refused() == "too_many_commits"


# --- what is still to be approved ------------------------------------------------------------------------------------


def test_a_pull_request_that_was_closed_is_not_promoted(pull_request):
    pull_request.answers |= {RUN: [approved("bob")], PULL: pull()}
    assert refused() == "pull_request_closed"


@pytest.mark.parametrize("head", [OTHER, MERGE])
def test_a_pull_request_with_another_last_commit_is_not_promoted(pull_request, head):
    pull_request.answers |= {RUN: [approved("bob")], PULL: open_pull(head=pull()["head"] | {"sha": head})}
    assert refused() == "pull_request_moved"


@pytest.mark.parametrize("how", ["github", "merge"])
@pytest.mark.parametrize(
    ("status", "conclusion", "supersedes"),
    [
        ("waiting", None, True),
        ("in_progress", None, True),
        ("completed", "success", True),
        ("completed", "failure", False),
        ("completed", "cancelled", False),
    ],
)
def test_only_the_newest_run_of_a_branch_is_approved(github, how, status, conclusion, supersedes):
    newer = workflow_run(id=4712, run_number=10, status=status, conclusion=conclusion)
    older = workflow_run(id=4710, run_number=8, status="waiting")
    runs = [newer, workflow_run(), older]
    github.answers |= {ITS_WORKFLOW: {"total_count": 3, "workflow_runs": runs}}
    github.answers |= {RUN: [approved("bob")], REVIEWS: [review("bob")]}
    if supersedes:
        assert refused(how) == "superseded"
    else:
        assert asked(how).approver == "bob"
    (question,) = [path for path, _ in github.asked if path.startswith(ITS_WORKFLOW)]
    assert question.endswith("?event=push&branch=main&per_page=100")


def test_the_name_of_a_branch_is_part_of_no_question(github):
    github.answers |= {THIS_RUN: workflow_run(head_branch="x&event=#/../\x1b[2J"), RUN: [approved("bob")]}
    newer = workflow_run(run_number=10)
    github.answers |= {ITS_WORKFLOW: {"total_count": 1, "workflow_runs": [newer]}}
    assert refused() == "superseded"
    assert github.asked[-1][0].endswith("branch=x%26event%3D%23%2F..%2F%1B%5B2J&per_page=100")


@pytest.mark.parametrize("change", [{"event": None}, {"head_sha": 5}, {"run_number": True}, {"workflow_id": "12"}])
def test_a_workflow_run_that_is_none(github, change):
    github.answers |= {THIS_RUN: workflow_run(**change), RUN: [approved("bob")]}
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize("change", [{"status": None}, {"run_number": "10"}])
def test_a_later_workflow_run_that_is_none(github, change):
    later = workflow_run(conclusion="success", **change)
    github.answers |= {ITS_WORKFLOW: {"total_count": 1, "workflow_runs": [later]}, RUN: [approved("bob")]}
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize("ref", ["", "main", "refs/heads/a b", "refs/" + "x" * 1000])
def test_a_ref_that_is_none(github, monkeypatch, ref):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[RUN] = [approved("bob")]
    assert refused() == "github_variable"


@pytest.mark.parametrize("ref", ["refs/pull/7/merge/x", "refs/pull/7/head", "refs/heads/refs/pull/7/merge"])
def test_a_branch_is_no_pull_request_whatever_its_name(github, monkeypatch, ref):
    monkeypatch.setenv("GITHUB_REF", ref)
    github.answers[RUN] = [approved("bob")]
    assert asked().approver == "bob"
    assert PULL not in [path for path, _ in github.asked]


# --- the review of the merged pull request ---------------------------------------------------------------------------


def test_a_review_of_what_was_merged_approves(github):
    github.answers[REVIEWS] = [review("bob", body="Ship\x1b[2J it.")]
    assert asked("merge") == approval.Approval(
        "bob", "merge", "Ship [2J it.", f"https://github.com/{REPOSITORY}/pull/7#pullrequestreview-1"
    )


def test_a_pull_request_whose_last_commit_became_the_branchs_is_one_that_was_merged(github):
    github.answers |= {PULLS: [pull(merge_commit_sha=OTHER, head=pull()["head"] | {"sha": MERGE})]}
    github.answers[REVIEWS] = [review("bob", commit=MERGE)]
    assert asked("merge").approver == "bob"


@pytest.mark.parametrize("event", ["workflow_dispatch", "pull_request", "schedule"])
def test_a_merge_approves_what_it_pushes_and_nothing_else(github, event):
    github.answers |= {THIS_RUN: workflow_run(event=event), REVIEWS: [review("bob")]}
    assert refused("merge") == "not_a_push"


@pytest.mark.parametrize("policy", [{"name": "rollback"}, None])
def test_a_merge_approves_no_rollback(github, policy):
    github.answers[REVIEWS] = [review("bob")]
    assert refused("merge", of=evidence() | {"policy": policy}) == "rollback_by_merge"


@pytest.mark.parametrize(
    ("changed", "can"),
    [
        (file("docs/gate.md"), False),
        (file("requirements.txt.md"), False),
        (file("tests/steps/test_train.py"), False),
        (file("requirements.txt"), True),
        (file(".github/workflows/pipeline.yml"), True),
        (file("docs/model.md", status="renamed", previous_filename="steps/train.py"), True),
    ],
)
def test_the_review_of_what_changes_no_model_approves_none(github, changed, can):
    github.answers |= {REVIEWS: [review("bob")], FILES: [*[file("docs/x.md")] * 150, changed]}
    if can:
        assert asked("merge").approver == "bob"
    else:
        assert refused("merge") == "changes_no_model"


def test_what_can_change_a_model_is_what_starts_the_pipeline():
    on = workflows()["pipeline.yml"].said["on"]
    ours = [*approval.MODEL_FILES, *(f"{folder}**" for folder in approval.MODEL_FOLDERS)]
    assert sorted(on["push"]["paths"]) == sorted(on["pull_request"]["paths"]) == sorted(ours)


def test_files_without_end_are_given_up(github, monkeypatch):
    monkeypatch.setattr(approval, "_MAX_PAGES", 2)
    github.answers |= {REVIEWS: [review("bob")], FILES: [file()] + [file("docs/x.md")] * 250}
    assert asked("merge").approver == "bob"
    github.answers[FILES] = github.answers[FILES][1:]
    assert refused("merge") == "github_answer_unknown"


def test_the_pull_request_of_a_deleted_account_is_reviewed_as_any_other(github):
    github.answers |= {PULLS: [pull() | {"user": None}], REVIEWS: [review("bob")]}
    assert asked("merge").approver == "bob"


@pytest.mark.parametrize("permission", ["admin", "write"])
def test_who_may_write_may_approve_the_merge(github, permission):
    github.answers |= {REVIEWS: [review("carol")], **may_write("carol", permission)}
    assert asked("merge").approver == "carol"


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
    assert asked("merge").approver == "bob"


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
    monkeypatch.setattr(approval, "_MAX_PAGES", 2)
    github.answers[REVIEWS] = [review("bob")] * 199
    assert asked("merge").approver == "bob"
    github.answers[REVIEWS] += [review("bob", "DISMISSED")]
    assert refused("merge") == "github_answer_unknown"


# --- answers that are none -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b"[" * 100_000,
        {},
        {"message": "hello"},
        b"null",
        [None],
        ["approved"],
        [{"state": "approved"}],
        [approved("bob") | {"user": "bob"}],
        [approved("bob") | {"user": {"login": 5}}],
        [approved("bob\x1b]0;") | {"state": "approved"}],
        [approved("bob") | {"environments": "production"}],
        [approved("bob") | {"environments": [{"name": True}]}],
        [approved("bob") | {"comment": None}],
        [approved("bob") | {"state": 1}],
    ],
    ids=range(15),
)
def test_nothing_is_concluded_from_an_answer_of_another_shape(github, answer):
    github.answers[RUN] = answer
    assert refused() == "github_answer_unknown"


def test_the_number_of_a_pull_request_is_one(github):
    github.answers |= {PULLS: [pull(number=True)], REVIEWS.replace("7", "True"): [review("bob")]}
    assert refused("merge") == "github_answer_unknown"


def test_what_is_no_json_is_called_so(github):
    github.answers[RUN] = b"<html>"
    with pytest.raises(StepError, match="approvals is no JSON"):
        asked()


def test_an_answer_without_end_is_given_up(github, monkeypatch):
    monkeypatch.setattr(approval, "_MAX_ANSWER_BYTES", 1000)
    github.answers[RUN] = b"[" + b" " * 2000 + b"]"
    assert refused() == "github_answer_unknown"


@pytest.mark.parametrize(("status", "code"), [(401, 2), (403, 2), (404, 2), (500, 3), (302, 2)])
def test_github_says_no(github, status, code):
    github.answers[RUN] = status
    with pytest.raises(StepError) as stopped:
        asked()
    assert (stopped.value.name, stopped.value.exit_code) == ("github_refused", code)
    assert [path for path, _ in github.asked] == [RUN]  # a redirect is not followed: the token stays here


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_github_that_is_not_there(github, monkeypatch, scheme):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GITHUB_API_URL", f"{scheme}://127.0.0.1:{probe.getsockname()[1]}/api/v3/")
        with pytest.raises(StepError) as stopped:
            approval.context()
    assert (stopped.value.name, stopped.value.exit_code) == ("github_unreachable", 3)


def test_github_that_speaks_another_protocol(github):
    github.answers[RUN] = lambda request: request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert refused() == "github_unreachable"


@pytest.mark.parametrize(
    "head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"], ids=["never", "drop by drop"]
)
def test_github_that_answers_too_slowly_is_given_up(github, monkeypatch, head):
    given_up = threading.Event()

    def drip(request):
        request.wfile.write(head)
        for _ in range(100):
            if given_up.wait(0.05):
                break
            try:
                request.wfile.write(b" " if head else b"")
            except OSError:
                break

    monkeypatch.setattr(approval, "TIMEOUT_S", 0.2)
    github.answers[RUN] = drip
    began = time.monotonic()
    assert refused() == "github_unreachable"
    given_up.set()
    assert time.monotonic() - began < 4  # all of it takes 5


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_URL", ""),
        ("API_URL", "http://api.example.com"),
        ("API_URL", "file:///etc"),
        ("API_URL", "https://me:secret@127.0.0.1:9"),
        ("API_URL", "http://127.0.0.1.example.com"),
        ("API_URL", "https://127.0.0.1:9?to=me"),
        ("API_URL", "https://[::1"),
        ("API_URL", "https://"),
        ("API_URL", "x" * 10_000),
        ("REPOSITORY", "team/.."),
        ("REPOSITORY", "team"),
        ("REPOSITORY", "team/modèles"),
        ("REPOSITORY", "team/models\n"),
        ("RUN_ID", "4711/../1"),
        ("RUN_ATTEMPT", ""),
        ("SHA", "main"),
        ("ACTOR", ""),
        ("TRIGGERING_ACTOR", ""),
    ],
)
def test_a_variable_that_is_not_githubs(github, monkeypatch, variable, value):
    monkeypatch.setenv(f"GITHUB_{variable}", value)
    assert refused() == "github_variable"
    assert github.asked == []


def test_the_page_of_the_approval_is_one_of_the_web(github, monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "javascript:alert(1)")
    github.answers[RUN] = [approved("bob")]
    assert refused() == "github_variable"


@pytest.mark.parametrize("token", ["", "a b", "x\r\nX-Evil: 1"])
def test_a_token_that_is_none(github, monkeypatch, token):
    monkeypatch.setenv("GITHUB_TOKEN", token)
    assert refused() == "github_token"


def test_what_is_printed_is_one_short_line():
    assert one_line("a\x00b\u202ec\nd\te") == "a b c d e"
    assert len(one_line("x" * 10_000, 50)) == 50
