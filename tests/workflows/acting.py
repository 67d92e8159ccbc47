"""
Run the repository's own workflow files under act: which jobs ran, how they ended, their outputs and their logs.

act runs each job on this machine. It does not know environments, approvals, permissions and concurrency, but it runs
the real files, actions, scripts and images. Only third-party actions are replaced.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import own
from tests.serving import free_port, listens, until
from tests.workflows.files import ROOT, actions, program, workflows

STANDINS = Path(__file__).parent / "standins"
REPOSITORY = "Team/Models"  # capital letters, which GitHub allows in a name and a registry does not
BUILT_IN = {"actions/checkout"}
PATIENT_BASH = """#!{bash}
{bash} "$@" || {{ code=$?; sleep 0.5; exit "$code"; }}
"""
# act starts node for each job, only to learn where it is.
QUICK_NODE = """#!{bash}
if [ "$*" = "--no-warnings -e console.log(process.execPath)" ]; then echo {node}; else exec {node} "$@"; fi
"""
# No job reads these, and they are most of the files, which act would copy for each job.
NOT_RUN = ("benchmarks/", "docs/", "tests/", "tools/", "usecases/", ".ci/")
# Only a fork's job runs the embedded server; the others talk to a W&B that is there.
SERVER = ("modelgate_server/api/", "modelgate_server/store/", "modelgate_server/web/", "pages/")
DEADLINE_S = 1500
# act rejects this line as an unknown property; GitHub, its own parser and the linters accept it.
UNKNOWN_TO_ACT = "      deployment: false # only promote deploys\n"
# act crashes at times ("concurrent map writes") when two jobs run at once.
ONE_JOB_AT_A_TIME = "      max-parallel: 1\n"


@dataclass
class ActResult:
    """The result of a workflow run. A model's job is here under its own name, and under `model/name`."""

    code: int
    log: str
    jobs: dict[str, str] = field(default_factory=dict)  # a job's name to success or failure, without skipped jobs
    outputs: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    job_logs: dict[str, str] = field(default_factory=lambda: defaultdict(str))


def others_actions() -> dict[str, str]:
    """Return each third-party action that our files use: owner/name@sha to its name."""
    files = [*workflows().values(), *actions().values()]
    used = {step["uses"] for file in files for _, step in file.steps() if "@" in step.get("uses", "")}
    return {use: use.partition("@")[0] for use in used}


def standins() -> list[str]:
    """Return act's arguments that replace third-party actions."""
    flags = []
    for use, name in sorted(others_actions().items()):
        folder = STANDINS / name.rpartition("/")[2]
        if folder.is_dir() and name not in BUILT_IN:
            flags += ["--local-repository", f"{use}={folder}"]
    return flags


def copy_of_repository(to: Path, team: Callable[[Path], None], without: tuple[str, ...] = ()) -> Path:
    """
    Copy the tracked files that a workflow can run, with a team's only use case, into a repository in `to` with one
    commit, as act needs it. without: more folders that no job of this workflow reads.
    """
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(NOT_RUN + without):
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    to.mkdir(parents=True, exist_ok=True)
    for path in (to / ".github/workflows").glob("*.yml"):
        path.write_text(adapt_to_act(path.read_text(encoding="utf-8")), encoding="utf-8")
    own.install_in(to)
    team(to)
    git(to, "init", "-q", "-b", "main")
    git(to, "remote", "add", "origin", f"https://github.com/{REPOSITORY}.git")
    commit(to, "All of it")
    git(to, "gc", "-q")  # one file instead of one per object: act copies them, too
    return to


def adapt_to_act(workflow: str) -> str:
    """Return a workflow as act can run it: without the line that it does not know, and with one job at a time."""
    return workflow.replace(UNKNOWN_TO_ACT, "").replace("      matrix:\n", f"{ONE_JOB_AT_A_TIME}      matrix:\n")


def git(repository: Path, *args: str) -> str:
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *author, *args], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit(repository: Path, message: str) -> str:
    git(repository, "add", "--all")
    git(repository, "commit", "-q", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def return_to(repository: Path, commit: str) -> None:
    """Make a commit the only one on main, without other branches and files."""
    git(repository, "checkout", "-q", "--force", "--detach", commit)
    branches = git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    git(repository, "branch", "-q", "-D", *branches)
    git(repository, "switch", "-q", "-c", "main")
    git(repository, "clean", "-ffdq")
    git(repository, "clean", "-ffdqx", "usecases")


def put_programs_of_steps(folder: Path) -> None:
    """
    Create the programs that a step finds first: these tests' Python, without a version manager's lookup, a bash that
    waits before it fails, because act may lose the last lines of a failing step, and a node that says at once where it
    is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "python3").exists():
        (folder / "python3").symlink_to(Path(sys.executable).resolve())
    bash, node = shutil.which("bash"), shutil.which("node")
    scripts = {"bash": PATIENT_BASH.format(bash=bash)}
    if node:
        scripts["node"] = QUICK_NODE.format(bash=bash, node=node)
    for name, script in scripts.items():
        if not (folder / name).exists():
            (folder / name).write_text(script, encoding="utf-8")
            (folder / name).chmod(0o755)


def act(
    repository: Path,
    event: str,
    *,
    home: Path,
    payload: Mapping[str, Any] | None = None,
    workflow: str = "pipeline.yml",
    actor: str = "ada",
    environ: Mapping[str, str],
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
) -> ActResult:
    """
    Run one workflow file. payload: the event as GitHub would send it. environ: what the runner sets beyond act's own.
    """
    put_programs_of_steps(home / "bin")
    event_file = home / f"event-{time.monotonic_ns()}.json"
    event_file.write_text(json.dumps(payload or {}), encoding="utf-8")
    command = [
        str(program("act")),
        event,
        "--workflows",
        f".github/workflows/{workflow}",
        "--eventpath",
        str(event_file),
    ]
    command += ["--platform", "ubuntu-24.04=-self-hosted", "--pull=false", "--no-cache-server", "--action-offline-mode"]
    command += ["--rm", "--container-daemon-socket", "-", "--json", "--actor", actor, *standins()]
    command += ["--concurrent-jobs", "1"]  # as in ONE_JOB_AT_A_TIME
    for flag, values in (("--env", environ), ("--var", variables), ("--secret", secrets)):
        command += [word for name, value in values.items() for word in (flag, f"{name}={value}")]
    passed = {name: os.environ[name] for name in ("TMPDIR", "DOCKER_HOST") if name in os.environ}
    path = os.pathsep.join([str(home / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        command,
        cwd=repository,
        env={**passed, "HOME": str(home), "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=DEADLINE_S,
    )
    return read(done.returncode, done.stdout + done.stderr)


def read(code: int, log: str) -> ActResult:
    """Sort act's JSON lines by job."""
    ran = ActResult(code, log)
    for line in log.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        for name in names(row.get("job", "")):
            if "jobResult" in row:
                ran.jobs[name] = row["jobResult"]
            if row.get("command") == "set-output":
                ran.outputs[name] |= {row["name"]: row["arg"]} if row["arg"] else {}
            ran.job_logs[name] += row.get("msg", "") + "\n"
    return ran


def names(job: str) -> list[str]:
    """Return the names of a job. act calls it Pipeline/changed, or letters-1/Model/evaluate if it is a model's."""
    path = [part.strip() for part in job.split("/")]
    return [path[-1], f"{re.sub(r'-[0-9]+$', '', path[0])}/{path[-1]}"] if len(path) == 3 else path[-1:]


@contextmanager
def image_registry(folder: Path) -> Iterator[str]:
    """Run Debian's docker-registry instead of GHCR; yield its host:port. `folder` keeps the images."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    for tags in folder.glob("data/docker/registry/v2/repositories/**/_manifests/tags"):
        shutil.rmtree(tags)  # only layers are kept: every image is pushed again
    settings = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (folder / "config.yml").write_text(json.dumps(settings), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=subprocess.STDOUT
        )
    try:
        until(lambda: listens(port), "the image registry")
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(60)
