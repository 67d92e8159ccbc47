"""
Who said yes. The one place in the steps that knows GitHub.

A promotion without an approval is refused, whatever the verdict. There are three forms of it:

name    a person at a machine of their own names themselves, after reading the report
github  on GitHub, a required reviewer of the environment `production` let this run go on
merge   on GitHub, where the plan has no required reviewers: the approving review of the pull request that was merged

Whoever started the workflow run, or wrote what it judges, does not count.

A missing environment is created by GitHub without any protection, so a job that says `environment: production` proves
nothing: GitHub is asked who approved. What it answers is taken as input from outside: every type is checked, and an
answer of another shape is a refusal.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.text import one_line

ENVIRONMENT = "production"
WAYS = ("github", "merge")
TIMEOUT_S = 10
_MAX_ANSWER_BYTES = 8_000_000  # a hundred pull requests with all their fields are about 2 MB
_PAGE = 100  # the most that GitHub gives at once
_MAX_PAGES = 20
_MAX_COMMITS = 250  # of a pull request; GitHub lists no more
_MAX_NAME_CHARS = 100
_MAX_NAME_WORDS = 12
# What names, logins and e-mail addresses have in addition to letters and digits. None of it makes a shell do something.
_NAME_MARKS = " .,'\u2019\u00b7\u30fb\u200c-\u2010_@+()\\"
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})(?:\[bot\])?")
_SHA = r"[0-9a-f]{40,64}"
# What can change a model: the paths that start pipeline.yml, to which a test holds this list.
MODEL_FILES = (".github/workflows/pipeline.yml", "requirements.txt", "runner/images.py")
MODEL_FOLDERS = (".github/actions/", "docker/", "modelgate/", "steps/", "usecases/")


@dataclass(frozen=True)
class Approval:
    """One person's yes. how: name, github or merge. comment: what they wrote. url: where GitHub shows it, or None."""

    approver: str
    how: str
    comment: str = ""
    url: str | None = None


def check_flags(approver: str | None, how: str | None) -> None:
    """Refuse flags that cannot be an approval here, before anything is asked of anybody."""
    if approver is not None and how is not None:
        raise StepError(
            "two_approvals", "--approver and --approval were both given", "give one of the two", exit_code=WRONG_USE
        )
    if how is not None and not _on_github():
        raise StepError(
            "not_on_github",
            f"--approval {how} asks GitHub who approved its run, and this is no run of GitHub Actions",
            "read the report, then name yourself: --approver NAME",
        )
    if how is None and _on_github():
        raise StepError(
            "name_is_no_approval",
            "on GitHub a name on the command line approves nothing: whoever can edit the workflow could write it",
            "use --approval github, or promote from a machine of your own after reading the report",
        )
    if how is None and not one_line(approver or ""):
        raise StepError(
            "no_approval",
            "nobody approved this evidence",
            "read the report, then name yourself: --approver NAME",
        )
    if how is None and not is_name(approver or ""):
        raise StepError(
            "approver_not_a_name",
            f"--approver {one_line(approver, _MAX_NAME_CHARS)!r} is not a person's name, login or e-mail address",
            "name yourself as your colleagues know you: --approver 'Ada Lovelace'",
            WRONG_USE,
        )


def is_name(text: str) -> bool:
    """
    Whether a person, a login or an e-mail address may be called this: letters of any script, digits, a few marks.

    A line that was meant for a shell is not a name, and the ledger keeps what it is given forever. The runner asks the
    same before it starts anything (runner/approval.py).
    """
    words = text.split()
    kinds = [unicodedata.category(char)[0] for char in text]
    return (
        1 <= len(words) <= _MAX_NAME_WORDS
        and len(text) <= _MAX_NAME_CHARS
        and all(kind in "LMN" or char in _NAME_MARKS for kind, char in zip(kinds, text, strict=True))
        and all(word[0] != "-" and any(char.isalnum() for char in word) for word in words)
    )


def of(approver: str | None, how: str | None, evidence: Mapping[str, Any], *, self_approval: bool) -> Approval:
    """The approval of this evidence; refused by name when there is none. Flags have passed `check_flags`."""
    if how == "github":
        return _by_reviewer(evidence, self_approval)
    if how == "merge":
        return _by_merge(evidence)
    return Approval(one_line(approver or "", _MAX_NAME_CHARS), "name")


def context() -> dict[str, Any] | None:
    """
    Where this evaluation runs on GitHub, for the evidence; None elsewhere.

    approvals, approvers: how many approvals of the environment this workflow run has had so far, and whose. GitHub
    still lists those of earlier attempts, without their time, so promote must know which are not new.
    """
    if not _on_github():
        return None
    here = _here()
    approvers = [login for login, _ in _decisions(here)[0]]
    return {**here, "approvals": len(approvers), "approvers": approvers}


def commit() -> dict[str, Any] | None:
    """
    The commit of this workflow run in parts that outlive it, for the evidence; None elsewhere.

    In a pull request the commit is a merge that GitHub makes for this one run. It is on no branch, so the evidence
    also names the pull request, its last commit (`head`), what that was merged into (`base`), and the `tree` of the
    files, which is the same after a squash.
    """
    if not _on_github():
        return None
    here = _here()
    path = f"repos/{here['repository']}/git/commits/{here['sha']}"
    answer, number = _get(path), _pull_request()
    parents = [_sha(path, parent) for parent in _field(path, answer, "parents", list)]
    if number is not None and len(parents) != 2:
        raise _unknown(path, "is not a merge of two commits")
    base, head = (None, None) if number is None else parents
    tree = _sha(path, _field(path, answer, "tree", dict))
    return {"head": head, "base": base, "tree": tree, "pull_request": number}


# --- the environment's reviewers -------------------------------------------------------------------------------------


def _by_reviewer(evidence: Mapping[str, Any], self_approval: bool) -> Approval:
    here = _here()
    judged = evidence.get("github")
    same = ("repository", "run_id", "run_attempt")
    if not isinstance(judged, dict) or any(judged.get(key) != here[key] for key in same):
        raise StepError(
            "approval_other_attempt",
            f"the evidence is of {_attempt(judged)}, and this is {_attempt(here)}: an approval is for one attempt",
            "re-run all jobs, not the failed ones only, or dispatch promote.yml",
        )
    counted = judged.get("approvers")
    if not isinstance(counted, list) or not all(isinstance(login, str) for login in counted):
        raise StepError("evidence_unreadable", "the evidence does not say whose approvals it counted", "evaluate again")
    approvals, bypassed = _decisions(here)
    new = Counter(login for login, _ in approvals) - Counter(counted)
    if len(approvals) <= len(counted) and bypassed:
        raise StepError(
            "bypassed",
            f"an administrator started this job without waiting for a reviewer of the environment {ENVIRONMENT!r}",
            "re-run all jobs and let a reviewer approve; `make github-setup` switches the bypass off",
        )
    if len(approvals) <= len(counted):
        raise StepError(
            "no_approval",
            f"nobody approved the environment {ENVIRONMENT!r} in this attempt "
            f"({len(approvals)} approvals, {len(counted)} of them from before the evaluation)",
            f"give the environment {ENVIRONMENT!r} required reviewers; one of them approves after reading the report",
        )
    starters = _starters(here, _run(here))
    others = [login for login in new if login.lower() not in starters]
    if not others and not self_approval:
        raise StepError(
            "self_approval",
            f"{', '.join(sorted(new))} approved this workflow run, and started it or wrote what it judges",
            "let another reviewer approve, or set [gate] self_approval = true in the use case's config.toml",
        )
    approver = (others or list(new))[0]
    comment = [comment for login, comment in approvals if login == approver][-1]
    return Approval(approver, "github", comment, _run_url(here))


def _decisions(here: Mapping[str, Any]) -> tuple[list[tuple[str, str]], bool]:
    """
    (login, comment) of every approval of the environment in this workflow run, all attempts; and whether an
    administrator bypassed it, which GitHub calls `skipped`. An account that was deleted approves nothing.
    """
    path = f"repos/{here['repository']}/actions/runs/{here['run_id']}/approvals"
    approved, bypassed = [], False
    for review in _listed(path, _get(path)):
        environments = _field(path, review, "environments", list)
        names = [_field(path, environment, "name", str) for environment in environments]
        state = _field(path, review, "state", str)
        if ENVIRONMENT in names:
            bypassed |= state == "skipped"
            if state == "approved" and (login := _login(path, review)) is not None:
                approved.append((login, one_line(_field(path, review, "comment", str))))
    return approved, bypassed


# --- what a workflow run judges, and who started it ------------------------------------------------------------------


def _run(here: Mapping[str, Any]) -> dict[str, Any]:
    """This workflow run: its event, branch, commit, number and workflow."""
    path = f"repos/{here['repository']}/actions/runs/{here['run_id']}"
    answer = _get(path)
    kinds = {"event": str, "head_branch": str, "head_sha": str, "run_number": int, "workflow_id": int}
    return {name: _field(path, answer, name, kind) for name, kind in kinds.items()}


def _pull_request() -> int | None:
    """The number of the pull request in whose workflow run this is; None for the run of a branch."""
    found = re.fullmatch(r"refs/pull/([0-9]{1,9})/merge", _variable("GITHUB_REF", r"refs/\S{1,500}"))
    return int(found[1]) if found else None


def _starters(here: Mapping[str, Any], run: Mapping[str, Any]) -> set[str]:
    """
    Who does not count as a reviewer of this workflow run, in lower case: who started it, and who wrote what it judges.

    Whoever merged a pull request did no more than that. Refused if something newer is to be approved instead.
    """
    started = {here["actor"], here["triggering_actor"]}
    number = _pull_request()
    pull: dict[str, Any] | None = None
    if number is not None:
        pull = _open_pull(here, run, number)
    else:
        _check_newest(here, run)
        if run["event"] == "push" and (pull := _merged(here)) is not None:
            started.discard(here["actor"])
    return {login.lower() for login in started} | (set() if pull is None else _writers(here, pull))


def _open_pull(here: Mapping[str, Any], run: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The pull request; refused if it is closed, or if its last commit is not the one of this workflow run."""
    path = f"repos/{here['repository']}/pulls/{number}"
    pull = _get(path)
    if _field(path, pull, "state", str) != "open":
        raise StepError(
            "pull_request_closed",
            f"pull request #{number} is closed",
            "reopen it, or promote from main what was merged",
        )
    head = _sha(path, _field(path, pull, "head", dict))
    if head != run["head_sha"]:
        raise StepError(
            "pull_request_moved",
            f"pull request #{number} is at commit {head} by now, and another one was evaluated",
            "approve the workflow run of its last commit",
        )
    return dict(pull)


def _check_newest(here: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Refused if a later push to the branch has a workflow run of its own. One that ended without success is none."""
    path = f"repos/{here['repository']}/actions/workflows/{run['workflow_id']}/runs"
    branch = urllib.parse.quote(run["head_branch"], safe="")
    answer = _get(f"{path}?event=push&branch={branch}&per_page={_PAGE}")
    for other in _field(path, answer, "workflow_runs", list):
        failed = _field(path, other, "status", str) == "completed" and other.get("conclusion") != "success"
        if _field(path, other, "run_number", int) > run["run_number"] and not failed:
            raise StepError(
                "superseded",
                f"a newer commit of {one_line(run['head_branch'], 100)} is evaluated in workflow run "
                f"{_field(path, other, 'id', int)}",
                "approve that one; or promote this version with promote.yml",
            )


def _writers(here: Mapping[str, Any], pull: Mapping[str, Any]) -> set[str]:
    """Who opened a pull request, and the authors and committers of its commits, in lower case."""
    pulls = f"repos/{here['repository']}/pulls"
    number = _field(pulls, pull, "number", int)
    path = f"{pulls}/{number}/commits"
    commits = list(_pages(path))
    if len(commits) >= _MAX_COMMITS:
        raise StepError(
            "too_many_commits",
            f"pull request #{number} has {_MAX_COMMITS} commits or more, and GitHub does not tell who wrote the rest",
            "squash its commits, or split it",
        )
    people = [_login(path, commit, who) for commit in commits for who in ("author", "committer")]
    return {login.lower() for login in [_login(pulls, pull), *people] if login is not None}


# --- the merged pull request's review --------------------------------------------------------------------------------


def _by_merge(evidence: Mapping[str, Any]) -> Approval:
    here = _here()
    judged = evidence.get("github")
    if not isinstance(judged, dict) or any(judged.get(key) != here[key] for key in ("repository", "run_id", "sha")):
        raise StepError(
            "evidence_of_other_commit",
            f"the evidence was not made in this workflow run from commit {here['sha']}, which is what was merged",
            "evaluate in this workflow run",
        )
    run = _run(here)
    if run["event"] != "push":
        raise StepError(
            "not_a_push",
            f"--approval merge was given in a workflow run that a {one_line(run['event'], 40)} started: "
            "the review of a pull request is of what its merge pushes, and of nothing else",
            "merge a reviewed pull request that makes the change",
        )
    policy = evidence.get("policy")
    if not isinstance(policy, dict) or policy.get("name") == "rollback":
        raise StepError(
            "rollback_by_merge",
            "the evidence is of a rollback, which no pull request has asked for",
            "revert the change in a pull request; or roll back from a machine of your own",
        )
    _check_newest(here, run)
    pull = _merged(here)
    if pull is None:
        raise StepError(
            "not_merged",
            f"no pull request that was merged into the default branch ends at commit {here['sha']}",
            "merge a reviewed pull request; a push to the branch approves nothing",
        )
    pulls = f"repos/{here['repository']}/pulls"
    number, head = _field(pulls, pull, "number", int), _field(pulls, _field(pulls, pull, "head", dict), "sha", str)
    if not _can_change_a_model(here, number):
        raise StepError(
            "changes_no_model",
            f"pull request #{number} changes no file that a model depends on, so its review is of no model",
            "merge a reviewed pull request that changes the model",
        )
    writers = _writers(here, pull)
    reviews = _last_reviews(f"{pulls}/{number}/reviews")
    approving = [review for review in reviews.values() if review["state"] == "APPROVED"]
    others = [review for review in approving if review["login"].lower() not in writers]
    current = [review for review in others if review["commit_id"] == head]
    for review in current:
        if _may_write(here, review["login"]):
            return Approval(review["login"], "merge", review["body"], review["url"])
    hint = "a person with write access who wrote none of it approves the pull request's last commit before the merge"
    if approving and not others:
        raise StepError(
            "self_approval", f"{approving[0]['login']} approved pull request #{number} and wrote a part of it", hint
        )
    if others and not current:
        raise StepError(
            "review_of_other_commit",
            f"pull request #{number} was approved at {one_line(others[0]['commit_id'], 40)}, "
            f"and {one_line(head, 40)} was merged",
            hint,
        )
    raise StepError(
        "no_approving_review", f"nobody who may write to the repository approved pull request #{number}", hint
    )


def _merged(here: Mapping[str, Any]) -> dict[str, Any] | None:
    """The pull request whose merge into the default branch made the commit of this run; None without one."""
    path = f"repos/{here['repository']}/commits/{here['sha']}/pulls"
    return next((pull for pull in _pages(path) if _is_merge(path, pull, here)), None)


def _is_merge(path: str, pull: Any, here: Mapping[str, Any]) -> bool:
    """Whether merging this pull request into the default branch is what made the commit of this run."""
    base, head = _field(path, pull, "base", dict), _field(path, pull, "head", dict)
    repository = _field(path, base, "repo", dict)
    return (
        isinstance(pull.get("merged_at"), str)
        and _field(path, repository, "full_name", str) == here["repository"]
        and _field(path, base, "ref", str) == _field(path, repository, "default_branch", str)
        and here["sha"] in (pull.get("merge_commit_sha"), _field(path, head, "sha", str))
    )


def _can_change_a_model(here: Mapping[str, Any], number: int) -> bool:
    """Whether a pull request changes, moves or deletes a file that a model depends on."""
    path = f"repos/{here['repository']}/pulls/{number}/files"
    for file in _pages(path):
        for name in (_field(path, file, "filename", str), str(file.get("previous_filename"))):
            if name in MODEL_FILES or name.startswith(MODEL_FOLDERS):
                return True
    return False


def _last_reviews(path: str) -> dict[str, dict[str, str]]:
    """
    What each reviewer said last, by login: a later dismissal or request for changes takes an approval back.

    A comment takes nothing back. The list is in the order of time, says GitHub.
    """
    last: dict[str, dict[str, str]] = {}
    for review in _pages(path):
        state, login = _field(path, review, "state", str), _login(path, review)
        if login is None or state in ("COMMENTED", "PENDING"):
            continue  # an account that was deleted approves nothing
        last[login.lower()] = {
            "login": login,
            "state": state,
            "commit_id": str(review.get("commit_id")),
            "body": one_line(_field(path, review, "body", str)),
            "url": _field(path, review, "html_url", str),
        }
    return last


def _may_write(here: Mapping[str, Any], login: str) -> bool:
    """Whether the person may write to the repository: in a public one anybody at all can submit an approving review."""
    path = f"repos/{here['repository']}/collaborators/{login}/permission"
    answer = _get(path)
    return _field(path, answer, "permission", str) in ("admin", "write")


# --- asking GitHub ---------------------------------------------------------------------------------------------------


def _on_github() -> bool:
    return bool(os.environ.get("GITHUB_ACTIONS"))


def _here() -> dict[str, Any]:
    """This job, from the variables that GitHub sets."""
    logins = _LOGIN.pattern
    return {
        "repository": _variable("GITHUB_REPOSITORY", r"[A-Za-z0-9][\w-]*/(?!\.\.?$)[\w.-]+"),
        "run_id": int(_variable("GITHUB_RUN_ID", r"[0-9]{1,18}")),
        "run_attempt": int(_variable("GITHUB_RUN_ATTEMPT", r"[0-9]{1,9}")),
        "sha": _variable("GITHUB_SHA", _SHA),
        "actor": _variable("GITHUB_ACTOR", logins),
        "triggering_actor": _variable("GITHUB_TRIGGERING_ACTOR", logins),
    }


def _variable(name: str, pattern: str) -> str:
    value = os.environ.get(name, "")
    if not re.fullmatch(pattern, value, re.ASCII):
        raise StepError(
            "github_variable",
            f"{name} is {one_line(value, 100)!r}, which is not what GitHub sets",
            f"pass {name} on to the step as GitHub gives it",
            WRONG_USE,
        )
    return value


def _attempt(where: object) -> str:
    """A workflow run's attempt, for people."""
    if not isinstance(where, dict):
        return "no workflow run on GitHub"
    return one_line(f"run {where.get('run_id')} of {where.get('repository')}, attempt {where.get('run_attempt')}", 200)


def _run_url(here: Mapping[str, Any]) -> str:
    """The attempt's page."""
    server = _variable("GITHUB_SERVER_URL", r"https?://[\w.:-]+")
    return f"{server}/{here['repository']}/actions/runs/{here['run_id']}/attempts/{here['run_attempt']}"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: urllib would hand the token on to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _get(path: str) -> Any:
    """The JSON that GitHub answers; not reachable within 10 s, refused, or no JSON: a StepError without the token."""
    base, token = _api_url(), os.environ.get("GITHUB_TOKEN", "")
    if not re.fullmatch(r"[\x21-\x7e]+", token):
        raise StepError("github_token", "GITHUB_TOKEN is not set", "pass ${{ github.token }} to the step", WRONG_USE)
    request = urllib.request.Request(  # noqa: S310 - the scheme is checked in _api_url
        f"{base}/{path}",
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "User-Agent": "modelgate",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=TIMEOUT_S) as answer:
            return json.loads(_body(answer))
    except urllib.error.HTTPError as error:
        raise StepError(
            "github_refused",
            f"{base} answered {error.code} to GET /{path}",
            "give the job `actions: read`, `pull-requests: read` and `contents: read`, and pass GITHUB_TOKEN",
            UNREACHABLE if error.code >= 500 else WRONG_USE,
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise StepError(
            "github_unreachable",
            f"{base} did not answer GET /{path} within {TIMEOUT_S} s: {type(error).__name__}",
            "look at https://www.githubstatus.com, then run the job again",
            UNREACHABLE,
        ) from None
    except (ValueError, RecursionError):
        raise _unknown(path, "is no JSON") from None


def _api_url() -> str:
    """Where GitHub's API is: https, or this machine, because the token goes there."""
    address = r"(https://[\w.-]+|http://127\.0\.0\.1)(:[0-9]{1,5})?(/[\w./-]*)?"
    return _variable("GITHUB_API_URL", address).rstrip("/")


def _body(answer: http.client.HTTPResponse) -> bytes:
    """The whole answer, within the time and size that are given to it."""
    deadline, body = time.monotonic() + TIMEOUT_S, b""
    while chunk := answer.read1(65536):
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            raise ValueError("larger than any answer that is asked for")
        if time.monotonic() > deadline:
            raise TimeoutError
    return body


def _pages(path: str) -> Iterator[Any]:
    """All of a list that GitHub gives in pages, each of them asked for when it is needed."""
    for page in range(1, _MAX_PAGES + 1):
        part = _listed(path, _get(f"{path}?per_page={_PAGE}&page={page}"))
        yield from part
        if len(part) < _PAGE:
            return
    raise _unknown(path, f"has more than {_MAX_PAGES} pages")


def _listed(path: str, answer: Any) -> list[Any]:
    if not isinstance(answer, list):
        raise _unknown(path, "is no list")
    return answer


def _field(path: str, item: Any, name: str, kind: type) -> Any:
    """A field that GitHub documents; missing or of another type is an answer that nothing is concluded from."""
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise _unknown(path, f"has no {kind.__name__} {name!r}")
    return value


def _login(path: str, item: Any, who: str = "user") -> str | None:
    """Somebody's login; None for nobody: a deleted account, or a commit whose author GitHub does not know."""
    if isinstance(item, dict) and not item.get(who):
        return None
    login = _field(path, _field(path, item, who, dict), "login", str)
    if not _LOGIN.fullmatch(login):
        raise _unknown(path, "names somebody who has an invalid login")
    return str(login)


def _sha(path: str, item: Any) -> str:
    """The hash of a commit or tree."""
    sha = _field(path, item, "sha", str)
    if not re.fullmatch(_SHA, sha):
        raise _unknown(path, "has a 'sha' that is not one")
    return str(sha)


def _unknown(path: str, what: str) -> StepError:
    return StepError(
        "github_answer_unknown",
        f"GitHub's answer to GET /{path} {what}",
        "nothing is concluded from it; run the job again, and report it if it stays",
    )
