"""
Which use cases a workflow run is about: the real script in a repository with several, compared
with what docker would build.

    pytest tests/workflows/test_find_use_cases.py
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from fnmatch import fnmatch

import pytest

from runner import images
from tests import own
from tests.workflows.acting import commit, git, return_to
from tests.workflows.files import ACTIONS, WORKFLOWS, workflows

SCRIPT = ACTIONS / "find-use-cases" / "find_use_cases.py"
STEPS = ["build", "train", "link", "evaluate", "promote"]
ROOMS = ("docker", "modelgate", "runner", "serving", "steps")  # what the images of the steps are made of
NOTHING = "0" * 40  # the previous commit of a push that creates a branch, according to GitHub


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A repository with glyphs and remote, on main."""
    root = own.clone(tmp_path_factory.mktemp("made") / "repository", ROOMS)
    (root / "modelgate_server").mkdir()
    (root / "modelgate_server/__init__.py").write_text("# its image is of no use case\n")
    (root / "docs").mkdir()
    (root / "docs/guide.md").write_text("Read.\n")
    (root / ".github/actions/report").mkdir(parents=True)
    (root / ".github/actions/report/report.py").write_text("# says it\n")
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "-q", "-b", "main")
    commit(root, "First")
    return root


@pytest.fixture
def repository(made):
    """The same for each test: its changes are undone."""
    first = git(made, "rev-parse", "HEAD")
    yield made
    return_to(made, first)


class Answer:
    def __init__(self, done, output):
        self.code, self.output = done.returncode, done.stdout + done.stderr
        match = re.search(r"^models=(.*)$", output, re.MULTILINE)
        self.models = json.loads(match[1]) if match else None
        untouched = re.search(r"^untouched=(.*)$", output, re.MULTILINE)
        self.untouched = json.loads(untouched[1]) if untouched else None
        self.names = [model["name"] for model in self.models or []]


def ask(root, event="push", before="HEAD^1", use_case="", only=""):
    output = root.parent / "output"
    output.write_text("")
    environ = {"PATH": os.environ["PATH"], "HOME": str(root.parent), "GITHUB_EVENT_NAME": event}
    environ |= {"GITHUB_EVENT_PATH": str(root.parent / "event.json")}
    environ |= {"GITHUB_OUTPUT": str(output), "BEFORE": before, "USE_CASE": use_case, "ONLY": only}
    done = subprocess.run([sys.executable, SCRIPT], cwd=root, env=environ, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    assert git(root, "worktree", "list").count("\n") == 0  # nothing is left of the commit before
    return Answer(done, output.read_text())


def change(root, name, text="# changed\n"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    with (root / name).open("a", encoding="utf-8") as file:
        file.write(text)
    commit(root, f"Change {name}")


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("usecases/glyphs/model.py", ["glyphs"]),
        ("usecases/remote/config.toml", ["remote"]),
        ("usecases/glyphs/test_data.py", []),
        ("modelgate/errors.py", ["glyphs", "remote"]),
        ("docker/train/Dockerfile", ["glyphs", "remote"]),
        ("docker/server/Dockerfile", []),
        ("docs/guide.md", []),
        ("runner/loop.py", []),
        (".github/actions/report/report.py", ["glyphs", "remote"]),
        (".github/workflows/model.yml", ["glyphs", "remote"]),
        (".github/workflows/ci.yml", []),
    ],
)
def test_a_push_is_about_what_it_touches(repository, name, touched):
    change(repository, name)
    answer = ask(repository)
    assert answer.names == touched
    assert answer.untouched == [name for name in ("glyphs", "remote") if name not in touched]


def test_a_merge_queue_judges_no_model_again(repository):
    change(repository, "usecases/glyphs/model.py")
    answer = ask(repository, "merge_group")
    assert (answer.models, answer.untouched) == ([], ["glyphs", "remote"])


def test_a_push_of_several_commits_is_about_all_of_them(repository):
    for name in ("usecases/glyphs/model.py", "docs/guide.md", "docs/guide.md"):
        change(repository, name)
    assert ask(repository, before=git(repository, "rev-parse", "HEAD~3")).names == ["glyphs"]


@pytest.mark.parametrize("before", [NOTHING, "a" * 40, "", "--upload-pack=touch pwned"])
def test_a_push_whose_beginning_nobody_knows_is_about_all(repository, before):
    change(repository, "docs/guide.md")
    assert ask(repository, before=before).names == ["glyphs", "remote"]


def merged(root, *names):
    """Make HEAD the merge of a pull request that changes these into a newer main."""
    git(root, "switch", "-q", "-c", "better")
    for name in names:
        change(root, name)
    git(root, "switch", "-q", "main")
    change(root, "usecases/remote/data.py")
    git(root, "switch", "-q", "--detach")
    git(root, "merge", "-q", "--no-ff", "-m", "Merge", "better")


def test_a_pull_request_is_about_what_it_changes_and_not_about_how_far_main_is(repository):
    merged(repository, "usecases/glyphs/model.py")
    assert ask(repository, "pull_request").names == ["glyphs"]


def test_a_pull_request_that_deletes_a_use_case_is_not_about_it(repository):
    shutil.rmtree(repository / "usecases/remote")
    commit(repository, "One less")
    assert ask(repository).names == []
    shutil.copytree(repository / "usecases/glyphs", repository / "usecases/new")
    own.edit(repository / "usecases/new/config.toml", ("[build]", '[approval]\nenvironment = "new"\n\n[build]'))
    commit(repository, "One more")
    assert ask(repository).names == ["new"]


def test_the_environment_is_that_of_main_and_the_runner_that_of_the_change(repository):
    """A pull request cannot choose who approves it."""
    git(repository, "switch", "-q", "-c", "better")
    config = repository / "usecases/remote/config.toml"
    own.edit(config, ("production-remote", "anybody"))
    change(repository, "usecases/remote/config.toml", '\n[runs_on]\ntrain = ["self-hosted", "gpu"]\n')
    git(repository, "switch", "-q", "--detach", "main")
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "better")
    (model,) = ask(repository, "pull_request").models
    assert model == {
        "name": "remote",
        "environment": "production-remote",
        "runs-on": {"train": ["self-hosted", "gpu"], "evaluate": ["ubuntu-24.04"]},
    }
    assert ask(repository).models[0]["environment"] == "anybody"  # once it is merged


def test_two_use_cases_in_one_environment_are_refused_because_they_would_share_a_click(repository):
    own.edit(repository / "usecases/remote/config.toml", ("production-remote", "production"))
    commit(repository, "Share")
    answer = ask(repository)
    assert (answer.code, answer.models) == (2, None)
    assert "glyphs and remote share the environment production" in answer.output
    assert 'environment = "production-remote"' in answer.output


def test_a_config_that_cannot_be_read_stops_its_own_use_case_alone(repository):
    (repository / "usecases/glyphs/config.toml").write_text("[gate\n")
    commit(repository, "Break it")
    answer = ask(repository)
    assert (answer.code, answer.names) == (0, ["glyphs"])  # its first job then says what is wrong


def test_a_change_of_the_rollback_file_is_about_the_version_that_it_names(repository):
    file = "usecases/glyphs/rollback.toml"
    change(repository, file, 'version = "v3"\nreason = "The labels were wrong: `id`."\n')
    (model,) = ask(repository).models
    asks = {"version": "v3", "policy": "rollback", "reason": "The labels were wrong: `id`."}
    assert model == ask(repository, "workflow_dispatch", use_case="glyphs").models[0] | asks
    change(repository, "usecases/glyphs/model.py")
    assert "version" not in ask(repository).models[0]  # the file exists, but no change asks for anything
    (repository / file).unlink()
    commit(repository, "Clear up")
    assert all("version" not in model for model in ask(repository).models)


@pytest.mark.parametrize(
    "text",
    ["[", 'reason = "x"', 'version = "latest"\nreason = "x"', 'version = "v3"', 'version = "v3"\nreason = "a\\nb"'],
)
def test_a_rollback_file_that_is_wrong_is_named(repository, text):
    change(repository, "usecases/glyphs/rollback.toml", text)
    answer = ask(repository)
    assert (answer.code, answer.models) == (2, None)
    assert "::error title=use case::usecases/glyphs/rollback.toml" in answer.output


@pytest.mark.parametrize("event", ["workflow_dispatch", "push", "pull_request"])
def test_a_use_case_that_does_not_exist_is_refused_by_name_with_those_that_do(repository, event):
    change(repository, "docs/guide.md")
    answer = ask(repository, event, **{"use_case" if event == "workflow_dispatch" else "only": "glyfs\n::set-output::"})
    assert (answer.code, answer.models) == (2, None)
    line = answer.output.rstrip()
    assert "\n" not in line and line.startswith('::error title=use case::there is no use case "glyfs')
    assert line.endswith("there are: glyphs, remote")


def test_a_dispatch_is_about_the_one_that_it_names_or_the_default_one(repository):
    assert ask(repository, "workflow_dispatch", use_case="glyphs").names == ["glyphs"]
    assert ask(repository, "workflow_dispatch").names == ["remote"]
    assert ask(repository, "workflow_dispatch", only="glyphs").names == ["glyphs"]
    own.edit(repository / "usecases/remote/config.toml", ("default = true\n", ""))
    answer = ask(repository, "workflow_dispatch")
    assert (answer.code, answer.models) == (2, None)
    assert "there are several use cases: glyphs, remote" in answer.output


def test_once_a_week_it_is_about_all(repository):
    assert ask(repository, "schedule").names == ["glyphs", "remote"]
    assert ask(repository, "schedule", only="glyphs").names == ["glyphs"]


PAYLOAD = {
    "event_author": "ada",
    "artifact_version_string": "acme/wandb-registry-model/glyphs-dev:v3",
    "artifact_collection_name": "glyphs-dev",
    "project_name": "wandb-registry-model",
    "entity_name": "acme",
}


def dispatched(repository, payload, action="ADD_ARTIFACT_ALIAS"):
    (repository.parent / "event.json").write_text(json.dumps({"action": action, "client_payload": payload}))
    return ask(repository, "repository_dispatch")


def test_an_automation_of_wandb_proposes_the_version_that_it_names(repository):
    (model,) = dispatched(repository, PAYLOAD).models
    reason = "W&B automation ADD_ARTIFACT_ALIAS by ada"
    named = {"version": PAYLOAD["artifact_version_string"], "policy": "", "reason": reason}
    assert model == ask(repository, "workflow_dispatch", use_case="glyphs").models[0] | named


@pytest.mark.parametrize(
    "forged",
    [
        None,
        "x",
        {},
        PAYLOAD | {"artifact_version_string": "acme/wandb-registry-model/glyphs-dev:latest"},
        PAYLOAD | {"artifact_version_string": "acme/wandb-registry-model/remote-dev:v3"},
        PAYLOAD | {"artifact_version_string": "--policy=rollback"},
        PAYLOAD | {"artifact_version_string": ["v3"]},
        PAYLOAD | {"artifact_collection_name": "other"},
        PAYLOAD | {"artifact_collection_name": None},
    ],
)
def test_a_payload_of_another_form_is_about_nothing(repository, forged):
    answer = dispatched(repository, forged)
    assert (answer.code, answer.models) == (2, None)


def test_the_author_of_an_automation_stays_text(repository):
    hostile = PAYLOAD | {"event_author": "ada\n::error::x $(id) <b>" + "y" * 99}
    (model,) = dispatched(repository, hostile, action="x\n").models
    assert model["reason"].isprintable() and len(model["reason"]) < 120 and "<" not in model["reason"]


def test_a_repository_that_runs_one_use_case_runs_no_other(repository):
    change(repository, "modelgate/errors.py")
    assert ask(repository, only="glyphs").names == ["glyphs"]


@pytest.mark.prove
def test_twenty_untouched_use_cases_take_at_most_fifteen_seconds(repository):
    for number in range(18):
        folder = repository / f"usecases/more{number}"
        shutil.copytree(repository / "usecases/glyphs", folder)
        own.edit(folder / "config.toml", ("[build]", f'[approval]\nenvironment = "more-{number}"\n\n[build]'))
    commit(repository, "Many")
    change(repository, "docs/guide.md")
    began = time.monotonic()
    assert ask(repository).models == []
    assert time.monotonic() - began < 15


# --- random histories ------------------------------------------------------------------------------------------------


def script():
    spec = importlib.util.spec_from_file_location("find_use_cases", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sent(root):
    """Return what docker would get for each image of each use case, byte for byte, without git's files and tags."""
    outputs = {}
    for config in sorted((root / "usecases").glob("*/config.toml")):
        name = config.parent.name
        wanted = images.wanted(root, name)
        outputs[name] = [
            (dict(wanted[step].arguments), [(path, (root / path).read_bytes()) for path in wanted[step].inputs])
            for step in STEPS
        ]
    return outputs


def tags(root, names):
    return {name: [images.wanted(root, name)[step].reference for step in STEPS] for name in names if there(root, name)}


def there(root, name):
    return (root / "usecases" / name).is_dir()


def of_workflows(root):
    return {path: path.read_bytes() for path in (root / ".github").rglob("*") if path.is_file()}


PLACES = [
    *("usecases/{}/model.py", "usecases/{}/data.py", "usecases/{}/rows.csv", "usecases/{}/notes.md"),
    *("usecases/{}/test_it.py", "usecases/{}/deep/part.py", "usecases/__init__.py", "modelgate/text.py"),
    *("modelgate/gate/rules.py", "modelgate/new.py", "steps/train.py", "steps/audit.py", "docker/link/Dockerfile"),
    *("docker/train/requirements.txt", "docker/server/Dockerfile", "docs/guide.md", "README.md", "json5.py"),
    ".github/actions/report/report.py",
]


def at_random(dice, root, number):
    """Make one commit: change, add, move or delete a file, or add or remove a use case."""
    names = sorted(path.parent.name for path in (root / "usecases").glob("*/config.toml"))
    kind = dice.random()
    if kind < 0.08 and len(names) < 4:
        folder = root / f"usecases/case{number}"
        shutil.copytree(root / "usecases/glyphs", folder)
        own.edit(folder / "config.toml", ("[build]", f'[approval]\nenvironment = "e{number}"\n\n[build]'))
    elif kind < 0.12 and len(names) > 2:
        shutil.rmtree(root / "usecases" / dice.choice([name for name in names if name != "glyphs"]))
    else:
        path = root / dice.choice(PLACES).format(dice.choice(names))
        path.parent.mkdir(parents=True, exist_ok=True)
        extra = path.exists() and path.name in ("rows.csv", "notes.md", "part.py", "test_it.py", "new.py")
        if extra and kind < 0.3:
            path.unlink()
        elif extra and kind < 0.5:
            path.rename(path.with_name(f"moved{number}{path.suffix}"))
        else:
            with path.open("a") as file:
                file.write(f"# {number}\n")
    commit(root, f"Commit {number}")


@pytest.mark.parametrize("histories", [5, pytest.param(200, marks=pytest.mark.prove)])
def test_what_is_touched_is_what_docker_would_be_sent_otherwise(repository, histories, monkeypatch):
    """Pushes of several commits, and pull requests into a newer main."""
    monkeypatch.chdir(repository)
    find, dice = script(), random.Random(histories)
    monkeypatch.setattr(find, "list_images", tags)  # in this process, which is faster
    touched = untouched = 0
    for number in range(0, 10 * histories, 10):
        git(repository, "switch", "-q", "main")
        before, state = git(repository, "rev-parse", "HEAD"), (sent(repository), of_workflows(repository))
        commits = range(number, number + dice.randint(1, 3))
        event = dice.choice(["push", "pull_request"])
        if event == "pull_request":
            git(repository, "switch", "-q", "-c", f"pull{number}")
        for each in commits:
            at_random(dice, repository, each)
        if event == "pull_request":
            git(repository, "switch", "-q", "main")
            git(repository, "merge", "-q", "--no-ff", "-m", "Merge", f"pull{number}")
            before = "HEAD^1"
        now = sent(repository)
        everything = of_workflows(repository) != state[1]
        expected = [name for name in now if everything or now[name] != state[0].get(name)]
        inputs = {"GITHUB_EVENT_NAME": event, "BEFORE": before, "USE_CASE": "", "ONLY": ""}
        assert [model["name"] for model in find.find(inputs)] == expected, git(repository, "log", "--stat", "-3")
        touched, untouched = touched + len(expected), untouched + len(now) - len(expected)
    assert min(touched, untouched) > histories / 2


def test_what_every_model_goes_through_is_what_the_pipeline_uses():
    """Its own file, the one that it calls, and all actions, of which only comment.yml uses one."""
    workflows_used = {
        job["uses"].removeprefix("./") for job in workflows()["pipeline.yml"].jobs.values() if "uses" in job
    }
    used = {str(path.relative_to(WORKFLOWS.parents[1])) for path in ACTIONS.rglob("*.py")}
    for name in {*workflows_used, ".github/workflows/pipeline.yml", *used}:
        assert name.startswith(script().WORKFLOWS), name
    assert not fnmatch(".github/workflows/ci.yml", script().WORKFLOWS[1])
