"""
Who said yes. The one place in the steps that knows GitHub.

A promotion without an approval is refused, whatever the verdict. There are three forms of it:

name    a person at a machine of their own names themselves, after reading the report
github  on GitHub, a required reviewer of the environment `production` let this run go on
merge   on GitHub, where the plan has no required reviewers: the approving review of the pull request that was merged

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
import urllib.request
from collections import Counter
from collections.abc import Mapping
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
_MAX_NAME_CHARS = 100
_MAX_NAME_WORDS = 12
# What names, logins and e-mail addresses have in addition to letters and digits. None of it makes a shell do something.
_NAME_MARKS = " .,'\u2019\u00b7\u30fb\u200c-\u2010_@+()\\"
_LOGIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98})(?:\[bot\])?")


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
    approvers = [login for login, _ in _approvals(here)]
    return {**here, "approvals": len(approvers), "approvers": approvers}


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
    approvals = _approvals(here)
    new = Counter(login for login, _ in approvals) - Counter(counted)
    if len(approvals) <= len(counted):
        raise StepError(
            "no_approval",
            f"nobody approved the environment {ENVIRONMENT!r} in this attempt "
            f"({len(approvals)} approvals, {len(counted)} of them from before the evaluation)",
            f"give the environment {ENVIRONMENT!r} required reviewers; one of them approves after reading the report",
        )
    starters = {str(here[key]).lower() for key in ("actor", "triggering_actor")}
    others = [login for login in new if login.lower() not in starters]
    if not others and not self_approval:
        raise StepError(
            "self_approval",
            f"{', '.join(sorted(new))} started this workflow run and approved it",
            "let another reviewer approve, or set [gate] self_approval = true in the use case's config.toml",
        )
    approver = (others or list(new))[0]
    comment = [comment for login, comment in approvals if login == approver][-1]
    return Approval(approver, "github", comment, _run_url(here))


def _approvals(here: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(login, comment) of every approval of the environment in this workflow run, all attempts."""
    path = f"repos/{here['repository']}/actions/runs/{here['run_id']}/approvals"
    found = []
    for review in _listed(path, _get(path)):
        environments = _field(path, review, "environments", list)
        names = [_field(path, environment, "name", str) for environment in environments]
        if _field(path, review, "state", str) == "approved" and ENVIRONMENT in names:
            found.append((_login(path, review), one_line(_field(path, review, "comment", str))))
    return found


# --- the merged pull request's review --------------------------------------------------------------------------------


def _by_merge(evidence: Mapping[str, Any]) -> Approval:
    here = _here()
    judged = evidence.get("github")
    if not isinstance(judged, dict) or any(judged.get(key) != here[key] for key in ("repository", "sha")):
        raise StepError(
            "evidence_of_other_commit",
            f"the evidence was not made on GitHub from commit {here['sha']}, which is what was merged",
            "evaluate in this workflow run",
        )
    path = f"repos/{here['repository']}/commits/{here['sha']}/pulls"
    merged = [pull for pull in _pages(path) if _is_merge(path, pull, here)]
    if not merged:
        raise StepError(
            "not_merged",
            f"no pull request that was merged into the default branch ends at commit {here['sha']}",
            "merge a reviewed pull request; a push to the branch approves nothing",
        )
    pull = merged[0]
    number, head = _field(path, pull, "number", int), _field(path, _field(path, pull, "head", dict), "sha", str)
    author = _login(path, pull)
    reviews = _last_reviews(f"repos/{here['repository']}/pulls/{number}/reviews")
    approving = [review for review in reviews.values() if review["state"] == "APPROVED"]
    others = [review for review in approving if review["login"].lower() != author.lower()]
    current = [review for review in others if review["commit_id"] == head]
    for review in current:
        if _may_write(here, review["login"]):
            return Approval(review["login"], "merge", review["body"], review["url"])
    hint = "a person with write access, other than the author, approves the pull request's last commit before the merge"
    if approving and not others:
        raise StepError("self_approval", f"{author} wrote pull request #{number} and approved it", hint)
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


def _last_reviews(path: str) -> dict[str, dict[str, str]]:
    """
    What each reviewer said last, by login: a later dismissal or request for changes takes an approval back.

    A comment takes nothing back. The list is in the order of time, says GitHub.
    """
    last: dict[str, dict[str, str]] = {}
    for review in _pages(path):
        state = _field(path, review, "state", str)
        if review.get("user") is None or state in ("COMMENTED", "PENDING"):
            continue  # an account that was deleted approves nothing
        login = _login(path, review)
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
        "sha": _variable("GITHUB_SHA", r"[0-9a-f]{40,64}"),
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


def _pages(path: str) -> list[Any]:
    """All of a list that GitHub gives in pages."""
    items: list[Any] = []
    for page in range(1, _MAX_PAGES + 1):
        part = _listed(path, _get(f"{path}?per_page={_PAGE}&page={page}"))
        items += part
        if len(part) < _PAGE:
            return items
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


def _login(path: str, item: Any) -> str:
    login = _field(path, _field(path, item, "user", dict), "login", str)
    if not _LOGIN.fullmatch(login):
        raise _unknown(path, "names somebody whose login is none")
    return str(login)


def _unknown(path: str, what: str) -> StepError:
    return StepError(
        "github_answer_unknown",
        f"GitHub's answer to GET /{path} {what}",
        "nothing is concluded from it; run the job again, and report it if it stays",
    )
