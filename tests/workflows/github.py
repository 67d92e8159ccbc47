"""
A fake of the parts of GitHub's API that the workflows use, on a port of this machine: workflow runs and their
approvals, commits, the pull request, comments.

Answers have the shape of GitHub's published API, as far as it is read.
"""

from __future__ import annotations

import json
import os
import re
from urllib.parse import parse_qs, urlsplit

from tests.fake_server import FakeServer, Request
from tests.workflows.files import ACTIONS


class _Handler(Request):
    def do_GET(self):
        self.note()
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if run := re.fullmatch(rf"{self.server.at}/actions/runs/(\d+)/approvals", url.path):
            self.say(self.server.approvals[int(run[1])]())
        elif url.path == f"{self.server.at}/deployments":
            self.say([{"id": 5}])
        elif url.path == f"{self.server.at}/deployments/5/statuses":
            pages = [f"https://github.com{self.server.at}/actions/runs/{run}/job/1" for run in self.server.approvals]
            self.say([{"log_url": page.replace("/repos", "", 1)} for page in pages])
        elif (answer := self.server.answers.get(url.path)) is not None:
            self.say(answer() if callable(answer) else answer)
        elif run := re.fullmatch(rf"{self.server.at}/commits/([0-9a-f]+)/check-runs", url.path):
            same = [
                row for row in self.server.checks if (row["name"], row["head_sha"]) == (query["check_name"], run[1])
            ]
            self.say({"total_count": len(same), "check_runs": same})
        elif url.path == f"{self.server.at}/issues":
            first = 100 * (int(query["page"]) - 1)
            self.say(self.server.issues[first : first + 100])
        elif url.path == f"{self.server.at}/pulls":
            self.say([pull for pull in self.server.pulls if pull["head"]["label"] == query["head"]])
        else:
            first = 100 * (int(query["page"]) - 1)
            self.say(self.server.comments[first : first + 100])

    def do_POST(self):
        if self.path == f"{self.server.at}/issues":
            fields = {"number": 40 + len(self.server.issues), "state": "open", "user": {"login": "github-actions[bot]"}}
            self.server.issues.append(fields | self.body())
            self.say(self.server.issues[-1])
            return
        if self.path == f"{self.server.at}/check-runs":
            row = {"id": len(self.server.checks), "app": {"slug": "github-actions"}} | self.body()
            self.server.checks.append(row)
            self.say(row)
            return
        if self.path == f"{self.server.at}/deployments/5/statuses":
            self.server.deployed.append(self.body())
            self.say(self.server.deployed[-1], 201)
            return
        self.note()
        assert self.path == f"{self.server.at}/issues/7/comments"
        self.server.comments.append(comment(len(self.server.comments), self.body()["body"]))
        self.say(self.server.comments[-1])

    def do_PATCH(self):
        if issue := re.fullmatch(rf"{self.server.at}/issues/(\d+)", self.path):
            self.server.issues[int(issue[1]) - 40] |= self.body()
            self.say({})
            return
        if self.path.startswith(f"{self.server.at}/check-runs/"):
            self.server.checks[int(self.path.rpartition("/")[2])] |= self.body()
            self.say({})
            return
        self.note()
        number = int(self.path.removeprefix(f"{self.server.at}/issues/comments/"))
        self.server.comments[number]["body"] = self.body()["body"]
        self.say({})

    def note(self):
        self.server.asked.append((self.command, self.headers["Authorization"]))

    def body(self):
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))


class GitHub(FakeServer):
    """The comments of pull request 7, the open pull requests, and the approvals of workflow runs."""

    def __init__(self, repository):
        self.at = f"/repos/{repository}"
        self.comments = []
        self.checks = []
        self.issues = []
        self.pulls = []
        self.approvals = {}  # a workflow run's id to a function that returns its approvals so far
        self.answers = {self.at: {"visibility": "private"}}  # other answers, by path
        self.deployed = []  # the statuses that promote set for its deployment
        self.asked = []
        super().__init__(_Handler)

    def changes(self):
        return [method for method, _ in self.asked if method != "GET"]


def comment(number, body, login="github-actions[bot]"):
    return {"id": number, "body": body, "user": {"login": login}}


def of_action(github):
    """Return the variables that every action's script has, with this GitHub; the action's inputs come on top."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ACTIONS),
        "GITHUB_API_URL": github.url,
        "GITHUB_REPOSITORY": "team/models",
        "GITHUB_TOKEN": "t",
    }
