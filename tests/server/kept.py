"""A data folder that a server has left, and the commands that look after it."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from modelgate_server.store.blobs import Blobs
from tests.server.wire import Upload, Wire
from tests.serving import ROOT, Server, serving

CONTENTS = {"a.txt": b"a", "b/c.txt": b"c" * 1000}
OLD_S = 3 * 24 * 3600
DELETE = "mutation D($id: ID!) { deleteArtifact(input: {artifactID: $id, deleteAliases: true}) { artifact { id } } }"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()  # noqa: S324


def command(name: str, *arguments: Any) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "modelgate_server", name, *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240)


def age(path: Path, seconds: float = OLD_S) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def age_all(data: Path) -> None:
    for path in (data / "blobs").rglob("*"):
        age(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped data folder with one version and one run file."""
    data = tmp_path_factory.mktemp("maintenance") / "made"
    with serving(data) as server:
        fill(server)
    return data


def fill(server: Server, project: str = "p") -> str:
    wire = Wire.connect(server)
    artifact = Upload(wire, project, CONTENTS).run()
    make = """mutation C($p: String!, $files: [String!]!) {
      createRunFiles(input: {entityName: "local", projectName: $p, runName: "run-1", files: $files}) {
        files { uploadUrl } } }"""
    url = wire.data(make, p=project, files=["notes.txt"])["createRunFiles"]["files"][0]["uploadUrl"]
    assert requests.put(url, data=b"notes", timeout=60).status_code == 200
    return artifact


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "data"))


def blob(data: Path, contents: bytes) -> Path:
    return Blobs(data / "blobs").locate(md5(contents))


def flip(data: Path) -> None:
    blob(data, b"a").write_bytes(b"b")
