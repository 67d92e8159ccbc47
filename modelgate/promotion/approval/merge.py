"""Check the approving review of the pull request whose merge made this commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from modelgate.errors import StepError
from modelgate.promotion.approval import api, job, pulls, rollback
from modelgate.promotion.approval.approver import Approval, Model
from modelgate.text import to_line

# What can change a model: the files of the images, and what builds and runs them. A test compares the images with this.
MODEL_FILES = (".github/workflows/model.yml", ".github/workflows/pipeline.yml", "requirements.txt", "runner/images.py")
MODEL_FOLDERS = (".github/actions/", "docker/", "modelgate/", "steps/", "usecases/")


def find_approval(evidence: Mapping[str, Any], model: Model) -> Approval:
    """Return the approval of this evidence by the review of what was merged; refuse if there is none."""
    this_job = job.read_current()
    _require_judged_here(evidence, this_job)
    run = pulls.read_run(this_job)
    if run["event"] != "push":
        raise StepError(
            "not_a_push",
            f"--approval merge was used in a workflow run that a {to_line(run['event'], 40)} started: "
            "the review of a pull request approves only what its merge pushes",
            "merge a reviewed pull request that makes the change",
        )
    pulls.check_newest(this_job, run, model.use_case)
    pull = pulls.find_merged(this_job)
    if pull is None:
        raise StepError(
            "not_merged",
            f"no pull request that was merged into the default branch ends at commit {this_job['sha']}",
            "merge a reviewed pull request; a push to the branch is not an approval",
        )
    path = f"repos/{this_job['repository']}/pulls"
    number = api.require_field(path, pull, "number", int)
    head = api.require_field(path, api.require_field(path, pull, "head", dict), "sha", str)
    _require_change_of_model(this_job, evidence, model.use_case, number)
    writers = pulls.list_writers(this_job, pull)
    reviews = _read_last_reviews(f"{path}/{number}/reviews")
    approving = [review for review in reviews.values() if review["state"] == "APPROVED"]
    others = [review for review in approving if review["login"].lower() not in writers]
    current = [review for review in others if review["commit_id"] == head]
    review = next((review for review in current if _may_write(this_job, review["login"])), None)
    if review is None:
        _refuse(number, head, approving, others)
    return Approval(review["login"], "merge", review["body"], review["url"])


def _require_judged_here(evidence: Mapping[str, Any], this_job: Mapping[str, Any]) -> None:
    """Refuse evidence that was not made in this workflow run, from the merged commit."""
    judged = evidence.get("github")
    if not isinstance(judged, dict) or any(judged.get(key) != this_job[key] for key in ("repository", "run_id", "sha")):
        raise StepError(
            "evidence_of_other_commit",
            f"the evidence was not made in this workflow run from the merged commit {this_job['sha']}",
            "evaluate in this workflow run",
        )


def _require_change_of_model(
    this_job: Mapping[str, Any], evidence: Mapping[str, Any], use_case: str, number: int
) -> None:
    """Refuse a pull request whose review approves no model; check that one that rolls back does only that."""
    changed: Iterable[str] = _list_changed_files(this_job, number)
    policy = evidence.get("policy")
    if not isinstance(policy, dict) or policy.get("name") == "rollback":
        changed = list(changed)
        rollback.check(this_job, evidence, use_case, number, changed)
    if not any(_is_of_a_model(name, use_case) for name in changed):
        raise StepError(
            "changes_no_model",
            f"pull request #{number} changes no file that a model depends on, so its review approves no model",
            "merge a reviewed pull request that changes the model",
        )


def _refuse(
    number: int, head: str, approving: Sequence[Mapping[str, str]], others: Sequence[Mapping[str, str]]
) -> NoReturn:
    """Raise the reason why none of the approving reviews counts. others: those by people who wrote none of it."""
    hint = (
        "before the merge, a person with write access who wrote none of it must approve the pull request's last commit"
    )
    if approving and not others:
        raise StepError(
            "self_approval", f"{approving[0]['login']} approved pull request #{number}, but wrote a part of it", hint
        )
    if others and not any(review["commit_id"] == head for review in others):
        raise StepError(
            "review_of_other_commit",
            f"pull request #{number} was approved at {to_line(others[0]['commit_id'], 40)}, "
            f"but {to_line(head, 40)} was merged",
            hint,
        )
    raise StepError(
        "no_approving_review", f"no one with write access to the repository approved pull request #{number}", hint
    )


def _list_changed_files(this_job: Mapping[str, Any], number: int) -> Iterator[str]:
    """Return the files that a pull request changes or deletes; for a file that it moves, both names."""
    path = f"repos/{this_job['repository']}/pulls/{number}/files"
    for file in api.read_pages(path):
        yield api.require_field(path, file, "filename", str)
        yield str(file.get("previous_filename"))


def _is_of_a_model(file: str, use_case: str) -> bool:
    """Return whether the model of this use case depends on a file. It does not depend on those of another use case."""
    if file.startswith("usecases/") and file.count("/") > 1:
        return file.startswith(f"usecases/{use_case}/")
    return file in MODEL_FILES or file.startswith(MODEL_FOLDERS)


def _read_last_reviews(path: str) -> dict[str, dict[str, str]]:
    """
    Return each reviewer's last state, by login: a later dismissal or request for changes revokes an approval.

    A comment does not revoke it. GitHub documents that the list is in chronological order.
    """
    last: dict[str, dict[str, str]] = {}
    for review in api.read_pages(path):
        state, login = api.require_field(path, review, "state", str), api.require_login(path, review)
        if login is None or state in ("COMMENTED", "PENDING"):
            continue  # the approval of a deleted account does not count
        last[login.lower()] = {
            "login": login,
            "state": state,
            "commit_id": str(review.get("commit_id")),
            "body": to_line(api.require_field(path, review, "body", str)),
            "url": api.require_field(path, review, "html_url", str),
        }
    return last


def _may_write(this_job: Mapping[str, Any], login: str) -> bool:
    """Return whether the person may write to the repository. In a public one, anyone can submit an approving review."""
    path = f"repos/{this_job['repository']}/collaborators/{login}/permission"
    answer = api.get(path)
    return api.require_field(path, answer, "permission", str) in ("admin", "write")
