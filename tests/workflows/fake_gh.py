"""
A `gh` that answers from a repository's settings in memory instead of asking GitHub, and records every call.

The program `gh` passes its words and its standard input on to this process, which answers: a thousand starts of Python
would take half a minute. The settings map a path to its answer and change as on GitHub, so that later queries see it.
Answers have the shape of GitHub's published API.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import socketserver
import threading
from pathlib import Path

# Every text ends with a NUL: first the number of words, the words, the input; then the exit code and both outputs.
PROGRAM = """#!{bash}
LC_ALL=C
[ -t 0 ] || IFS= read -r -d "" given
exec 3<>/dev/tcp/127.0.0.1/{port}
printf "%s\\0" "$#" "$@" "$given" >&3
IFS= read -r -d "" code <&3
IFS= read -r -d "" output <&3
IFS= read -r -d "" errors <&3
printf "%s" "$output"
printf "%s" "$errors" >&2
exit "$code"
"""


class FakeGH(socketserver.TCPServer):
    """Answers the program `gh` in a folder until it is closed."""

    def __init__(self, folder: Path, state):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state, self.calls = state, []
        program = folder / "gh"
        program.write_text(PROGRAM.format(bash=shutil.which("bash"), port=self.server_address[1]))
        program.chmod(0o755)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):  # macOS does not support this for a listening socket
            self.socket.shutdown(socket.SHUT_RDWR)
        self.shutdown()
        self.server_close()

    @property
    def state(self):
        return json.loads(self._state)

    @state.setter
    def state(self, state):
        self._state = json.dumps(state)

    def call(self, args, given):
        """Return the exit code, the output and the errors of a call."""
        self.calls.append({"words": args, "given": given})
        state = self.state
        if state.get("down"):
            return 1, "", "error connecting to api.github.com\n"
        if state.get("logged_out"):
            lines = ("To get started with GitHub CLI, please run:  gh auth login",)
            lines += ("Alternatively, populate the GH_TOKEN environment variable with a token.",)
            return 4, "", "".join(f"{line}\n" for line in lines)
        if args[0] == "api" and "--method" not in args:
            path, _, query = args[1].partition("?")
            return answer(page(state.get(path, 404), dict(pair.split("=") for pair in query.split("&") if pair)))
        try:
            change(state, args, json.loads(given) if args[-2:] == ["--input", "-"] else given)
        except Refusal as refusal:
            return 1, "", f"gh: {refusal}\n"
        self.state = state
        return 0, "", ""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        words = [self.read() for _ in range(int(self.read()))]
        answered = self.server.call(words, self.read())
        self.wfile.write("".join(f"{text}\0" for text in answered).encode())

    def read(self):
        text = bytearray()
        while (byte := self.rfile.read(1)) not in (b"\0", b""):
            text += byte
        return text.decode()


class Refusal(Exception):
    """GitHub's answer to a change that it does not make."""


def page(content, query):
    """Return a part of a list as GitHub does: thirty rows by default, and never more than it allows."""
    if isinstance(content, int | str):
        return content
    size = min(int(query.get("per_page", 30)), 30 if "variables" in content else 100)
    first = size * (int(query.get("page", 1)) - 1)
    if isinstance(content, list):
        return content[first : first + size]
    if isinstance(content, dict) and len(content) <= 2:
        return {key: rows[first : first + size] if isinstance(rows, list) else rows for key, rows in content.items()}
    return content


def answer(content):
    if isinstance(content, str):
        return 1, "", f"gh: {content}\n"
    if isinstance(content, int):
        return 1, "", f"gh: it says {content} (HTTP {content})\n"
    return 0, f"{json.dumps(content)}\n", ""


def change(state, args, body):
    if args[:2] in (["secret", "set"], ["secret", "delete"]):
        scope = f"environments/{args[args.index('--env') + 1]}" if "--env" in args else "actions"
        path = f"repos/{args[args.index('--repo') + 1]}/{scope}/secrets"
        rows = [row for row in state.setdefault(path, {"secrets": []})["secrets"] if row["name"] != args[2]]
        state[path]["secrets"] = rows + ([{"name": args[2]}] if args[1] == "set" else [])
        return
    method, path = args[2], args[3]
    if state.get("refuses") == path:
        raise Refusal(f"Validation Failed, in {json.dumps(body)} (HTTP 422)")
    if path.rpartition("/")[0].endswith("/environments"):
        reviewers = [
            {"type": reviewer["type"], "reviewer": {"id": reviewer["id"]}} for reviewer in body.get("reviewers") or []
        ]
        rule = {"type": "required_reviewers", "prevent_self_review": body.get("prevent_self_review", False)}
        state[path] = {
            "protection_rules": [rule | {"reviewers": reviewers}] if reviewers else [],
            "deployment_branch_policy": body.get("deployment_branch_policy"),
            "can_admins_bypass": body.get("can_admins_bypass", True),
        }
    elif path.endswith("/deployment-branch-policies"):
        rows = state.setdefault(path, {"branch_policies": []})["branch_policies"]
        rows.append({"id": 100 + len(rows), "name": body["name"]})
    elif method == "DELETE":
        folder, _, number = path.rpartition("/")
        rows = state[folder]["branch_policies"]
        state[folder]["branch_policies"] = [row for row in rows if row["id"] != int(number)]
    elif "/actions/variables" in path:
        rows = state[path.partition("/variables")[0] + "/variables"]["variables"]
        rows[:] = [row for row in rows if row["name"] != body["name"]] + [body]
    elif path.endswith("/rulesets"):
        rows = state.setdefault(path, [])
        if body["name"] in [row["name"] for row in rows]:
            raise Refusal("Validation Failed: Name must be unique (HTTP 422)")
        rows.append({"id": 40 + len(rows), "name": body["name"]})
        state[path.replace("/rulesets", "/rules/branches/main")] = body["rules"]
    elif "/rulesets/" in path:
        repository, _, number = path.partition("/rulesets/")
        assert int(number) in [row["id"] for row in state[f"{repository}/rulesets"]]
        state[f"{repository}/rules/branches/main"] = body["rules"]
    elif path.endswith("/enable"):
        workflows, _, number = path.removesuffix("/enable").rpartition("/")
        (row,) = (row for row in state[workflows]["workflows"] if row["id"] == int(number))
        row["state"] = "active"
    elif path.endswith("/rename"):
        repository = path.split("/branches/")[0]
        state[repository]["default_branch"] = body["new_name"]
    else:
        state[path] = state.get(path, {}) | body
