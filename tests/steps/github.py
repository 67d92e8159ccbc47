"""A fake of GitHub's API, with the answers that the approval reads."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from tests.fake_server import FakeServer, Request

TOKEN = "ghs_TheTokenThatNobodyMayRead"
REPOSITORY = "team/models"
HEAD, MERGE, OTHER = "a" * 40, "b" * 40, "c" * 40
RUN = f"/repos/{REPOSITORY}/actions/runs/4711/approvals"
PULLS = f"/repos/{REPOSITORY}/commits/{MERGE}/pulls"
PULL = f"/repos/{REPOSITORY}/pulls/7"
COMMITS, FILES, REVIEWS = (f"{PULL}/{what}" for what in ("commits", "files", "reviews"))
THIS_RUN = f"/repos/{REPOSITORY}/actions/runs/4711"
NEWER_JOBS = f"/repos/{REPOSITORY}/actions/runs/4712/jobs"
ITS_WORKFLOW = f"/repos/{REPOSITORY}/actions/workflows/12/runs"
DEPLOYMENTS = f"/repos/{REPOSITORY}/deployments"
THIS_COMMIT = f"/repos/{REPOSITORY}/git/commits/{MERGE}"
TREE = "d" * 40


class _Handler(Request):
    def do_GET(self):
        url = urlsplit(self.path)
        self.server.asked.append((self.path, self.headers["Authorization"]))
        answer = self.server.answers.get(url.path, 404)
        if callable(answer):
            answer(self)
        elif isinstance(answer, int):
            headers = {"Location": f"{self.server.url}/elsewhere"} if answer == 302 else {}
            self.say({}, answer, **headers)
        elif isinstance(answer, list) and url.path != RUN:  # GitHub returns those complete
            query = parse_qs(url.query)
            size, page = (int(query.get(key, [default])[0]) for key, default in (("per_page", 30), ("page", 1)))
            self.say(answer[size * (page - 1) : size * page])
        else:
            self.say(answer)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posted.append((self.path, body, self.headers["Authorization"]))
        if self.server.refuses_posts:
            self.say({}, self.server.refuses_posts)
        else:
            self.say(
                b"" if self.path.endswith("/dispatches") else {}, 204 if self.path.endswith("/dispatches") else 201
            )


class GitHub(FakeServer):
    """
    Answers GET by path: a list or object as JSON, bytes as they are, a number as that status; a function gets the
    request and answers it. Accepts every POST, unless `refuses_posts` is a status.
    """

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.posted = []
        self.refuses_posts = 0
        super().__init__(_Handler)


def evidence(**changes):
    """Return evidence of this attempt, made before anyone approved."""
    run = {"repository": REPOSITORY, "run_id": 4711, "run_attempt": 2, "sha": MERGE}
    people = {"actor": "ada", "triggering_actor": "ada", "approvals": 0, "approvers": []}
    return {"github": run | people | changes, "policy": {"name": "no_worse"}}


def user(login):
    urls = ("url", "html_url", "followers_url", "following_url", "gists_url", "starred_url", "subscriptions_url")
    urls += ("organizations_url", "repos_url", "events_url", "received_events_url", "avatar_url")
    fields = {"login": login, "id": 1, "node_id": "U_1", "gravatar_id": None, "type": "User", "site_admin": False}
    return fields | {key: f"https://api.github.com/{login}/{key}" for key in urls}


def approved(login, comment="Looks right.", environment="production", state="approved"):
    deployment_environment = {
        "id": 5,
        "node_id": "E_5",
        "name": environment,
        "url": "https://api.github.com/e",
        "html_url": "https://x",
    }
    times = {"created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"}
    return {"state": state, "comment": comment, "environments": [deployment_environment | times], "user": user(login)}


def workflow_run(**changes):
    """Return a workflow run of a push to main."""
    fields = {"id": 4711, "node_id": "WFR_1", "run_number": 9, "workflow_id": 12, "path": ".github/workflows/p.yml"}
    fields |= {"event": "push", "head_branch": "main", "head_sha": MERGE, "status": "in_progress", "conclusion": None}
    fields |= {"display_title": "Better", "pull_requests": [], "head_commit": None}
    fields |= {"created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"}
    kinds = ("url", "html_url", "jobs_url", "logs_url", "check_suite_url", "cancel_url", "rerun_url", "artifacts_url")
    fields |= {key: f"https://api.github.com/{key}" for key in (*kinds, "workflow_url")}
    return fields | {"head_repository": repository(), "repository": repository()} | changes


def jobs(*names):
    """Return the jobs of a workflow run; a model's jobs have the names that the called workflow gives them."""
    return {"total_count": len(names), "jobs": [{"id": 1, "run_id": 4712, "name": name} for name in names]}


def commit(author="ada", committer="web-flow"):
    """Return a commit of a pull request; as on GitHub, None is an email address without an account."""
    urls = {key: f"https://api.github.com/{key}" for key in ("url", "html_url", "comments_url")}
    people = {"author": author and user(author), "committer": committer and user(committer)}
    return {"sha": HEAD, "node_id": "C_1", "commit": {"message": "Better"}, "parents": []} | urls | people


def file(name="usecases/glyphs/model.py", **changes):
    urls = {key: f"https://github.com/{key}" for key in ("blob_url", "raw_url", "contents_url")}
    counts = {"additions": 1, "deletions": 0, "changes": 1}
    return {"filename": name, "sha": OTHER, "status": "modified"} | urls | counts | changes


def git_commit(*parents):
    fields = {"sha": MERGE, "node_id": "C_2", "url": "https://x", "html_url": "https://x", "message": "Merge"}
    when = {"name": "Ada", "email": "ada@example.org", "date": "2026-11-01T10:00:00Z"}
    verification = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
    sides = [{"sha": parent, "url": "https://x", "html_url": "https://x"} for parent in parents]
    tree = {"sha": TREE, "url": "https://x"}
    return fields | {"author": when, "committer": when, "tree": tree, "parents": sides, "verification": verification}


def repository():
    return {"full_name": REPOSITORY, "default_branch": "main", "name": "models"}


def pull(author="ada", number=7, **changes):
    side = {"label": "team:x", "user": user(author), "repo": repository()}
    return {
        "number": number,
        "state": "closed",
        "user": user(author),
        "merged_at": "2026-11-02T10:00:00Z",
        "merge_commit_sha": MERGE,
        "head": side | {"ref": "better", "sha": HEAD},
        "base": side | {"ref": "main", "sha": OTHER},
    } | changes


def open_pull(**changes):
    return pull(state="open", merged_at=None) | changes


def review(login, state="APPROVED", commit=HEAD, body="Ship it."):
    page = f"https://github.com/{REPOSITORY}/pull/7#pullrequestreview-1"
    links = {"html": {"href": page}, "pull_request": {"href": page}}
    fields = {"id": 80, "node_id": "PRR_80", "html_url": page, "pull_request_url": page, "_links": links}
    content = {"user": user(login), "state": state, "commit_id": commit, "body": body, "author_association": "MEMBER"}
    return fields | content


def may_write(login, permission="write"):
    path = f"/repos/{REPOSITORY}/collaborators/{login}/permission"
    return {path: {"permission": permission, "role_name": permission, "user": user(login)}}


def deployment(number):
    urls = dict.fromkeys(("url", "statuses_url", "repository_url"), "https://x")
    fields = {"id": number, "node_id": f"D_{number}", "sha": MERGE, "ref": "main", "task": "deploy", "payload": {}}
    when = {"created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"}
    return fields | urls | when | {"environment": "production", "description": None, "creator": user("bob")}


def deployment_status(run, **changes):
    """Return a deployment as a workflow run's job leaves it."""
    page = f"https://github.com/{REPOSITORY}/actions/runs/{run}/job/9"
    urls = dict.fromkeys(("url", "deployment_url", "repository_url", "environment_url"), "https://x")
    fields = {"id": 1, "node_id": "DS_1", "state": "in_progress", "creator": user("bob"), "description": ""}
    when = {"created_at": "2026-11-01T10:00:00Z", "updated_at": "2026-11-01T10:00:00Z"}
    return fields | urls | when | {"environment": "production", "log_url": page, "target_url": page} | changes


def deployments():
    """Return two deployments to the environment: another workflow run's, and before it this run's."""
    statuses = {f"{DEPLOYMENTS}/9/statuses": [deployment_status(47110)]}
    return {
        DEPLOYMENTS: [deployment(9), deployment(8)],
        f"{DEPLOYMENTS}/8/statuses": [deployment_status(4711)],
    } | statuses
