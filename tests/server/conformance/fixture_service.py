"""
Users, organizations and teams for W&B's tests, which ask a service next to the server for them.

POST /db/user, /db/organization, /db/team with a JSON command, as W&B's `backend_fixtures.py` sends it. Behind it is
what a person would type: `python -m modelgate_server admin`. A user's API key is the username.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from modelgate_server import admin
from modelgate_server.errors import StartError


def commands(path: str, body: dict[str, Any]) -> list[list[str]]:
    """What `python -m modelgate_server admin` has to be told; nothing for what needs no doing here."""
    data = body.get("fixtureData") or {}
    match path, body["command"]:
        case "/db/user", "up":
            name = body["username"]
            return [["add-user", name, "--key", name, *(["--server-admin"] if body.get("admin") else [])]]
        case "/db/user", "down":
            return [["revoke-user", body["username"]]]
        case "/db/organization", "up":
            return [["add-organization", body["orgName"], "--admin", body["username"]]]
        case "/db/organization", "add_members":
            members = data["members"]
            return [["add-member", body["orgName"], one["username"], "--role", one["role"]] for one in members]
        case "/db/team", "up":
            team, organization = data["team"]["name"], data["organization"]["name"]
            return [["add-team", team, "--organization", organization, "--admin", body["username"]]]
    return []


class Handler(BaseHTTPRequestHandler):
    data: ClassVar[Path]
    lock: ClassVar[threading.Lock]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            with self.lock:
                for command in commands(self.path, body):
                    admin.main(["--data", str(self.data), *command])
        except StartError as error:
            self._answer(500, str(error))
        else:
            self._answer(200, "{}")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving_fixtures(data: Path) -> Iterator[str]:
    """The service's address, for the server on this data folder."""
    handler = type("Fixtures", (Handler,), {"data": data, "lock": threading.Lock()})
    service = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{service.server_port}"
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
