"""
Check what is in the images and how they run; this needs an engine.

    pytest tests/docker/test_images.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from benchmarks.containers import LIMITS
from runner import images
from tests import own
from tests.docker.dockerfiles import entries, locks
from tests.engine import docker, references, wanted
from tests.own import ROOT
from tests.serving import until

# As the runner and the workflows run them.
SEALED = ("--rm", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--tmpfs=/tmp:mode=1777")
CANARY = "canary-5f1c0f7e2b"


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    return references()


def inspected(reference: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", "--format={{json .}}", reference)))


@cache
def base_name() -> str:
    return images.fetch_base(ROOT, os.environ.get("BASE_IMAGE"))


def base() -> dict[str, Any]:
    return inspected(base_name())


def python(reference: str, program: str, *options: str) -> str:
    return docker("run", *SEALED, *options, "--network=none", "--entrypoint=python", reference, "-c", program)


@pytest.mark.parametrize("name", images.NAMES)
def test_it_says_how_it_is_used_with_nothing_given_and_nothing_allowed(built, name):
    modules = {"server": "modelgate-server serve ", "serve": "python -m serving "}
    usage = f"usage: {modules.get(name, f'python -m steps.{name} ')}"
    assert usage in docker("run", *SEALED, built[name], "--help")


def test_audit_is_promotes_image_with_another_entrypoint(built):
    output = docker("run", *SEALED, "--entrypoint=python", built["promote"], "-m", "steps.audit", "--help")
    assert "usage: python -m steps.audit " in output


@pytest.mark.parametrize("name", images.NAMES)
def test_it_says_what_it_is_and_runs_as_nobody_in_particular(built, name):
    config = inspected(built[name])["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["modelgate.image"] == name
    assert {"org.opencontainers.image.source", "org.opencontainers.image.revision"} <= set(config["Labels"])
    assert not config.get("Cmd") and not config.get("Volumes")
    assert not [word for word in config["Env"] if re.search(r"KEY|TOKEN|SECRET|PASSWORD", word)]
    assert bool(config.get("Healthcheck")) == (name in ("server", "serve"))


@pytest.mark.parametrize("name", images.NAMES)
def test_it_is_no_larger_than_it_has_to_be(built, name):
    over = (inspected(built[name])["Size"] - base()["Size"]) / 1e6
    assert over <= LIMITS[name], f"{name} has {over:.0f} MB over its base"


@pytest.mark.parametrize("name", ["build", "train", "evaluate"])
def test_a_step_adds_kilobytes_to_the_image_of_its_framework(built, name):
    """An engine that has the framework downloads or pushes no more than that for a changed model.py."""
    step, framework = inspected(built[name]), inspected(base_of(name))
    layers = framework["RootFS"]["Layers"]
    assert step["RootFS"]["Layers"][: len(layers)] == layers
    assert step["Size"] - framework["Size"] < 1_000_000


def base_of(name: str) -> str:
    """The reference of the framework's image that a step is built on."""
    base = wanted()[name].base
    assert base is not None
    return base.reference


def test_the_service_says_on_a_read_only_root_why_it_has_no_version(built):
    """Nothing answers as W&B there. A volume belongs to the service; without one it says so."""
    ask = (
        "import json, time, urllib.error, urllib.request\n"
        "while True:\n"
        "    try:\n"
        "        urllib.request.urlopen('http://127.0.0.1:8100/v2/health/ready')\n"
        "    except urllib.error.HTTPError as error:\n"
        "        said = json.load(error)\n"
        "        if said['problem']: break\n"
        "    except OSError: pass\n"
        "    time.sleep(0.1)\n"
        "print(said['ready'], said['problem']['name'])"
    )
    environment = ("--env=WANDB_BASE_URL=http://127.0.0.1:9", "--env=WANDB_API_KEY=" + "0" * 40)
    volume = ("--mount=type=volume,target=/data", "--network=none", "--detach")
    running = docker("run", *SEALED, *volume, *environment, built["serve"]).split()[-1]
    try:
        output = docker("exec", running, "timeout", "60", "python", "-c", ask)
        assert output.split() == ["False", "wandb_unreachable"]
        docker("exec", running, "python", "-c", "open('/data/x', 'w')")
    finally:
        docker("rm", "--force", "--volumes", running)


@pytest.mark.parametrize("name", ["build", "link", "evaluate"])
def test_it_has_the_packages_of_its_locks_and_no_others(built, name):
    listed = "import importlib.metadata as m; print(*{d.name.lower().replace('_', '-') for d in m.distributions()})"
    wanted = {package for lock in locks(name) for package in entries((ROOT / lock).read_text())}
    theirs = set(python(base_name(), listed).split())
    installed = set(python(built[name], listed).split())
    # A marker chooses one of the two TensorFlows.
    assert installed - theirs <= wanted
    assert wanted - installed <= {"tensorflow", "tensorflow-cpu"}


def test_tensorflow_is_there_without_what_only_a_compiler_reads(built):
    program = (
        "from importlib.util import find_spec as f; from pathlib import Path; "
        "p = Path(f('tensorflow').submodule_search_locations[0]); "
        "print((p / 'include').exists(), any(p.rglob('*.pyc')), f('clang') is not None)"
    )
    assert python(built["train"], program).split() == ["False", "False", "False"]


def test_scikit_learn_s_train_image_fits_a_table_and_keeps_the_model_without_tensorflow():
    """Its libraries are stripped and still work: write and read a table, fit, save a model."""
    image = references(own.cells)["train"]
    assert (inspected(image)["Size"] - base()["Size"]) / 1e6 <= 520
    program = (
        "import io, pandas, pandera.pandas as pa, skops.io\n"
        "from importlib.util import find_spec\n"
        "from sklearn.ensemble import HistGradientBoostingClassifier as Model\n"
        "from sklearn.datasets import load_breast_cancer\n"
        "table = load_breast_cancer(as_frame=True).frame\n"
        "table.to_parquet('/tmp/x'); table = pandas.read_parquet('/tmp/x')\n"
        "pa.DataFrameSchema({'target': pa.Column(int, pa.Check.isin([0, 1]))}).validate(table)\n"
        "x, y = table.drop(columns='target'), table['target']\n"
        "held = skops.io.dumps(Model(max_iter=5).fit(x, y))\n"
        "model = skops.io.loads(held, skops.io.get_untrusted_types(data=held))\n"
        "print(model.score(x, y) > 0.9, find_spec('tensorflow'), find_spec('keras'))"
    )
    assert python(image, program, "--env=OMP_NUM_THREADS=1").split() == ["True", "None", "None"]


@pytest.mark.prove
def test_a_use_case_s_own_packages_are_in_the_images_that_run_its_code_and_in_no_other(built, tmp_path):
    """They come from a package index. The images of the framework and of link do not change."""
    root = own.clone(tmp_path / "checkout")
    own.letters(root)
    (block,) = re.findall(
        r"^iniconfig==.*\n(?: +--hash=.*\n)+", (ROOT / "requirements-dev.txt").read_text(), re.MULTILINE
    )
    (root / "usecases/letters/requirements.txt").write_text(block)
    command = [sys.executable, "-m", "runner", "images", "train", "link"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    references = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert (references["keras"], references["link"]) == (base_of("train"), built["link"])
    find = "from importlib.util import find_spec; print(find_spec('iniconfig') is not None)"
    try:
        assert python(references["train"], find).strip() == "True"
        assert python(built["train"], find).strip() == "False"
    finally:
        docker("rmi", references["train"], references["keras-packages"])


def test_it_may_do_nothing_but_its_work(built):
    program = (
        "import os, re; print(os.getuid(), re.search('CapEff:\\\\s*(\\\\w+)', open('/proc/self/status').read())[1])\n"
        "for path in ('/app/x', '/x', '/tmp/x'):\n"
        "    try: open(path, 'w'); print('wrote', path)\n"
        "    except OSError as error: print(error.strerror)"
    )
    output = python(built["link"], program).splitlines()
    assert output == ["10001 0000000000000000", "Read-only file system", "Read-only file system", "wrote /tmp/x"]


def test_the_server_is_healthy_on_a_folder_of_its_user(built, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    sealed = [word for word in SEALED if word != "--rm"]
    user = f"--user={os.getuid()}:{os.getgid()}"
    watch = ("--health-interval=1s", "--label=modelgate.folder=test")
    server = docker("run", "--detach", *sealed, user, *watch, f"--volume={data}:/data", built["server"]).strip()
    try:
        until(lambda: docker("inspect", "--format={{.State.Health.Status}}", server).strip() == "healthy", "its health")
        assert (data / "server.db").stat().st_uid == os.getuid()
    finally:
        docker("rm", "--force", server)


# --- secrets ---------------------------------------------------------------------------------------------------------


def find_in_layers(reference: str, folder: Path, text: str) -> list[str]:
    """Return the files of an image's layers above the base that contain a text, and "history" if its history does."""
    archive = folder / "image.tar"
    docker("save", "--output", str(archive), reference)
    places_found = (
        ["history"] if text in docker("history", "--no-trunc", reference) + json.dumps(inspected(reference)) else []
    )
    with tarfile.open(archive) as image:
        (manifest,) = json.load(image.extractfile("manifest.json"))  # type: ignore[arg-type]
        for layer in manifest["Layers"][len(base()["RootFS"]["Layers"]) :]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                for file in files:
                    if file.isfile() and text.encode() in files.extractfile(file).read():  # type: ignore[union-attr]
                        places_found.append(file.name)
    archive.unlink()
    return places_found


@pytest.fixture
def secretive(tmp_path) -> Path:
    """A checkout with secrets in every place where a person may have them."""
    root = own.clone(tmp_path / "checkout")
    own.letters(root)
    (root / ".modelgate").mkdir()
    shutil.copy(ROOT / ".dockerignore", root)
    keys = (
        "usecases/letters/key.pem",
        "usecases/letters/.env",
        ".modelgate/api-key",
        "modelgate_server/key.pem",
        "steps/key.pem",
    )
    for name in (*keys, ".env", ".netrc", "modelgate_server/.env", "docker/link/.netrc"):
        (root / name).write_text(f"{CANARY}\n")
    return root


def test_no_secret_of_the_folder_or_the_environment_gets_into_an_image(built, secretive, tmp_path):
    secrets = dict.fromkeys(("WANDB_API_KEY", "GITHUB_TOKEN", "MODELGATE_SERVER_KEY", "PIP_PASSWORD"), CANARY)
    command = [sys.executable, "-m", "runner", "images", "--repository=modelgate-test"]
    command += ["link", "server"]
    done = subprocess.run(command, cwd=secretive, env=os.environ | secrets, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        name, _, reference = line.partition("=")
        try:
            assert reference.rpartition(":")[2] == built[name].rpartition(":")[2]
            assert find_in_layers(reference, tmp_path, CANARY) == []
        finally:
            docker("rmi", reference)


def test_a_secret_in_a_layer_would_be_found(built, secretive, tmp_path):
    lines = f"FROM {built['link']}\nUSER 0\nCOPY .env hidden\nRUN rm hidden\nLABEL token={CANARY}\n"
    (secretive / "Dockerfile").write_text(lines)
    (secretive / ".dockerignore").unlink()
    subprocess.run(
        ["docker", "build", "--quiet", "--tag=modelgate-test:planted", "."],
        cwd=secretive, env=os.environ | {"DOCKER_BUILDKIT": "1"}, check=True, capture_output=True,
    )  # fmt: skip
    try:
        assert find_in_layers("modelgate-test:planted", tmp_path, CANARY) == ["history", "app/hidden"]
    finally:
        docker("rmi", "modelgate-test:planted")
