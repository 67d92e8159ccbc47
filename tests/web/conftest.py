"""One server for all of the pages' tests, filled by the real SDK; and two ways to look at it: plain HTTP, a browser."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.server.wire import Wire
from tests.serving import ROOT, Server, serving

# As in W&B's app: what the SDK prints for a registry version.
REGISTRY = "/orgs/local-org/registry/model"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pages")
    with serving(folder / "server") as running:
        home = folder / "home"
        home.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "WANDB_BASE_URL": running.url,
            "WANDB_API_KEY": running.key,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DIR": str(home),
        }
        command = [sys.executable, "-m", "tests.web.seeding"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        yield running


@dataclass
class Visitor:
    """Someone with a browser that runs no scripts."""

    server: Server
    http: requests.Session = field(default_factory=requests.Session)

    def get(self, path: str) -> requests.Response:
        """One answer; a redirect is not followed."""
        return self.http.get(self.server.url + path, allow_redirects=False, headers={"Accept": "text/html"}, timeout=60)

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
        return self.http.post(self.server.url + path, fields, allow_redirects=False, headers=headers, timeout=60)

    def log_in(self, key: str = "") -> "Visitor":
        answer = self.post("/login", key=key or self.server.key, next="/")
        assert answer.status_code == 303, answer.text
        return self

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/").text)
        assert found
        return found[1]

    def change_alias(self, version: str, alias: str, do: str = "add") -> requests.Response:
        return self.post(alias_form(version), csrf=self.csrf(), alias=alias, do=do)


def alias_form(version: str) -> str:
    return f"/local-org/wandb-registry-model/artifacts/model/seen-dev/{version}/aliases"


def registry_version(version: str) -> str:
    path = "local-org%2Fwandb-registry-model%2Fseen-dev"
    return f"{REGISTRY}?selectionPath={path}&view=membership&version={version}"


def stream(server: Server, project: str, run: str, **files: list[dict[str, object]]) -> None:
    """A run with these lines in its history, events or summary."""
    wire = Wire.connect(server)
    wire.start_run(project, run)
    names = {"events": "wandb-events.jsonl", "history": "wandb-history.jsonl", "summary": "wandb-summary.json"}
    lines = {names[kind]: {"offset": 0, "content": [json.dumps(row) for row in rows]} for kind, rows in files.items()}
    assert wire.file_stream(project, run, {"files": lines}).status_code == 200


@pytest.fixture
def stranger(server: Server) -> Visitor:
    return Visitor(server)


@pytest.fixture
def visitor(server: Server) -> Visitor:
    return Visitor(server).log_in()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of this system; CI must have one, elsewhere its lack is a reason to skip."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium on this machine (apt-get install chromium)"
        if os.environ.get("REQUIRE_BROWSER") or os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(Path(found))
