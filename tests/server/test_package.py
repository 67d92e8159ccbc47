"""
The distribution `modelgate-server`: its wheel, its sdist and its editable install, used by a project of another shape.

    pytest tests/server/test_package.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import images
from tests.serving import ROOT, until

PACKAGE = ROOT / "modelgate_server"
METADATA = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Each costs everyone who installs the server: a new one needs a reason.
DEPENDENCIES = {"ariadne", "google-re2", "httptools", "jinja2", "markdown-it-py", "pyyaml", "starlette", "uvicorn"}
OF_THE_DISTRIBUTION = {"LICENSE", "README.md", "pyproject.toml"}

# A project that knows nothing of this repository: its code names an entity, its tests use the plugin.
PROJECT = {
    "src/acme/__init__.py": "",
    "src/acme/training.py": """
import wandb

def train(folder):
    with wandb.init(entity="acme-ml", project="churn", job_type="train") as run:
        for step in range(3):
            run.log({"loss": 1 / (step + 1)})
        table = wandb.Table(columns=["customer", "churns"], data=[["ada", 0], ["bob", 1]])
        run.log({"customers": table})
        weights = folder / "weights.txt"
        weights.write_text("0.5 0.25")
        model = wandb.Artifact("churn-model", "model")
        model.add_file(str(weights))
        run.log_artifact(model).wait()
        run.link_artifact(model, "wandb-registry-model/Churn")
    return run.path
""",
    "pytest.ini": "[pytest]\npythonpath = src\n",
    "tests/test_training.py": """
import json
import os
import wandb
from acme.training import train

def test_training_is_recorded(wandb_env, tmp_path):
    path = train(tmp_path)
    api = wandb.Api()
    run = api.run(path)
    assert path.startswith("acme-ml/churn/")
    assert [row["loss"] for row in run.scan_history(keys=["loss"])] == [1, 1 / 2, 1 / 3]
    model = api.artifact("acme-ml/churn/churn-model:latest")
    assert open(model.download() + "/weights.txt").read() == "0.5 0.25"
    assert str(tmp_path.parent) in os.path.abspath(model.download())
    table = api.artifact(f"acme-ml/churn/run-{run.id}-customers:latest").get("customers")
    assert table.data == [["ada", 0], ["bob", 1]]

def test_the_outer_variables_are_sealed(wandb_env):
    ours = {name: value for name, value in os.environ.items() if name.startswith("WANDB_")}
    assert ours == wandb_env and "outer" not in "".join(ours.values())
    assert wandb.Api().default_entity == "local"
""",
    "tests/test_sums.py": """
import os
import sys

def test_the_outer_variables_are_as_they_were_where_nobody_asks():
    assert os.environ["WANDB_PROJECT"] == "outer"
""",
}
ALONE = """
import sys

def test_the_plugin_loads_nothing_that_takes_time(request):
    assert request.config.pluginmanager.has_plugin("modelgate-server")
    assert not {"ariadne", "graphql", "jinja2", "sqlite3", "starlette", "uvicorn", "wandb", "yaml"} & set(sys.modules)
    ours = {name for name in sys.modules if name.startswith("modelgate_server")}
    assert ours == {"modelgate_server", "modelgate_server.pytest_plugin"}
"""
ONLY_OURS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")
SLEEPS = """
import time

def test_that_is_killed(wandb_server):
    print(wandb_server.url, file=open("url.txt", "w"))
    time.sleep(600)
"""


def run(*command: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env=kept | pip | env, capture_output=True, text=True, timeout=600)


def done(*command: object, cwd: Path | None = None, **env: str) -> str:
    ended = run(*command, cwd=cwd, **env)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def copied(folder: Path) -> Path:
    """The package's folder as a clone has it, so that what a build leaves behind does not stay."""
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    return Path(shutil.copytree(PACKAGE, folder / "modelgate_server", ignore=ignored))


def environment(folder: Path, *installed: object) -> Path:
    """A fresh environment with these; everything that they need comes from the one that runs this."""
    made = folder / "environment"
    done(sys.executable, "-m", "venv", "--without-pip", made)
    packages = Path("lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    (made / packages / "behind.pth").write_text(f"{Path(sys.prefix) / packages}\n")
    python = made / "bin" / "python"
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    done(sys.executable, "-m", "pip", "-q", "--python", python, "install", *offline, *installed)
    return python


def project(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "project" / name).write_text(text)
    return folder / "project"


def assert_it_is_of_use(python: Path, folder: Path) -> None:
    """The tests of the project pass with two workers, and leave neither a server nor its data."""
    made = project(folder, PROJECT)
    outer = {"WANDB_PROJECT": "outer", "WANDB_MODE": "disabled", "WANDB_ENTITY": "outer"}
    command = [python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--basetemp", folder / "base"]
    assert "3 passed" in done(*command, cwd=made, **outer)
    assert list((folder / "base").rglob("server.log")) and not list((folder / "base").rglob("server.db"))
    assert str(folder / "base") not in processes()
    assert {path.name for path in made.iterdir()} <= {"src", "tests", "pytest.ini"}


def processes() -> str:
    return done("ps", "-A", "-o", "args=")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("built")
    source = copied(folder)
    program = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    done(sys.executable, "-c", program, cwd=source)
    (sdist,) = folder.glob("*.tar.gz")
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    done(sys.executable, "-m", "pip", "-q", "wheel", *offline, "-w", folder, sdist)
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("installed"), wheel)


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_the_wheel_has_the_files_of_the_image(wheel: Path) -> None:
    ours = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("modelgate_server/")}
    assert ours == {path for path in images.list_inputs(ROOT, "server", {}) if path.startswith("modelgate_server/")}


def test_the_sdist_builds_the_same_wheel_as_the_folder(built: Path, wheel: Path, tmp_path: Path) -> None:
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    done(sys.executable, "-m", "pip", "-q", "wheel", *offline, "-w", tmp_path, copied(tmp_path))
    (other,) = tmp_path.glob("*.whl")
    first, second = zipfile.ZipFile(wheel), zipfile.ZipFile(other)
    assert sorted(first.namelist()) == sorted(second.namelist())
    assert all(first.read(name) == second.read(name) for name in first.namelist() if "dist-info" not in name)
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        assert {Path(name).name for name in archive.getnames()} >= OF_THE_DISTRIBUTION


def test_the_wheel_needs_these_and_nothing_else(wheel: Path) -> None:
    text = next(
        zipfile.ZipFile(wheel).read(name).decode()
        for name in zipfile.ZipFile(wheel).namelist()
        if name.endswith("/METADATA")
    )
    assert set(re.findall(r"^Requires-Dist: ([\w-]+)", text, re.MULTILINE)) == DEPENDENCIES
    assert "\nRequires-Python: >=3.11\n" in text and "\nLicense-Expression: MIT\n" in text


def test_the_license_is_the_repositorys() -> None:
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_project_is_locked_to_versions_that_the_package_takes() -> None:
    from packaging.requirements import Requirement

    locked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pins = {one.name: str(one.specifier).removeprefix("==") for one in map(Requirement, locked)}
    for one in map(Requirement, METADATA["dependencies"]):
        assert one.specifier.contains(pins[one.name]), one


# --- used by others --------------------------------------------------------------------------------------------------


def test_a_project_of_another_shape_tests_its_code_with_the_wheel(python: Path, tmp_path: Path) -> None:
    assert_it_is_of_use(python, tmp_path)


@pytest.fixture
def editable(tmp_path: Path) -> Path:
    """An environment with an editable install of a copy of the package in `tmp_path`."""
    return environment(tmp_path, "-e", copied(tmp_path))


def test_an_editable_install_has_the_command_the_plugin_and_the_files_of_the_folder(
    editable: Path, tmp_path: Path
) -> None:
    where = done(editable, "-c", "import modelgate_server.api.graphql_api as it; print(it.__file__)", cwd=tmp_path)
    assert where.strip() == str(tmp_path / "modelgate_server" / "api" / "graphql_api.py")
    assert "usage: modelgate-server" in done(editable.with_name("modelgate-server"), "--help")
    made = project(tmp_path, {"test_alone.py": ALONE})
    assert "1 passed" in done(editable, "-m", "pytest", "-q", *ONLY_OURS, cwd=made)


@pytest.mark.prove
def test_an_editable_install_is_of_the_same_use(editable: Path, tmp_path: Path) -> None:
    assert_it_is_of_use(editable, tmp_path)


def test_the_plugin_costs_nothing_in_tests_that_do_not_use_it(python: Path, tmp_path: Path) -> None:
    made = project(tmp_path, {"test_alone.py": ALONE})
    command = [python, "-m", "pytest", "-q", *ONLY_OURS, "--basetemp", tmp_path / "base"]
    assert "1 passed" in done(*command, cwd=made)
    assert not list(tmp_path.rglob("server.log"))


def test_the_server_of_a_session_that_is_killed_ends(python: Path, tmp_path: Path) -> None:
    made = project(tmp_path, {"test_sleeps.py": SLEEPS})
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", tmp_path / "base"]
    session = subprocess.Popen([str(word) for word in command], cwd=made, stdout=subprocess.DEVNULL)
    try:
        until((made / "url.txt").exists, "the server")
        assert str(tmp_path / "base") in processes().replace(" ".join(map(str, command)), "")
    finally:
        session.kill()
        session.wait(60)
    until(lambda: str(tmp_path / "base") not in processes(), "the server's end")


def test_a_server_that_does_not_start_is_shown_with_its_own_words(python: Path, tmp_path: Path) -> None:
    made = project(tmp_path, {"test_it.py": "def test_it(wandb_server): pass\n"})
    broken = {"PYTHONPATH": str(tmp_path / "broken")}
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "uvicorn.py").write_text("raise ImportError('this is not uvicorn')\n")
    ended = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=made, **broken)
    assert ended.returncode == 1
    assert "the W&B server did not start" in ended.stdout and "this is not uvicorn" in ended.stdout


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def command(python: Path) -> Path:
    return python.with_name("modelgate-server")


@pytest.fixture
def started(command: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`modelgate-server` and nothing more, in an empty home; and what it printed."""
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    pipe = subprocess.PIPE
    process = subprocess.Popen([str(command)], cwd=tmp_path, env=env, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline() + process.stdout.readline()
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_bare_start_prints_the_two_lines_to_paste(started: tuple[subprocess.Popen[str], str], tmp_path: Path) -> None:
    process, lines = started
    key = tmp_path / ".local/share/modelgate-server/api_key"
    first, second = lines.splitlines()
    assert re.fullmatch(r"export WANDB_BASE_URL=http://127\.0\.0\.1:\d+", first)
    assert second == f'export WANDB_API_KEY="$(cat {key})"' and key.exists()
    pasted = f'{lines}\nexec {sys.executable} -c "import wandb; print(wandb.Api().default_entity)"'
    assert done("sh", "-c", pasted, cwd=tmp_path).splitlines()[-1] == "local"
    assert process.poll() is None


def test_a_start_takes_less_than_a_second_of_its_own_time(started: tuple[subprocess.Popen[str], str]) -> None:
    """Of the processor: what else this machine does is not the server's."""
    used = Path(f"/proc/{started[0].pid}/stat").read_text().rpartition(")")[2].split()
    assert (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK") < 1


def test_the_help_lists_the_commands(command: Path) -> None:
    text = done(command, "--help")
    for name in ("serve", "admin", "check", "gc", "backup", "export", "import"):
        assert re.search(rf"^    {name} +\w", text, re.MULTILINE), name
        assert f"usage: modelgate-server {name} " in done(command, name, "--help")


def test_an_unknown_command_is_refused(command: Path) -> None:
    ended = run(command, "sevre")
    assert ended.returncode == 2 and "'sevre' (choose from" in ended.stderr and "Traceback" not in ended.stderr


# --- really fresh ----------------------------------------------------------------------------------------------------


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("minor", "versions"), [(11, "oldest"), (11, "newest"), (12, "newest"), (13, "newest"), (14, "newest")]
)
def test_a_fresh_environment_from_the_package_index(minor: int, versions: str, wheel: Path, tmp_path: Path) -> None:
    """With the newest versions of what it needs, and with the oldest that it says it takes."""
    interpreter = shutil.which(f"python3.{minor}")
    if interpreter is None or run(interpreter, "-c", "").returncode != 0:
        pytest.skip(f"there is no Python 3.{minor} here")
    pins = [one.replace(">=", "==") for one in METADATA["dependencies"]] if versions == "oldest" else []
    done(interpreter, "-m", "venv", tmp_path / "fresh")
    python = tmp_path / "fresh" / "bin" / "python"
    done(python, "-m", "pip", "-q", "install", wheel, *pins, "wandb", "pytest", "pytest-xdist")
    began = time.monotonic()
    assert_it_is_of_use(python, tmp_path)
    print(f"Python 3.{minor}, {versions}: {time.monotonic() - began:.1f} s")
