"""
Check the Dockerfiles and their locks against the code; this needs no engine.

    pytest tests/docker/test_dockerfiles.py
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from modelgate import config, frameworks, rows
from modelgate.tracking import fingerprint
from runner import images
from tests import own
from tests.docker.dockerfiles import ARGUMENTS, ROOT, WITH_MODEL, dockerfile, entries, locks
from tests.imports import imports

# The steps of an image.
STEPS = {
    "build": ["build"],
    "train": ["train"],
    "link": ["link"],
    "evaluate": ["evaluate"],
    "promote": ["promote", "audit"],
    "predict": ["predict"],
    "serve": [],  # the room serving/
}
# Those that run code of the use case, which may import any module of `modelgate.rows`, on a framework's image.
WITH_CODE = {"build", "train", "evaluate", "predict", "serve"}
WITH_ROWS = {
    "build",
    "train",
    "evaluate",
    "predict",
    "promote",
    "serve",
}  # that read the rows of a dataset, of any kind
ON_PYTHON = ("frameworks", "link", "promote", "server")  # the folders of the others, and of what those are built on
FOLDERS = (*images.NAMES, "frameworks", "packages")
# The name that is imported, where it is not that of the package.
PACKAGES = {
    "markdown_it": "markdown-it-py",
    "PIL": "pillow",
    "graphql": "graphql-core",
    "prometheus_client": "prometheus-client",
    "re2": "google-re2",
    "sklearn": "scikit-learn",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
# In the server's folder, for the wheel alone, and what its build leaves there.
OF_THE_DISTRIBUTION = {"README.md", "pyproject.toml"}
TENSORFLOW = {"tensorflow", "tensorflow-cpu"}
# Packages that we need although no file of ours imports them, and why.
NOT_IMPORTED = {
    "keras": {"pillow"},  # the SDK makes pictures with it
    "sklearn": {
        "pandas", "pandera", "pyarrow", "scikit-learn", "skops",  # for the rows and models of use cases
        "pydantic",  # for evaluate
    },
    "predict": {"pillow", "pydantic"},  # for evaluate, on the same framework's image
    "serve": {"httptools", "pillow", "pydantic", "pyarrow"},
    "server": {"httptools"},  # uvicorn's parser, named as a string
}  # fmt: skip
# What a file imports that the images of the lock have only if the use case asks for it.
TABLES = {"pandas", "pandera", "pyarrow"}
NOT_INSTALLED = {"keras": TABLES, "predict": TABLES - {"pyarrow"}, "serve": {"pyarrow"}}


def code_of(name: str) -> set[str]:
    """Return our files that the steps of an image import, directly or by name, and those that a use case may import."""
    paths = set(fingerprint.list_sources(f"steps.{step}" for step in STEPS[name]))
    if name == "serve":
        names = {module for path in (ROOT / "serving").glob("*.py") for module in imports(path)}
        ours = {module for module in names if module.startswith("modelgate")}
        paths |= {"serving/", *fingerprint.list_sources(ours | {module.rpartition(".")[0] for module in ours})}
    if name in WITH_CODE:
        paths |= {f"modelgate/rows/{path.name}" for path in (ROOT / "modelgate" / "rows").glob("*.py")}
        paths.add("usecases/__init__.py")
    if name in WITH_ROWS:
        paths |= set(fingerprint.list_sources(rows.get_module(task) for task in rows.KINDS))
    if name in WITH_MODEL:
        paths |= set(fingerprint.list_sources([frameworks.get_module(ARGUMENTS["FRAMEWORK"])]))
    return paths


def difference(name: str, text: str) -> dict[str, list[str]]:
    """Return what the COPY lines of a step's Dockerfile lack, and what they copy although nothing reads it."""
    copied = {path for path in images.list_copied(text, ARGUMENTS) if not path.startswith("docker/")}
    wanted = code_of(name) | {"usecases/glyphs/" if name in WITH_CODE else "usecases/glyphs/config.toml"}
    return {"missing": sorted(wanted - copied), "unnecessary": sorted(copied - wanted)}


# --- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_an_image_has_the_files_that_its_step_reads_and_no_other(name):
    assert difference(name, dockerfile(name)) == {"missing": [], "unnecessary": []}


def test_a_forgotten_and_a_needless_file_would_be_named():
    text = dockerfile("promote").replace("modelgate/gate/rules.py", "modelgate/rows/checks.py")
    assert difference("promote", text) == {
        "missing": ["modelgate/gate/rules.py"],
        "unnecessary": ["modelgate/rows/checks.py"],
    }


def test_the_server_is_its_room_and_nothing_else():
    assert images.list_copied(dockerfile("server"), {}) == ["docker/server/requirements.txt", "modelgate_server/"]
    room = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "modelgate_server").rglob("*.*")
        if "__pycache__" not in path.parts and path.name not in OF_THE_DISTRIBUTION
    }
    # Name a file of a new kind in images.WHOLE.
    assert room == {path for path in images.list_inputs(ROOT, "server", {}) if path.startswith("modelgate_server/")}


@pytest.mark.parametrize("name", FOLDERS)
def test_nothing_is_copied_by_a_pattern(name):
    assert not [
        path
        for path in images.list_copied(dockerfile(name), ARGUMENTS)
        if set(path) & set("*?[") or path in (".", "./")
    ]


# --- what is installed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docker").rglob("*.txt"))])
def test_a_lock_is_a_part_of_the_projects(lock):
    whole = entries((ROOT / "requirements.txt").read_text())
    ours = entries((ROOT / lock).read_text())
    assert ours
    others = {name: entry for name, entry in ours.items() if whole.get(name) != entry}
    if lock == "docker/frameworks/keras-cuda.txt":
        others = {name: entry for name, entry in others.items() if not name.startswith("nvidia-")}
    assert others == {}
    assert all(len(entry) > 1 for entry in ours.values()), "a package without a hash"


def test_what_a_use_case_adds_goes_with_what_the_project_has():
    whole = entries((ROOT / "requirements.txt").read_text())
    for lock in (ROOT / "usecases").glob("*/requirements.txt"):
        added = entries(lock.read_text())
        assert added and all(len(entry) > 1 for entry in added.values()), lock
        assert {name: entry for name, entry in added.items() if name in whole and entry[0] != whole[name][0]} == {}


def test_another_version_or_hash_would_be_seen():
    text = (ROOT / "docker/link/requirements.txt").read_text()
    changed = re.sub(r"(wandb==\S+ \\\n +--hash=sha256:)[0-9a-f]", r"\g<1>_", text)
    assert entries(changed)["wandb"] != entries(text)["wandb"]
    assert entries(text.replace("wandb==0", "wandb==1"))["wandb"] != entries(text)["wandb"]


# Which images have a lock.
HOLD = {"keras": ("train", "evaluate"), "sklearn": ("build",), "link": ("link",), "promote": ("promote",)} | {
    "predict": ("predict",),
    "serve": ("serve",),
    "server": ("server",),
}


@pytest.mark.parametrize("lock", HOLD)
def test_nothing_is_asked_for_that_no_file_imports(lock):
    names = HOLD[lock]
    locked = {package for path in locks(names[0]) for package in wanted(path)}
    code = {"modelgate_server/"} if lock == "server" else {path for name in names for path in code_of(name)}
    files = [file for path in code for file in ((ROOT / path).rglob("*.py") if path[-1] == "/" else [ROOT / path])]
    imported = {package for file in files for package in packages(file)}
    assert locked - imported - TENSORFLOW == NOT_IMPORTED.get(lock, set()) - imported
    # The server's: ariadne is built on graphql-core, starlette on anyio, and only pytest loads the plugin.
    assert imported - NOT_INSTALLED.get(lock, set()) <= locked | {"anyio", "graphql-core", "pytest"}
    assert bool(locked & TENSORFLOW) == ("tensorflow" in imported)


@pytest.mark.parametrize("framework", config.FRAMEWORKS)
def test_every_framework_has_an_image_and_none_has_another_s_packages(framework):
    lock = entries((ROOT / f"docker/frameworks/{framework}.txt").read_text())
    assert {"keras", "sklearn"} >= {framework}
    assert bool(set(lock) & (TENSORFLOW | {"keras"})) == (framework == "keras")
    assert ("skops" in lock) == (framework == "sklearn")


def wanted(lock: str) -> set[str]:
    """Return the packages that a lock was made for: from the list next to it; the server's from its distribution."""
    if lock == "docker/server/requirements.txt":
        lines = tomllib.loads((ROOT / "modelgate_server/pyproject.toml").read_text())["project"]["dependencies"]
    else:
        lines = (ROOT / lock).with_suffix(".in").read_text().splitlines()
    return {re.split(r"[\[\s>=]", line)[0] for line in lines if line and not line.startswith("#")}


def test_the_servers_lock_is_made_from_its_distribution():
    lock = (ROOT / "docker/server/requirements.txt").read_text()
    assert "uv pip compile modelgate_server/pyproject.toml -c requirements.txt" in lock.splitlines()[1]
    assert wanted("docker/server/requirements.txt") <= set(entries(lock))


def packages(file: Path) -> set[str]:
    """Return the third-party packages that a file imports anywhere, without those for type checkers alone."""
    names: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unread = {id(node) for test in ast.walk(tree) if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
              for node in ast.walk(test)}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    own = {"modelgate", "modelgate_server", "serving", "steps", "usecases"} | set(sys.stdlib_module_names)
    return {PACKAGES.get(name, name) for name in names - own}


@pytest.mark.parametrize("name", ON_PYTHON)
def test_the_base_is_one_for_all_and_pinned_by_its_digest(name):
    """Dependabot reads literal FROM lines alone. `ARG BASE` names another base, and then no stage needs this one."""
    (base,) = re.findall(r"^ARG BASE=pinned\nFROM (\S+) AS pinned\nFROM \${BASE}$", dockerfile(name), re.MULTILINE)
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert base in dockerfile("frameworks")


def test_dependabot_reads_every_folder_with_the_base_and_no_other():
    updates = check_dependabot()
    assert updates == [f"/docker/{name}" for name in ON_PYTHON]


def check_dependabot() -> list[str]:
    """Assert which folders' base images Dependabot updates."""
    text = (ROOT / ".github/dependabot.yml").read_text()
    (line,) = re.findall(r"package-ecosystem: docker\n +directories: \[(.*)\]", text)
    return str(line).split(", ")


@pytest.mark.parametrize("name", sorted({*FOLDERS} - {*ON_PYTHON}))
def test_the_others_stand_on_an_image_of_ours_and_install_no_framework(name):
    text = dockerfile(name)
    assert re.findall(r"^FROM (.*)", text, re.MULTILINE) == ["${FRAMEWORK_IMAGE}"]
    assert ("pip install" in text) == (name in ("packages", "predict", "serve"))


@pytest.mark.parametrize("name", FOLDERS)
def test_a_dockerfile_needs_nothing_that_an_older_builder_lacks(name):
    text = dockerfile(name)
    assert not re.search(r"^# *syntax=|<<|COPY +--", text, re.MULTILINE)
    assert text.count("pip install") == text.count("--require-hashes") == text.count("id=modelgate-pip")


# --- the tag, and what a build gets to see ---------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    return own.clone(tmp_path)


@pytest.mark.parametrize(
    ("touched", "changed"),
    [
        ("steps/link.py", {"link"}),
        ("modelgate/gate/rules.py", {"evaluate", "promote"}),
        ("usecases/glyphs/model.py", {"train"}),
        ("modelgate/incoming.py", {"predict", "serve"}),
        ("serving/app.py", {"serve"}),
        ("serving/page/page.js", {"serve"}),
        ("docker/predict/requirements.txt", {"predict"}),
        ("usecases/glyphs/helper.py", WITH_CODE),  # a new file of the team, which its other files may import
        ("usecases/glyphs/config.toml", set(STEPS)),
        ("usecases/glyphs/test_data.py", set()),
        ("usecases/remote/data.py", set()),
        ("requirements.txt", set()),
        ("docker/frameworks/keras.txt", WITH_MODEL),
        ("docker/frameworks/keras-cuda.txt", set()),
        ("docker/frameworks/sklearn.txt", {"build"}),
        ("docker/frameworks/Dockerfile", WITH_CODE),
        ("docker/packages/Dockerfile", set()),  # the use case asks for no packages
        ("usecases/glyphs/requirements.txt", WITH_CODE),
        ("docker/build/Dockerfile", {"build"}),
        ("docker/link/requirements.txt", {"link"}),
        ("modelgate_server/store/schema.py", {"server"}),
        ("modelgate_server/web/static/pages.css", {"server"}),
        ("modelgate_server/__pycache__/app.pyc", set()),
        ("modelgate_server/build/lib/modelgate_server/app.py", set()),
        ("modelgate_server/pyproject.toml", set()),
        ("modelgate_server/key.pem", set()),
        ("modelgate_server/api/id_ed25519", set()),
        ("README.md", set()),
    ],
)
def test_a_tag_changes_with_what_the_image_is_made_of(checkout, touched, changed):
    before = images.wanted(checkout, "glyphs")
    (checkout / touched).parent.mkdir(exist_ok=True, parents=True)
    with (checkout / touched).open("a") as file:
        file.write("\n# touched\n")
    after = images.wanted(checkout, "glyphs")
    assert {name for name in images.NAMES if before[name].reference != after[name].reference} == changed


def test_a_tag_is_the_same_in_another_folder_and_another_on_another_base(checkout, tmp_path):
    original = images.wanted(checkout, "glyphs")
    assert original == images.wanted(own.clone(tmp_path / "elsewhere"), "glyphs")
    other = images.wanted(checkout, "glyphs", base="debian")
    assert all(other[name].reference != original[name].reference for name in images.NAMES)


def test_each_use_case_has_images_of_its_own_and_the_server_is_one(checkout):
    glyphs, remote = images.wanted(checkout, "glyphs"), images.wanted(checkout, "remote")
    assert {name for name in images.NAMES if glyphs[name] == remote[name]} == {"server"}
    assert all(glyphs[name].reference.rpartition(":")[2].startswith("glyphs-") for name in STEPS)
    assert not [path for path in glyphs["train"].inputs if "remote" in path]


def test_what_a_use_case_changes_is_built_on_images_that_stay(checkout):
    """A changed model, and even another use case of the framework, needs no other package."""
    before = images.wanted(checkout, "glyphs")
    own.edit(checkout / "usecases/glyphs/model.py", ("Conv2D(64", "Conv2D(32"))
    after = images.wanted(checkout, "glyphs")
    bases = {name: image.base for name, image in before.items() if image.base}
    assert {name: image.name for name, image in bases.items()} == {
        "build": "sklearn",
        "train": "keras",
        "evaluate": "keras",
        "predict": "keras",
        "serve": "keras",
    }
    assert before["train"].reference != after["train"].reference
    assert bases == {name: image.base for name, image in after.items() if image.base}
    assert bases == {name: image.base for name, image in images.wanted(checkout, "remote").items() if image.base}
    assert "model.py" not in str([image.inputs for image in bases.values()])


def test_what_judges_a_model_of_scikit_learn_has_its_types_to_read_and_of_keras_nothing_of_it(checkout):
    model = "usecases/glyphs/model.py"
    assert {name for name, image in images.wanted(checkout, "glyphs").items() if model in image.inputs} == {"train"}
    own.edit(checkout / "usecases/glyphs/config.toml", ('framework = "keras"', 'framework = "sklearn"'))
    available = images.wanted(checkout, "glyphs")
    assert {name for name, image in available.items() if model in image.inputs} == WITH_MODEL
    for step in ("evaluate", "predict", "promote", "audit"):
        assert 'part(args.use_case, "model")' not in (ROOT / f"steps/{step}.py").read_text(encoding="utf-8")


def test_the_framework_is_the_one_that_the_config_names(checkout):
    own.edit(checkout / "usecases/glyphs/config.toml", ('framework = "keras"', 'framework = "sklearn"'))
    (checkout / "modelgate/frameworks/sklearn_format.py").touch()
    available = images.wanted(checkout, "glyphs")
    assert {name: image.base.name for name, image in available.items() if image.base} == dict.fromkeys(
        WITH_CODE, "sklearn"
    )
    assert len({image.base.reference for image in available.values() if image.base}) == 1
    for name in ("train", "evaluate"):
        formats = [path for path in available[name].inputs if path.endswith("_format.py")]
        assert formats == ["modelgate/frameworks/sklearn_format.py"]


def test_a_use_case_s_own_packages_lie_between_the_framework_and_its_files(checkout):
    plain = images.wanted(checkout, "glyphs")
    (checkout / "usecases/glyphs/requirements.txt").write_text("tinyhtml==1.3.0 --hash=sha256:0\n")
    available = images.wanted(checkout, "glyphs")
    assert [image.name for image in images.add_bases([available["train"], available["evaluate"]])] == [
        "keras",
        "keras-packages",
        "train",
        "evaluate",
    ]
    assert available["build"].base.name == "sklearn-packages" and available["build"].base.base == plain["build"].base
    assert available["train"].base.reference.startswith("modelgate/keras-packages:glyphs-")
    assert available["link"] == plain["link"]


@pytest.mark.parametrize("name", FOLDERS)
def test_no_dockerfile_names_a_use_case(name):
    assert not [case for case in ("mnist", "digits", "glyphs") if case in dockerfile(name)]


def test_a_build_sees_what_was_hashed_with_modes_of_our_own(checkout):
    (checkout / "steps" / "link.py").chmod(0o600)  # as under umask 077
    (checkout / "steps" / "secret.pem").write_text("s")
    image = images.wanted(checkout, "glyphs")["link"]
    with tarfile.open(fileobj=io.BytesIO(images.pack_context(checkout, image.inputs))) as archive:
        assert sorted(archive.getnames()) == list(image.inputs)
        assert {(entry.mode, entry.uid, entry.mtime) for entry in archive} == {(0o644, 0, 0)}
    assert "steps/secret.pem" not in image.inputs


def test_a_missing_file_is_named_by_its_copy_line(checkout):
    (checkout / "steps" / "link.py").unlink()
    with pytest.raises(images.BuildFailed, match=r"docker/link/Dockerfile copies steps/link\.py"):
        images.wanted(checkout, "glyphs")


@pytest.mark.parametrize(
    ("remote", "label"),
    [
        ("https://ada:ghp_secret@github.com/team/modelgate.git", "https://github.com/team/modelgate"),
        ("git@github.com:team/modelgate.git", "https://github.com/team/modelgate"),
        ("/srv/git/modelgate", ""),
        ("", ""),
    ],
)
def test_the_label_of_the_source_has_no_credentials(remote, label):
    assert images._strip_credentials(remote) == label
