"""One clone for all tests of these pages: the runner's `serve`, filled by the real SDK."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import own
from tests.pages.seeding import COLLECTION, HOSTILE
from tests.serving import DEADLINE_S, ROOT, a_port_of_its_own, runner_with, until

APPROVAL = "/-/approval"


@dataclass
class Loop:
    """A clone in which `serve` runs. empty: its pages before anything ran, by path."""

    root: Path
    env: dict[str, str]
    empty: dict[str, str] = field(default_factory=dict)
    seeded: dict[str, Any] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.root / ".modelgate"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{(self.folder / 'port').read_text().strip()}"

    @property
    def key(self) -> str:
        return (self.folder / "api-key").read_text().strip()

    @property
    def state(self) -> dict[str, Any]:
        """What the runner knows of glyphs."""
        return dict(json.loads((self.folder / "state.json").read_text())["use_cases"]["glyphs"])

    def client(self) -> dict[str, str]:
        """The environment of the SDK."""
        return {**self.env, "WANDB_BASE_URL": self.url, "WANDB_API_KEY": self.key, "WANDB_SILENT": "true"}

    def python(self, *args: str) -> Any:
        """Run a program that uses the SDK; return the JSON that it prints."""
        done = subprocess.run(
            [sys.executable, *args], cwd=ROOT, env=self.client(), capture_output=True, text=True, timeout=DEADLINE_S
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])  # a step prints its result first

    def link(self) -> str:
        """A link that signs in once, as `serve` prints it."""
        key = base64.b64encode(f"api:{self.key}".encode()).decode()
        request = urllib.request.Request(  # noqa: S310
            f"{self.url}/login/link", method="POST", headers={"Authorization": f"Basic {key}"}
        )
        with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:  # noqa: S310
            return self.url + str(json.load(answer)["path"])

    def wait_for_approval(self, use_case: str = "glyphs", **changes: str) -> None:
        """Leave the state as the runner does if no one has answered."""
        self.wait({use_case: self.pending(use_case=use_case, **changes)})

    def wait(self, pending: dict[str, dict[str, Any]]) -> None:
        use_cases = {name: {"pending": evaluation} for name, evaluation in pending.items()}
        (self.folder / "state.json").write_text(json.dumps({"last": "glyphs", "use_cases": use_cases}))

    def pending(self, **changes: str) -> dict[str, Any]:
        return {
            "use_case": "glyphs", "headline": f"pass: {HOSTILE}", "evidence": self.seeded["evidence"],
            "version": self.seeded["version"], "production": None, "page": None, "reason": HOSTILE,
            "collection": None, "host": None, "report": "", **changes,
        }  # fmt: skip


@dataclass
class Visitor:
    """Someone with a browser that runs no scripts."""

    loop: Loop
    http: requests.Session = field(default_factory=requests.Session)

    def sign_in(self, key: str = "") -> Visitor:
        answer = self.post("/login", key=key or self.loop.key, next="/")
        assert answer.status_code == 303, answer.text
        return self

    def get(self, path: str) -> str:
        return self.http.get(self.loop.url + path, headers={"Accept": "text/html"}, timeout=60).text

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
        return self.http.post(self.loop.url + path, fields, allow_redirects=False, headers=headers, timeout=60)

    def csrf(self) -> str:
        known = re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/"))
        assert known
        return known[1]

    def approve(self, **fields: str) -> requests.Response:
        form = {"csrf": self.csrf(), "evidence": self.loop.seeded["evidence"], "approver": "Ada Lovelace"}
        return self.post(APPROVAL, **form | fields)


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    folder = tmp_path_factory.mktemp("loop")
    root = own.clone(folder / "clone")
    own.edit(root / "usecases/glyphs/config.toml", ('project = "model-registry-dev"', f'project = "{COLLECTION}"'))
    home = folder / "home"
    home.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "WANDB_DIR": str(home), "WANDB_PROJECT": COLLECTION}
    running = Loop(root, env)
    with (folder / "serve.log").open("w") as log:
        serving = subprocess.Popen(
            [*runner_with(a_port_of_its_own()), "serve"], cwd=root, env=env, stdout=log, stderr=log, text=True
        )
    try:
        until(lambda: "The pages are open" in (folder / "serve.log").read_text() or serving.poll() is not None, "pages")
        visitor = Visitor(running).sign_in()
        running.empty = {path: visitor.get(path) for path in ("/", APPROVAL, "/-/ledger/glyphs")}
        running.seeded = running.python("-m", "tests.pages.seeding")
        running.wait_for_approval()
        yield running
    finally:
        print((folder / "serve.log").read_text())  # for a test that failed
        serving.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            serving.wait(DEADLINE_S)
