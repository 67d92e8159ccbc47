"""
Which pull requests would judge themselves: the real script in a repository whose HEAD is a pull request's merge.

    pytest tests/workflows/test_touches_judge.py
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from itertools import product

import pytest

from runner import images
from tests.workflows.acting import commit, git
from tests.workflows.files import ACTIONS, ROOT

SCRIPT = ACTIONS / "touches-judge" / "touches_judge.py"
CONFIG = "usecases/glyphs/config.toml"


@pytest.fixture
def repository(tmp_path):
    """A repository with one use case, on main."""
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / CONFIG).parent.mkdir(parents=True)
    (tmp_path / CONFIG).write_text((ROOT / "tests" / CONFIG).read_text())
    (tmp_path / "usecases/glyphs/model.py").write_text("UNITS = 8\n")
    commit(tmp_path, "First")
    return tmp_path


def touches(repository, change, event="pull_request", into="main"):
    """Return the action's outputs and log for a pull request with this change, merged as GitHub does it."""
    git(repository, "switch", "-q", "-c", "better")
    change(repository)
    commit(repository, "Better")
    git(repository, "switch", "-q", "main")
    (repository / "steps").mkdir(exist_ok=True)
    (repository / "steps/evaluate.py").write_text("# main has gone on; that is no change of the pull request\n")
    commit(repository, "Main goes on")
    git(repository, "merge", "-q", "--no-ff", "-m", "Merge", "better")
    output = repository.parent / "output"
    output.write_text("")
    environ = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": event, "GITHUB_OUTPUT": str(output)}
    environ["GITHUB_BASE_REF"] = into
    done = subprocess.run([sys.executable, SCRIPT], cwd=repository, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return output.read_text(), done.stdout


def writes(name, text="x\n"):
    def change(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return change


def replaces(old, new):
    def change(root):
        text = (root / CONFIG).read_text()
        assert old in text
        (root / CONFIG).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    "change",
    [
        writes("usecases/glyphs/model.py", "UNITS = 16\n"),
        replaces("epochs = 15", "epochs = 30"),
        writes("README.md"),
        writes("tests/modelgate/test_gate.py"),
        writes("docs/steps/gate.md"),
        writes("modelgate_server/store/db.py"),
    ],
)
def test_a_pull_request_that_changes_the_model_may_promote(repository, change):
    assert touches(repository, change)[0] == "touches=false\n"


@pytest.mark.parametrize(
    "change",
    [
        writes("modelgate/gate/rules.py"),
        writes("steps/évaluer.py"),
        writes("docker/evaluate/Dockerfile"),
        writes(".github/workflows/pipeline.yml"),
        writes(".github/actions/touches-judge/touches_judge.py"),
        writes("requirements.txt"),
        writes("runner/images.py"),
        writes("json.py"),  # `python -m runner` would import it instead of Python's own
        writes("json/__init__.py"),
        writes(".gitattributes", "*.py text eol=crlf\n"),
        writes("Makefile"),
        writes("steps/README.md"),
        writes("usecases/glyphs/data.py"),
        writes("usecases/glyphs/behaviour.py"),
        writes("usecases/__init__.py"),
        writes("usecases/glyphs/deep/model.py"),
        writes("usecases/other/config.toml", "[gate]\nat_least = 0\n"),
        replaces("at_least = 0.90", "at_least = 0.10"),
        replaces("eval_rows = 497", "eval_rows = 7"),
        replaces("self_approval = false", "self_approval = true"),
        lambda root: (root / CONFIG).unlink(),
        lambda root: (root / CONFIG).write_text("[gate\n"),
        lambda root: (root / "usecases/glyphs/model.py").rename(root / "usecases/glyphs/data.py"),
    ],
)
def test_a_pull_request_that_changes_its_judge_is_merged_first(repository, change):
    assert touches(repository, change)[0] == "touches=true\n"


def test_a_pull_request_into_a_branch_has_that_branch_s_judge_and_is_merged_first(repository):
    """It changes only the model, but its gate is one that no one has merged into main."""
    output, log = touches(repository, writes("usecases/glyphs/model.py", "UNITS = 16\n"), into="easy\n::error::x")
    assert output == "touches=true\n"
    assert '"easy\\n::error::x"' in log


def test_a_file_s_name_is_no_command(repository):
    output, log = touches(repository, writes("steps/x\n::set-output name=touches::false\ntouches=false"))
    assert output == "touches=true\n"
    assert not [line for line in log.splitlines() if line.startswith("::")]


def test_elsewhere_there_is_no_judge_to_touch(repository):
    assert touches(repository, writes("modelgate/gate/rules.py"), event="push")[0] == "touches=false\n"


def test_without_the_merge_it_fails(repository):
    git(repository, "checkout", "-q", "--detach")
    environ = {"PATH": os.environ["PATH"], "GITHUB_EVENT_NAME": "pull_request", "GITHUB_OUTPUT": "/dev/null"}
    environ["GITHUB_BASE_REF"] = "main"
    done = subprocess.run([sys.executable, SCRIPT], cwd=repository, env=environ, capture_output=True, text=True)
    assert done.returncode != 0


# --- over the real files ---------------------------------------------------------------------------------------------


def tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name]


def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("touches_judge", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_that_is_harmless_gets_into_an_image_of_a_step_or_runs_beside_it():
    harmless = [name for name in tracked() if script().is_harmless(name)]
    assert len(harmless) > 100
    for name, use_case in product(push_images_steps(), shipped()):
        built = images.add_bases([images.wanted(ROOT, use_case)[name]])
        assert not {path for image in built for path in image.inputs} & set(harmless), name
    assert not [name for name in harmless if name.startswith((".", "runner/", "steps/", "usecases/", "docker/"))]
    # The modules that `python -m runner images` loads; it builds the image that gets the second key.
    loads = "import runner.__main__, sys; print(*(module.__file__ for module in sys.modules.values() if "
    loads += "str(getattr(module, '__file__', '')).startswith(sys.argv[1])), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", loads, f"{ROOT}/"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {os.path.relpath(name, ROOT) for name in done.stdout.splitlines()}
    assert "runner/images.py" in loaded and not loaded & set(harmless)


def test_the_network_that_a_pull_request_may_change_gets_into_no_image_that_may_run_it_but_train_s():
    """For scikit-learn, evaluate reads it as text; a test of the Dockerfiles checks that no judge imports it."""
    for name, use_case in product(push_images_steps(), shipped()):
        model = f"usecases/{use_case}/model.py"
        assert fnmatch(model, script().MODEL)
        built = images.add_bases([images.wanted(ROOT, use_case)[name]])
        reads = name == "train" or (name == "evaluate" and built[-1].arguments["FRAMEWORK"] == "sklearn")
        assert [image.name for image in built if model in image.inputs] == ([name] if reads else [])


def shipped():
    return [path.parent.name for path in (ROOT / "usecases").glob("*/config.toml")]


def push_images_steps():
    (steps,) = re.findall(r"^STEPS = (.*)$", (ACTIONS / "push-images/push_images.py").read_text(), re.MULTILINE)
    return ast.literal_eval(steps)


def test_who_owns_the_judge_owns_every_file_of_it():
    """The last line of CODEOWNERS that matches a file names its owner; a line without a name means that it has none."""
    lines = [line.split() for line in (ROOT / ".github/CODEOWNERS").read_text().splitlines()]
    rules = [(line[0], line[1:]) for line in lines if line and not line[0].startswith("#")]

    def owners(name):
        fits = [owner for pattern, owner in rules if pattern == "*" or owned(name, pattern)]
        return fits[-1]

    def owned(name, pattern):
        assert pattern.startswith("/")  # otherwise it would match at any depth
        if pattern.endswith("/"):
            return name.startswith(pattern[1:])
        return "/" not in name and fnmatch(name, pattern[1:])

    for name in [*tracked(), "json.py", "steps/README.md", "steps/docs/x.py"]:
        assert bool(owners(name)) != script().is_harmless(name), name
