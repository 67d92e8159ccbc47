"""
What the workflows ask of GitHub's API, on a port of this machine: approvals of workflow runs, comments.

Answers have the shape of GitHub's published API, as far as it is read.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class GitHub:
    """The comments of pull request 7, the open pull requests, and the approvals of workflow runs."""

    def __init__(self, repository):
        at = f"/repos/{repository}"
        self.comments = []
        self.pulls = []
        self.approvals = {}  # a workflow run's id to a function that gives what there is by now
        self.asked = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(url.query).items()}
                if run := re.fullmatch(rf"{at}/actions/runs/(\d+)/approvals", url.path):
                    return self.say(outer.approvals[int(run[1])]())
                if url.path == f"{at}/pulls":
                    return self.say([pull for pull in outer.pulls if pull["head"]["label"] == query["head"]])
                first = 100 * (int(query["page"]) - 1)
                return self.say(outer.comments[first : first + 100])

            def do_POST(self):
                assert self.path == f"{at}/issues/7/comments"
                outer.comments.append(comment(len(outer.comments), self.body()["body"]))
                self.say(outer.comments[-1])

            def do_PATCH(self):
                number = int(self.path.removeprefix(f"{at}/issues/comments/"))
                outer.comments[number]["body"] = self.body()["body"]
                self.say({})

            def body(self):
                return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

            def say(self, answer):
                outer.asked.append((self.command, self.headers["Authorization"]))
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def changes(self):
        return [method for method, _ in self.asked if method != "GET"]


def comment(number, body, login="github-actions[bot]"):
    return {"id": number, "body": body, "user": {"login": login}}
