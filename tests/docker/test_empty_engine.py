"""
Measure what a changed model costs an empty engine, such as a hosted runner's: a real one, started for this test,
whose containers have no network, and a real image registry.

    pytest tests/docker/test_empty_engine.py -m prove
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests import own
from tests.engine import docker, references, wanted
from tests.serving import until
from tests.workflows.acting import image_registry
from tests.workflows.files import ACTIONS

SCRIPT = ACTIONS / "push-images" / "push_images.py"
BRIDGE, ADDRESS = "modelgate-test", "10.213.77.1/24"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MB = 1_000_000

pytestmark = pytest.mark.prove


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[str]:
    """The address of an engine that has no images."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("dockerd", "ip", "docker-registry"))):
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("an engine of its own needs root, dockerd and ip; the registry needs docker-registry")
    sockets = tempfile.mkdtemp(prefix="engine-")  # the path of a socket may have 107 characters; `tmp_path` is longer
    address = f"unix://{sockets}/engine.sock"
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    command = ["dockerd", "--host", address, f"--bridge={BRIDGE}", "--iptables=false", "--pidfile", f"{tmp_path}/pid"]
    command += ["--data-root", f"{tmp_path}/data", "--exec-root", f"{sockets}/exec"]
    with (tmp_path / "engine.log").open("wb") as log:
        try:
            subprocess.run(["ip", "address", "add", ADDRESS, "dev", BRIDGE], check=True)
            subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
            engine = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                until(lambda: docker("--host", address, "version", check=False).count("Version") > 1, "the engine")
                yield address
            finally:
                engine.terminate()
                engine.wait(60)
        finally:
            subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
            shutil.rmtree(sockets, ignore_errors=True)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with image_registry(tmp_path / "registry") as address:
        yield address


def push(root: Path, registry: str, folder: Path, **environ: str) -> tuple[dict[str, str], list[str], str]:
    """Run the real script; return the images by digest, the names of those that it pushed, and its log."""
    output = folder / "output"
    output.write_text("")
    variables = {"REPOSITORY": f"{registry}/team/models", "USE_CASE": "", "GITHUB_OUTPUT": str(output)}
    done = subprocess.run(
        [sys.executable, SCRIPT], cwd=root, env=os.environ | variables | environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = dict(line.split("=", 1) for line in output.read_text().splitlines())
    pushed = [image["name"].rpartition("/")[2] for image in json.loads(answers["pushed"])]
    return json.loads(answers["images"]), pushed, done.stdout + done.stderr


def layers(reference: str) -> dict[str, int]:
    """Return an image's layers in the registry: digest to bytes, compressed."""
    host, _, rest = reference.partition("/")
    name, tag = rest.split("@") if "@" in rest else rest.rsplit(":", 1)
    with urlopen(Request(f"http://{host}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST})) as answer:
        manifest: dict[str, Any] = json.load(answer)
    return {layer["digest"]: layer["size"] for layer in manifest["layers"]}


def held(folder: Path) -> dict[str, int]:
    """Return all blobs of the registry: digest to bytes."""
    files = folder.glob("registry/data/docker/registry/v2/blobs/sha256/*/*/data")
    return {f"sha256:{file.parent.name}": file.stat().st_size for file in files}


def test_a_changed_model_is_built_and_pushed_as_kilobytes_by_an_engine_that_pulls_one_framework(
    empty: str, registry: str, tmp_path: Path
) -> None:
    """The image of promote is rebuilt each time, so it and its base are given to the engine here."""
    references()
    root = own.clone(tmp_path / "clone")
    own.letters(root)
    first, _, _ = push(root, registry, tmp_path)
    keras = f"{registry}/team/models/{wanted()['train'].base.reference.rpartition('/')[2]}"  # type: ignore[union-attr]
    before = held(tmp_path)

    pushed_references = [f"{registry}/team/models/promote:{wanted()['promote'].reference.rpartition(':')[2]}"]
    archive = tmp_path / "given.tar"
    docker("save", "--output", str(archive), *pushed_references)
    docker("--host", empty, "load", "--input", str(archive))
    archive.unlink()
    own.edit(root / "usecases/letters/model.py", ("Conv2D(64", "Conv2D(32"))
    images, pushed, log = push(root, registry, tmp_path, DOCKER_HOST=empty)

    # What it downloaded: one framework's image, and nothing from a package index, which it could not reach.
    assert pushed == ["promote", "train"], log
    listed = docker("--host", empty, "image", "ls", "--digests", "--format", "{{.Repository}}").split()
    assert {name.rpartition("/")[2] for name in listed} == {"promote", "keras", "train"}
    assert "RUN --mount" not in log
    downloaded = layers(keras)
    # What it built and pushed.
    new = {digest: size for digest, size in layers(images["train"]).items() if digest not in downloaded}
    assert len(layers(images["train"])) == len(downloaded) + len(new)
    assert sum(new.values()) < MB, new
    grown = {digest: size for digest, size in held(tmp_path).items() if digest not in before}
    assert set(new) <= set(grown)
    # And what the job that trains downloads, if its engine has the image of the last training, or the framework's.
    assert sum(size for digest, size in layers(images["train"]).items() if digest not in layers(first["train"])) < MB
    # docs/how-to/containers.md has these figures.
    print(
        f"pulled {sum(downloaded.values()) / MB:.0f} MB of packages; built and pushed {sum(new.values()) / 1e3:.0f} kB"
    )
    print({name: f"{sum(layers(image).values()) / MB:.0f} MB" for name, image in images.items()})
