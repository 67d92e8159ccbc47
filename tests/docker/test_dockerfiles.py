"""
What the Dockerfiles and their locks say, held to the code; needs no engine.

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

from modelgate import rows
from modelgate.tracking import fingerprint
from runner import images
from tests import own

ROOT = Path(__file__).parents[2]
# The steps of an image.
STEPS = {
    "build": ["build"],
    "train": ["train"],
    "link": ["link"],
    "evaluate": ["evaluate"],
    "promote": ["promote", "audit"],
}
# Those that run code of the use case, which may import any module of `modelgate.rows`.
WITH_CODE = {"build", "train", "evaluate"}
WITH_ROWS = {"build", "train", "evaluate", "promote"}  # that read the rows of a dataset, of any kind
WITH_MODEL = {"train", "evaluate"}  # that know the formats of models
# The name that is imported, where it is not that of the package.
PACKAGES = {
    "markdown_it": "markdown-it-py",
    "PIL": "pillow",
    "graphql": "graphql-core",
    "re2": "google-re2",
    "sklearn": "scikit-learn",
    "pydantic_core": "pydantic",
    "yaml": "pyyaml",
}
# In the server's room for the wheel alone; with what a build of it leaves there.
OF_THE_DISTRIBUTION = {"README.md", "pyproject.toml"}
TENSORFLOW = {"tensorflow", "tensorflow-cpu"}
# What is wanted though no file of ours imports it, and why.
NOT_IMPORTED = {
    "build": {"scikit-learn"},  # the glyphs lie in its package
    "train": {"scipy"},  # in the layer that it shares with evaluate; scikit-learn needs it
    "evaluate": {"pillow"},  # the SDK makes pictures with it
    "server": {"httptools"},  # uvicorn's parser, named as a string
}


# What a function imports that no step of the image calls.
TABLES = {"h5py", "pandas", "pandera", "pyarrow", "scikit-learn", "skops"}  # for other kinds of rows and models
NOT_INSTALLED = {
    "build": {"scipy"} | TABLES,  # only a behaviour.py turns images
    "train": TABLES,
    "evaluate": TABLES,  # of scikit-learn: only a training splits rows
    "promote": TABLES,
}
ARGUMENTS = {"USE_CASE": "glyphs"}


def dockerfile(name: str) -> str:
    return (ROOT / images.dockerfile(name)).read_text(encoding="utf-8")


def code_of(name: str) -> set[str]:
    """The files of ours that the steps of an image import, by themselves or by name, and those that a use case may."""
    found = set(fingerprint.sources(f"steps.{step}" for step in STEPS[name]))
    if name in WITH_CODE:
        found |= {f"modelgate/rows/{path.name}" for path in (ROOT / "modelgate" / "rows").glob("*.py")}
        found.add("usecases/__init__.py")
    if name in WITH_ROWS:
        found |= set(fingerprint.sources(rows.module_of(task) for task in rows.KINDS))
    if name in WITH_MODEL:
        found |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "modelgate" / "frameworks").glob("*.py")}
    return found


def difference(name: str, text: str) -> dict[str, list[str]]:
    """What the COPY lines of a step's Dockerfile leave out, and what they bring that nothing reads."""
    copied = {path for path in images.copied(text, ARGUMENTS) if not path.startswith("docker/")}
    wanted = code_of(name) | {"usecases/glyphs/" if name in WITH_CODE else "usecases/glyphs/config.toml"}
    return {"missing": sorted(wanted - copied), "needless": sorted(copied - wanted)}


def locks(name: str) -> list[str]:
    """The locks that an image is built from."""
    return [path for path in images.copied(dockerfile(name), ARGUMENTS) if path.startswith("docker/")]


def entries(text: str) -> dict[str, tuple[str, ...]]:
    """A lock as {package: (version, hashes...)}; what a marker says is not compared."""
    found: dict[str, tuple[str, ...]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if head := re.match(r"([a-z0-9.\-]+)(?:\[[^]]*\])?==(\S+)", block):
            found[head[1]] = (head[2], *sorted(re.findall(r"sha256:[0-9a-f]{64}", block)))
    return found


# --- the code --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STEPS)
def test_an_image_has_the_files_that_its_step_reads_and_no_other(name):
    assert difference(name, dockerfile(name)) == {"missing": [], "needless": []}


def test_a_forgotten_and_a_needless_file_would_be_named():
    text = dockerfile("promote").replace("modelgate/gate/rules.py", "modelgate/rows/checks.py")
    assert difference("promote", text) == {
        "missing": ["modelgate/gate/rules.py"],
        "needless": ["modelgate/rows/checks.py"],
    }


def test_the_server_is_its_room_and_nothing_else():
    assert images.copied(dockerfile("server"), {}) == ["docker/server/requirements.txt", "modelgate_server/"]
    room = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "modelgate_server").rglob("*.*")
        if "__pycache__" not in path.parts and path.name not in OF_THE_DISTRIBUTION
    }
    # A file of a new kind is to be named in images.WHOLE.
    assert room == {path for path in images.inputs(ROOT, "server", {}) if path.startswith("modelgate_server/")}


@pytest.mark.parametrize("name", images.NAMES)
def test_nothing_is_copied_by_a_pattern(name):
    assert not [
        path for path in images.copied(dockerfile(name), ARGUMENTS) if set(path) & set("*?[") or path in (".", "./")
    ]


# --- what is installed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docker").rglob("*.txt"))])
def test_a_lock_is_a_part_of_the_projects(lock):
    whole = entries((ROOT / "requirements.txt").read_text())
    ours = entries((ROOT / lock).read_text())
    assert ours
    others = {name: entry for name, entry in ours.items() if whole.get(name) != entry}
    if lock == "docker/tensorflow-cuda.txt":
        others = {name: entry for name, entry in others.items() if not name.startswith("nvidia-")}
    assert others == {}
    assert all(len(entry) > 1 for entry in ours.values()), "a package without a hash"


def test_another_version_or_hash_would_be_seen():
    text = (ROOT / "docker/link/requirements.txt").read_text()
    changed = re.sub(r"(wandb==\S+ \\\n +--hash=sha256:)[0-9a-f]", r"\g<1>_", text)
    assert entries(changed)["wandb"] != entries(text)["wandb"]
    assert entries(text.replace("wandb==0", "wandb==1"))["wandb"] != entries(text)["wandb"]


@pytest.mark.parametrize("name", images.NAMES)
def test_nothing_is_asked_for_that_no_file_imports(name):
    asked = {package for lock in locks(name) for package in wanted(lock)}
    files = [ROOT / path for path in code_of(name)] if name in STEPS else (ROOT / "modelgate_server").rglob("*.py")
    imported = {package for file in files for package in packages(file)}
    assert asked - imported - TENSORFLOW == NOT_IMPORTED.get(name, set()) - imported
    # The server's: ariadne is built on graphql-core, starlette on anyio, and only pytest loads the plugin.
    assert imported - NOT_INSTALLED.get(name, set()) <= asked | {"anyio", "graphql-core", "pytest"}
    assert bool(asked & TENSORFLOW) == ("tensorflow" in imported)


def wanted(lock: str) -> set[str]:
    """The packages that a lock was made for: by a list beside it, the server's by its distribution."""
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
    """The packages of others that a file imports, wherever in it; but not what only a type checker would."""
    found: set[str] = set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unread = {id(node) for test in ast.walk(tree) if isinstance(test, ast.If) and "TYPE_CHECKING" in ast.dump(test.test)
              for node in ast.walk(test)}  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in unread:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    own = {"modelgate", "modelgate_server", "steps", "usecases"} | set(sys.stdlib_module_names)
    return {PACKAGES.get(name, name) for name in found - own}


def test_train_and_evaluate_begin_with_the_same_lines():
    first = [
        re.split(r"\n(?=COPY docker/\w+/)", dockerfile(name).partition("ARG BASE")[2])[0]
        for name in ("train", "evaluate")
    ]
    assert first[0] == first[1]
    assert "pip install" in first[0] and "strip" in first[0]


@pytest.mark.parametrize("name", images.NAMES)
def test_the_base_is_one_for_all_and_pinned_by_its_digest(name):
    """Dependabot reads literal FROM lines alone. `ARG BASE` names another base, and then no stage needs this one."""
    (base,) = re.findall(r"^ARG BASE=pinned\nFROM (\S+) AS pinned\nFROM \${BASE}$", dockerfile(name), re.MULTILINE)
    assert re.fullmatch(r"python:3\.11-slim-bookworm@sha256:[0-9a-f]{64}", base)
    assert base in dockerfile("build")


@pytest.mark.parametrize("name", images.NAMES)
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
        ("usecases/glyphs/helper.py", WITH_CODE),  # a new file of the team's, which the others may import
        ("usecases/glyphs/config.toml", set(STEPS)),
        ("usecases/glyphs/test_data.py", set()),
        ("usecases/remote/data.py", set()),
        ("requirements.txt", set()),
        ("docker/tensorflow-cpu.txt", {"train", "evaluate"}),
        ("docker/tensorflow-cuda.txt", set()),
        ("docker/build/Dockerfile", {"build"}),
        ("docker/build/requirements.txt", {"build"}),
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
    here = images.wanted(checkout, "glyphs")
    assert here == images.wanted(own.clone(tmp_path / "elsewhere"), "glyphs")
    other = images.wanted(checkout, "glyphs", base="debian")
    assert all(other[name].reference != here[name].reference for name in images.NAMES)


def test_each_use_case_has_images_of_its_own_and_the_server_is_one(checkout):
    glyphs, remote = images.wanted(checkout, "glyphs"), images.wanted(checkout, "remote")
    assert {name for name in images.NAMES if glyphs[name] == remote[name]} == {"server"}
    assert all(glyphs[name].reference.rpartition(":")[2].startswith("glyphs-") for name in STEPS)
    assert not [path for path in glyphs["train"].inputs if "remote" in path]


@pytest.mark.parametrize("name", images.NAMES)
def test_no_dockerfile_names_a_use_case(name):
    assert not [case for case in ("mnist", "digits", "glyphs") if case in dockerfile(name)]


def test_a_build_sees_what_was_hashed_with_modes_of_our_own(checkout):
    (checkout / "steps" / "link.py").chmod(0o600)  # as under umask 077
    (checkout / "steps" / "secret.pem").write_text("s")
    image = images.wanted(checkout, "glyphs")["link"]
    with tarfile.open(fileobj=io.BytesIO(images.context(checkout, image.inputs))) as archive:
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
    assert images._without_credentials(remote) == label
