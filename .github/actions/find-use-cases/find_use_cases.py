"""
Find the use cases that a workflow run is about. Run it at the root of a checkout. Needs only Python and git.

A push and a pull request are about the use cases that they touch: those with an image of a step that would change. An
image's tag is the hash of everything that it is made of, which `runner/images.py` knows, so this compares the tags
before and after. A change of the workflows themselves touches every use case. A dispatch is about the use case that it
names, or about the default one; once a week, it is about all of them; a W&B automation names a version.

If a change touches `usecases/<name>/rollback.toml`, the version that it names is evaluated instead of a new one. Each
use case's environment is read from main's config: a pull request cannot choose who approves it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRONG_USE = 2
STEPS = ("build", "train", "link", "evaluate", "promote")
# The steps and files that every model depends on. A test compares this with what the pipeline uses.
WORKFLOWS = (".github/actions/", ".github/workflows/model.yml", ".github/workflows/pipeline.yml")
NAME = r"[a-z][a-z0-9_]{0,39}"
VERSION = r"[\w.-]{1,128}/[\w.-]{1,128}/[\w.-]{1,128}:v[0-9]{1,9}"
ENVIRONMENT, LABEL = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
DEFAULT_ENVIRONMENT, DEFAULT_LABEL = "production", "ubuntu-24.04"
# Prints the tags of the images of the given use cases, as the code in its folder makes them.
TAGS = """
import json, sys
from pathlib import Path
from runner import images
steps, names, tags = sys.argv[1].split(), sys.argv[2:], {}
for name in names:
    try:
        wanted = images.wanted(Path().resolve(), name)
        tags[name] = [wanted[step].reference for step in steps]
    except Exception as error:
        print(f"{name}: {error}", file=sys.stderr)
print(json.dumps(tags))
"""


def main() -> int:
    try:
        models = find(os.environ)
    except ValueError as error:
        print(f"::error title=use case::{escape(str(error))}")
        return WRONG_USE
    print("use cases:", ", ".join(model["name"] for model in models) or "none")
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"models={json.dumps(models)}\n")
        checked = [model["name"] for model in models]
        file.write(f"untouched={json.dumps([name for name in list_use_cases() if name not in checked])}\n")
    return 0


def find(inputs: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the use cases, each with what its jobs need; ValueError with what a person has to change."""
    known = list_use_cases()
    check_environments(known)
    event, requested = inputs["GITHUB_EVENT_NAME"], inputs["USE_CASE"] or inputs["ONLY"]
    if requested and requested not in known:
        raise ValueError(f"there is no use case {json.dumps(requested)}; there are: {', '.join(known)}")
    if event == "merge_group":
        return []  # each was judged in its pull request, and will be judged again after the merge
    if event == "schedule":
        return [describe(name, "HEAD", []) for name in ([requested] if requested else known)]
    if event == "repository_dispatch":
        return [read_proposal(known, json.loads(Path(inputs["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8")))]
    if event not in ("push", "pull_request"):
        return [describe(requested or find_default(), "HEAD", [])]
    before, judge = ("HEAD^1", "HEAD^1") if event == "pull_request" else (inputs["BEFORE"], "HEAD")
    wanted, changed = [requested] if requested else known, list_changes(before)
    names = wanted if changed is None else find_touched(wanted, before, changed)
    return [describe(name, judge, changed or []) for name in names]


def list_use_cases() -> list[str]:
    names = sorted(path.parent.name for path in Path("usecases").glob("*/config.toml"))
    for name in names:
        if not re.fullmatch(NAME, name):
            raise ValueError(f"usecases/{name}: rename it: lower-case letters, digits and _, beginning with a letter")
    return names


def check_environments(names: list[str]) -> None:
    """Refuse a shared environment: reviewers approve environments, so one click would approve every model that shares
    it.
    """
    used = Counter(get_environment(read_config(name, "HEAD")) for name in names)
    for shared in sorted(name for name, count in used.items() if count > 1):
        users = [name for name in names if get_environment(read_config(name, "HEAD")) == shared]
        raise ValueError(
            f"{' and '.join(users)} share the environment {shared}: write [approval] environment = "
            f'"{shared}-{users[-1]}" into usecases/{users[-1]}/config.toml'
        )


def find_default() -> str:
    """Return the default use case; ends if there is none, which `modelgate` says."""
    done = subprocess.run([sys.executable, "-m", "modelgate", "config"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return str(json.loads(done.stdout)["name"])


# --- what a change touches -------------------------------------------------------------------------------------------


def list_changes(before: str) -> list[str] | None:
    """Return the files that differ from an earlier commit; None if no one can tell, as after a forced push."""
    if run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{before}^{{commit}}") is None:
        return None
    return (run_git("diff", "--name-only", "--no-renames", "-z", before, "HEAD") or "").split("\0")


def find_touched(names: list[str], before: str, changed: list[str]) -> list[str]:
    """Return those of which an image is another one than before."""
    if any(path.startswith(WORKFLOWS) for path in changed):
        return names
    with check_out(before) as folder:
        old, new = list_images(folder, names), list_images(Path(), names)
    return [name for name in names if name not in old or old[name] != new.get(name)]


def list_images(root: Path, names: list[str]) -> dict[str, Any]:
    """
    Return the tags of these use cases' images, as the code in this folder makes them; without those that it cannot
    make.
    """
    command = [sys.executable, "-c", TAGS, " ".join(STEPS), *names]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {}


@contextmanager
def check_out(commit: str) -> Iterator[Path]:
    """The files of a commit, for as long as they are needed."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "worktree", "add", "-q", "--detach", f"{folder}/before", commit], check=True)
        try:
            yield Path(folder) / "before"
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", f"{folder}/before"], check=True)


# --- what the jobs of a use case need --------------------------------------------------------------------------------


def describe(name: str, judge: str, changed: list[str]) -> dict[str, Any]:
    """One use case of the matrix. judge: the commit whose config says who approves. changed: the files that differ."""
    runs_on = {step: get_labels(read_config(name, "HEAD"), step) for step in ("train", "evaluate")}
    model = {"name": name, "environment": get_environment(read_config(name, judge)), "runs-on": runs_on}
    return model | (read_rollback(name) if f"usecases/{name}/rollback.toml" in changed else {})


def read_proposal(names: list[str], event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the version that an automation of W&B names, as its documentation has the payload. Anyone who can write to
    the repository can send one, so it is only a proposal: the gate judges it, and a reviewer approves it.
    """
    payload = event.get("client_payload")
    payload = payload if isinstance(payload, dict) else {}
    version, collection = payload.get("artifact_version_string"), payload.get("artifact_collection_name")
    if not (isinstance(version, str) and re.fullmatch(VERSION, version)):
        raise ValueError("artifact_version_string must be entity/project/collection:vN")
    owners = [name for name in names if read_config(name, "HEAD").get("collection") == collection]
    if len(owners) != 1 or version.rpartition("/")[2].rpartition(":")[0] != collection:
        raise ValueError(f"artifact_collection_name must be the collection of one use case: {', '.join(names)}")
    author = re.sub(r"[^\w.@-]", "", str(payload.get("event_author")))[:60]
    reason = f"W&B automation {re.sub('[^A-Z_]', '', str(event.get('action')))[:30]} by {author}"
    return describe(owners[0], "HEAD", []) | {"version": version, "policy": "", "reason": reason}


def read_rollback(name: str) -> dict[str, str]:
    """
    Return what the file asks for: an existing version is evaluated instead of a new one. Nothing if it is gone.
    """
    file = f"usecases/{name}/rollback.toml"
    if (text := run_git("show", f"HEAD:{file}")) is None:
        return {}
    try:
        request = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is not TOML: {error}") from error
    version, reason = request.get("version"), request.get("reason")
    if not (isinstance(version, str) and re.fullmatch(r"v[0-9]{1,9}", version)):
        raise ValueError(f'{file} must name a version of the use case: version = "v3"')
    if not (isinstance(reason, str) and reason.strip() and reason.isprintable()):
        raise ValueError(f"{file} must give a reason, on one line: reason = ...")
    return {"version": version, "policy": "rollback", "reason": reason}


def read_config(name: str, commit: str) -> dict[str, Any]:
    """
    Return a use case's config at a commit; empty if there is none, or none that can be read: its images are not built.
    """
    try:
        return tomllib.loads(run_git("show", f"{commit}:usecases/{name}/config.toml") or "")
    except tomllib.TOMLDecodeError:
        return {}


def get_environment(settings: dict[str, Any]) -> str:
    table = settings.get("approval")
    value = table.get("environment") if isinstance(table, dict) else None
    return value if isinstance(value, str) and re.fullmatch(ENVIRONMENT, value) else DEFAULT_ENVIRONMENT


def get_labels(settings: dict[str, Any], step: str) -> list[str]:
    table = settings.get("runs_on")
    value = table.get(step) if isinstance(table, dict) else None
    wanted: list[Any] = value if isinstance(value, list) else [value]
    good = wanted and all(isinstance(label, str) and re.fullmatch(LABEL, label) for label in wanted)
    return wanted if good else [DEFAULT_LABEL]


def run_git(*args: str) -> str | None:
    """Return what git answers; None if it fails."""
    done = subprocess.run(["git", *args], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def escape(text: str) -> str:
    """As GitHub's toolkit escapes the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


if __name__ == "__main__":
    sys.exit(main())
