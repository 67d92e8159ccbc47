"""
What a step's container gets to see, and the line that a person would paste; needs no engine.

    pytest tests/runner/test_containers.py
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from runner import environment
from runner.containers import Container, Mount, rows
from runner.environment import Variables
from runner.folder import Folder

KEY = "local-" + "0123456789" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / ".modelgate")
    made.make()
    made.key_file.write_text(KEY + "\n")
    return made


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    path = tmp_path / "files" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def container(variables: Variables, *mounts: Mount) -> Container:
    return Container("n", "step", "modelgate/link:0", ("--use-case=digits", "--out=/out"), variables, mounts, "net")


def test_mnist_is_mounted_read_only(tmp_path: Path, folder: Folder, mnist: Path) -> None:
    for named in (str(mnist), str(mnist.relative_to(tmp_path))):
        variables, mounts = rows({"MNIST_NPZ": named}, tmp_path, folder, "")
        assert (variables.values, mounts) == ({"MNIST_NPZ": "/mnist.npz"}, [Mount(mnist, "/mnist.npz")])
        assert f"--volume={mnist}:/mnist.npz:ro" in container(variables, *mounts).command()
        assert mounts[0].to_docker()["ReadOnly"] is True


def test_a_file_that_is_not_there_is_left_to_build_to_name(tmp_path: Path, folder: Folder) -> None:
    variables, mounts = rows({"MNIST_NPZ": "/nowhere.npz"}, tmp_path, folder, "")
    assert (variables.values, mounts) == ({"MNIST_NPZ": "/nowhere.npz"}, [])


def test_keras_cache_is_mounted_read_only_and_a_download_goes_to_the_folder(
    tmp_path: Path, folder: Folder, mnist: Path
) -> None:
    variables, mounts = rows({"KERAS_HOME": str(tmp_path / "files")}, tmp_path, folder, "")
    assert (variables.values, mounts) == ({"KERAS_HOME": "/keras"}, [Mount(mnist, "/keras/datasets/mnist.npz")])
    proxy = {"HOME": str(tmp_path), "https_proxy": "http://ada:secret@proxy:1", "NO_PROXY": "intranet"}
    variables, mounts = rows(proxy, tmp_path, folder, "server")
    assert mounts == [Mount(folder.keras, "/keras", writable=True)]
    assert variables.values["NO_PROXY"] == "intranet,server"
    assert "secret" not in container(variables, *mounts).command()


def test_a_step_sees_the_server_and_its_key_and_nothing_of_the_person(folder: Folder) -> None:
    variables = environment.embedded_from_container(
        host="http://server:8080", url="http://127.0.0.1:8765", key_file=folder.key_file
    )
    assert variables.values == {
        "WANDB_BASE_URL": "http://server:8080",
        "WANDB_APP_URL": "http://127.0.0.1:8765",
        "WANDB_API_KEY": KEY,
        "WANDB_ERROR_REPORTING": "false",
    }


def test_the_line_to_paste_names_the_keys_file_and_not_the_key(folder: Folder) -> None:
    variables = environment.embedded_from_container(host="http://server", url="http://x", key_file=folder.key_file)
    line = container(variables).command()
    assert KEY not in line
    # As a shell reads it, the key is there again.
    (said,) = os.popen(f"echo {line} | tr ' ' '\\n' | grep ^--env=WANDB_API_KEY").read().split()  # noqa: S605
    assert said == f"--env=WANDB_API_KEY={KEY}"
    words = shlex.split(line)
    assert words[:2] == ["docker", "run"]
    assert {"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=net"} <= set(words)
    assert words[-3:] == ["modelgate/link:0", "--use-case=digits", "--out=/out"]


def test_the_persons_own_variables_are_passed_by_name_and_their_folders_are_not() -> None:
    inherited = {
        "WANDB_API_KEY": "secret", "WANDB_ENTITY": "team", "WANDB_DIR": "/home/ada", "WANDB_CACHE_DIR": "/home/ada",
        "GITHUB_ACTIONS": "true", "AWS_SECRET_ACCESS_KEY": "secret", "HTTPS_PROXY": "http://ada:secret@proxy:1",
        "NO_PROXY": "wandb.intranet",
    }  # fmt: skip
    variables = environment.own_from_container(inherited)
    assert set(variables.values) == {"WANDB_API_KEY", "WANDB_ENTITY", "GITHUB_ACTIONS", "HTTPS_PROXY", "NO_PROXY"}
    line = container(variables).command()
    assert "secret" not in line and "--env=WANDB_API_KEY " in line


def test_a_download_with_the_persons_own_wandb_names_no_empty_host(tmp_path: Path, folder: Folder) -> None:
    inherited = {"HOME": str(tmp_path), "https_proxy": "http://proxy:1", "NO_PROXY": "wandb.intranet"}
    variables, _ = rows(inherited, tmp_path, folder, "")
    assert variables.values["NO_PROXY"] == "wandb.intranet"
