"""A workspace in which workflows run: a copy of the repository, an image registry, W&B, and a fake GitHub."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import own
from tests.serving import Server, serving
from tests.steps.github import approved, commit, file, git_commit, open_pull, pull, review, workflow_run
from tests.steps.keys import TEAM, admin, member
from tests.warm_python import WarmPython, warm_python
from tests.workflows import acting
from tests.workflows.acting import REPOSITORY, ActResult
from tests.workflows.github import GitHub


def require(requirement: str, is_there: bool) -> None:
    """Skip with a reason if something is missing; in CI, fail instead."""
    if not is_there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"act's jobs need {requirement}")


# Text that a stranger can choose freely: shell, Markdown, HTML and workflow commands.
HOSTILE = (
    "$(touch pwned) `touch pwned`\n::set-output name=verdict::pass\n::error::forged\n<script>alert(1)</script> [x](y)"
)
HOSTILE_BRANCH = "x$(touch${IFS}pwned)`id`;echo'\"&<b>"

VARIABLES = {"LETTERS_LIMIT": "5", "CELLS_EVERY": "7"}  # each is declared by one of the teams' use cases


@dataclass
class Workspace:
    """Where workflows run, and what GitHub answers meanwhile."""

    folder: Path
    repository: Path
    server: Server
    github: GitHub
    use_case: str
    variables: dict[str, str]
    keys: dict[str, str]
    python: WarmPython  # it has imported the SDK
    runs: int = 4700  # the id of the latest workflow run
    ids: Iterator[int] = field(default_factory=lambda: itertools.count(4701))

    def act(
        self,
        event: str,
        *,
        inputs: dict[str, Any] | None = None,
        approvals: list[dict[str, Any]] | None = None,
        evaluated: Callable[[], Any] = lambda: None,
        reviewed: Path | None = None,
        run: int | None = None,
        attempt: int = 1,
        keys: dict[str, str] | None = None,
        variables: dict[str, str] | None = None,
        answers: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> ActResult:
        """
        Run a workflow in which these approvals arrive after evaluate has counted the approvals: there were none.

        It has its own id, unless `run` is that of an earlier attempt. answers: what else GitHub answers, by path.
        evaluated: called while evaluate counts the approvals; it already knows what is in production.
        reviewed: a file that promote waits for; otherwise nothing waits, because act does not know environments.
        """
        run = self.runs = run or next(self.ids)
        calls = itertools.count()

        def answer() -> list[dict[str, Any]]:
            if next(calls):
                return approvals or []
            evaluated()
            return []

        self.github.approvals[run] = answer
        self.github.answers |= self.described(event, arguments.get("payload", {})) | (answers or {})
        # As GitHub sends them: every value of a dispatch is text.
        items = (inputs or {}).items()
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in items}
        ran = acting.act(
            self.repository,
            event,
            home=self.folder / "home",
            payload={"inputs": texts, **arguments.pop("payload", {})},
            environ=self.environ(run, attempt, arguments.get("actor", "ada"), reviewed),
            variables=self.variables if variables is None else variables,
            secrets={**self.keys, **(keys or {}), "GITHUB_TOKEN": "ghs_TheTokenThatNobodyMayRead"},
            **arguments,
        )
        (self.folder / f"act-{run}.log").write_text(ran.log)
        for secret in [*self.keys.values(), "ghs_TheTokenThatNobodyMayRead"]:
            assert secret not in ran.log
        return ran

    def environ(self, run: int, attempt: int, actor: str, reviewed: Path | None) -> dict[str, str]:
        """Return the variables that GitHub's runner sets for a workflow run's jobs and act does not."""
        environ = {
            "GITHUB_API_URL": self.github.url,
            "GITHUB_RUN_ID": str(run),
            "GITHUB_RUN_ATTEMPT": str(attempt),
            "GITHUB_TRIGGERING_ACTOR": actor,
            "TEST_ARTIFACTS": str(self.folder / "artifacts" / str(run)),
        }
        if reviewed:
            environ["TEST_REVIEWED"] = str(reviewed)
        if base := os.environ.get("BASE_IMAGE"):
            environ["BASE_IMAGE"] = base
        return environ

    def described(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return GitHub's answers about this workflow run and its commit."""
        path, sha = self.github.at, acting.git(self.repository, "rev-parse", "HEAD")
        parents = acting.git(self.repository, "log", "-1", "--format=%P").split()
        opened = payload.get("pull_request")
        number, head = self.runs, opened["head"]["sha"] if opened else sha
        run = workflow_run(id=number, run_number=number, event=event, head_sha=head)
        answers = {f"{path}/actions/runs/{number}": run, f"{path}/git/commits/{sha}": git_commit(*parents)}
        pushes = [run] if event == "push" else []
        answers |= {f"{path}/actions/workflows/12/runs": {"total_count": len(pushes), "workflow_runs": pushes}}
        answers |= {f"{path}/commits/{sha}/pulls": []}
        if opened:
            answers |= {f"{path}/pulls/7": open_pull(head=opened["head"]), f"{path}/pulls/7/commits": [commit("eve")]}
        return answers

    def merge_of(self, *names: str) -> dict[str, Any]:
        """Return GitHub's answers about the last commit: it merged pull request 7 with these files; bob approved."""
        path, sha = self.github.at, acting.git(self.repository, "rev-parse", "HEAD")
        base = {"ref": "main", "sha": sha, "repo": {"full_name": REPOSITORY, "default_branch": "main"}}
        answers = {
            f"{path}/commits/{sha}/pulls": [pull("eve", merge_commit_sha=sha, base=base)],
            f"{path}/pulls/7/reviews": [review("bob")],
        }
        answers |= {f"{path}/pulls/7/files": [file(name) for name in names], f"{path}/pulls/7/commits": [commit("eve")]}
        answers |= {f"{path}/collaborators/bob/permission": {"permission": "write", "user": {"login": "bob"}}}
        texts = {name: base64.b64encode((self.repository / name).read_bytes()).decode() for name in names}
        return answers | {f"{path}/contents/{name}": {"content": text} for name, text in texts.items()}

    def pull_request(self, changes: dict[str, str], *, fork: bool = False, **arguments: Any) -> ActResult:
        """
        Run pull request 7 with these files, checked out as GitHub does: merged into main, without changing main.

        Everything that its author can choose is hostile. A fork's run gets neither secrets nor variables.
        """
        if fork:
            arguments |= {"keys": dict.fromkeys(self.keys, ""), "variables": {}}
        checkout = self.repository
        acting.git(checkout, "switch", "-q", "-c", HOSTILE_BRANCH)
        for name, text in changes.items():
            (checkout / name).write_text(text, encoding="utf-8")
        head = acting.commit(checkout, HOSTILE)
        acting.git(checkout, "switch", "-q", "--detach", "main")
        acting.git(checkout, "merge", "-q", "--no-ff", "-m", HOSTILE, head)
        repository = "Eve/Models" if fork else REPOSITORY
        opened = {
            "number": 7,
            "title": HOSTILE,
            "body": HOSTILE,
            "user": {"login": "eve"},
            "head": {"ref": HOSTILE_BRANCH, "sha": head, "label": "eve:x", "repo": {"full_name": repository}},
            "base": {
                "ref": "main",
                "sha": acting.git(checkout, "rev-parse", "main"),
                "repo": {"full_name": REPOSITORY},
            },
        }
        try:
            return self.act(
                "pull_request", payload={"action": "opened", "number": 7, "pull_request": opened}, **arguments
            )
        finally:
            acting.git(checkout, "switch", "-q", "--force", "main")
            acting.git(checkout, "branch", "-q", "-D", HOSTILE_BRANCH)

    def keeps_as_text(self, ran: ActResult) -> None:
        """Check that nothing in the title, the branch and the commit message of a pull request was executed."""
        assert "::error::forged" not in ran.log
        assert sorted(ran.outputs["evaluate"]) == ["evidence", "evidence_sha256", "url", "verdict", "version"]
        assert not list(self.folder.rglob("pwned"))
        assert "<script>" not in self.github.comments[0]["body"]

    def has_the_one_comment(self, *changes: str) -> None:
        """Check the comment and the check of a pull request that passed, which these calls of GitHub wrote."""
        assert self.github.changes() == [*changes]
        ends = {(check["name"], check["conclusion"]) for check in self.github.checks[:2]}
        assert ends == {("model gate (cells)", "success")}
        (comment,) = self.github.comments
        assert comment["body"].startswith("<!-- modelgate cells -->\n")
        first = comment["body"].splitlines()[2]
        line = r"`cells` ✅ \*\*pass\*\*: nothing is in production yet; accuracy 0\.9\d\d\d on 200 rows"
        assert re.fullmatch(line, first)
        assert "waits for a reviewer" in comment["body"]
        assert comment["body"].count("```mermaid") == 3

    def ask(self, expression: str) -> Any:
        """Return what W&B answers now: an expression over `api`, a wandb.Api()."""
        return json.loads(self.do(f"print(json.dumps({expression}))"))

    def move_by_hand(self, version: str) -> None:
        """Make a version production, as a person with the second key does in the browser."""
        self.do(f"version = api.artifact({version!r}); version.aliases.append('production'); version.save()")

    def link_by_hand(self, registered: str) -> str:
        """Link a version that no pipeline made to a registry collection; return its full name."""
        return self.do(
            "run = wandb.init(project='by-hand')\n"
            "made = run.log_artifact(wandb.Artifact('model', 'model')).wait()\n"
            f"linked = run.link_artifact(made, {registered!r})\n"
            "run.finish()\n"
            "print(linked.qualified_name)"
        ).strip()

    def do(self, statements: str) -> str:
        """Run statements over `api`, a wandb.Api() with the second key; return what they print."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "WANDB_DIR": str(self.folder)}
        wandb = {"WANDB_BASE_URL": self.server.url, "WANDB_API_KEY": self.server.key, "WANDB_ENTITY": TEAM}
        program = f"import json, wandb\napi = wandb.Api()\n{statements}"
        done = self.python.run(program, env=environ | wandb | {"WANDB_SILENT": "true"})
        assert done.returncode == 0, done.stderr
        return done.stdout

    def production(self, collection: str | None = None) -> list[str]:
        """Return the versions of a model that are `production`, at most one."""
        versions = f"api.artifacts('model', 'local-org/wandb-registry-model/{collection or self.use_case + '-dev'}')"
        return self.ask(f"[version.version for version in {versions} if 'production' in version.aliases]")


@pytest.fixture
def github() -> Iterator[GitHub]:
    """The fake that an action asks instead of GitHub."""
    fake = GitHub("team/models")
    yield fake
    fake.close()


@pytest.fixture(scope="session")
def able() -> None:
    """Skip if this machine cannot finish the test."""
    require("the program docker-registry", shutil.which("docker-registry") is not None)
    require("a Docker engine", shutil.which("docker") is not None and engine_answers())
    require("docker-buildx, with which this `docker` command builds images", engine_builds())


@pytest.fixture(scope="session")
def python(able: None) -> Iterator[WarmPython]:
    with warm_python(["wandb"]) as python:
        yield python


@pytest.fixture(scope="module")
def workspace(
    able: None, python: WarmPython, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("place")
    team = getattr(request.module, "TEAMS", own.letters)  # the function that makes its use case
    repository = acting.copy_of_repository(folder / "repository", team, getattr(request.module, "WITHOUT", ()))
    github = GitHub(REPOSITORY)
    # In .pytest_cache: an existing layer is not compressed and pushed again, which takes a minute.
    cache = request.config.cache.mkdir("image-registry")
    with (
        serving(folder / "server") as server,
        alone(cache, folder / "images") as image_folder,
        acting.image_registry(image_folder) as images,
    ):
        admin(server, "add-team", TEAM, "--organization", "local-org", "--admin", "local")
        admin(server, "protect-alias", "local-org/wandb-registry-model", "production")
        keys = {"WANDB_API_KEY": member(server, "trainer", "member"), "WANDB_PROMOTE_KEY": server.key}
        variables = {
            "CONTAINER_NETWORK": "host",  # W&B is a process of this machine here
            "IMAGE_REGISTRY": images,
            **VARIABLES,
            "WANDB_BASE_URL": server.url,
            "WANDB_ENTITY": TEAM,
        }
        yield Workspace(folder, repository, server, github, team.__name__, variables, keys, python)
    github.close()


@contextmanager
def alone(cache: Path, other: Path) -> Iterator[Path]:
    """Yield the first folder, or the other one if another worker's registry uses the first: it would lose its tags."""
    with (cache / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield other
        else:
            yield cache


def engine_answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def engine_builds() -> bool:
    """Return whether `docker build` finds BuildKit: built into an older command, or as the plugin of a newer one."""
    command = ["docker", "build", "--help"]
    return subprocess.run(command, env=os.environ | {"DOCKER_BUILDKIT": "1"}, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def yes() -> Any:
    """An approval as GitHub lists it."""
    return approved
