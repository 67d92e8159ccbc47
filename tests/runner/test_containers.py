"""
What a step's container can see, and the command that a person can paste; this needs no engine.

    pytest tests/runner/test_containers.py
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from runner import environment, pipeline
from runner.containers import Container, Mount
from runner.environment import Variables
from runner.folder import Folder
from runner.images import Image
from runner.step_containers import StepImages, prepare_source

KEY = "local-" + "0123456789" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    runner_folder = Folder(tmp_path / ".modelgate")
    runner_folder.make()
    runner_folder.key_file.write_text(KEY + "\n")
    return runner_folder


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    path = tmp_path / "files" / "glyphs.npz"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def container(variables: Variables, *mounts: Mount) -> Container:
    return Container("n", "step", "modelgate/link:0", ("--use-case=glyphs", "--out=/out"), variables, mounts, "net")


def of_build(
    folder: Folder, root: Path, *, names: tuple[str, ...] = ("GLYPHS_NPZ", "DATA_TOKEN"), **environ: str
) -> Any:
    variables, mounts = prepare_source(environ, names, root, folder, "server")
    return {name: value for name, value in variables.values.items() if name != "HOME"}, mounts[1:], (variables, mounts)


def test_a_file_that_a_declared_variable_names_is_mounted_read_only(tmp_path: Path, folder: Folder, npz: Path) -> None:
    for named in (str(npz), str(npz.relative_to(tmp_path))):
        values, mounts, (variables, inherited) = of_build(folder, tmp_path, GLYPHS_NPZ=named)
        assert values == {"GLYPHS_NPZ": "/rows/GLYPHS_NPZ/glyphs.npz"}
        assert mounts == [Mount(npz, "/rows/GLYPHS_NPZ/glyphs.npz")]
        assert (
            f"--mount=type=bind,source={npz},target=/rows/GLYPHS_NPZ/glyphs.npz,readonly"
            in container(variables, *inherited).format_command()
        )
        assert mounts[0].to_docker()["ReadOnly"] is True


def test_a_folder_that_a_declared_variable_names_is_mounted_too(tmp_path: Path, folder: Folder, npz: Path) -> None:
    _, mounts, _ = of_build(folder, tmp_path, GLYPHS_NPZ=str(npz.parent))
    assert mounts == [Mount(npz.parent, "/rows/GLYPHS_NPZ/files")]


@pytest.mark.parametrize("value", ["/nowhere.npz", "", "s3://bucket/rows", "a\0b", "x" * 5000, "~nobody/rows", "/"])
def test_what_names_no_file_is_left_to_build_to_say(tmp_path: Path, folder: Folder, value: str) -> None:
    values, mounts, _ = of_build(folder, tmp_path, GLYPHS_NPZ=value)
    assert (values, mounts) == ({"GLYPHS_NPZ": value} if value else {}, [])


def test_a_token_is_passed_by_name_and_what_is_not_declared_is_not_passed(tmp_path: Path, folder: Folder) -> None:
    values, _, (variables, inherited) = of_build(folder, tmp_path, DATA_TOKEN="secret", OTHER="x")
    assert values == {"DATA_TOKEN": "secret"}
    line = container(variables, *inherited).format_command()
    assert "secret" not in line and "--env=DATA_TOKEN " in line


def test_what_build_downloads_is_kept_and_goes_by_the_persons_proxy(tmp_path: Path, folder: Folder) -> None:
    proxy = {"https_proxy": "http://ada:secret@proxy:1", "NO_PROXY": "intranet"}
    variables, mounts = prepare_source(proxy, (), tmp_path, folder, "server")
    assert mounts == [Mount(folder.home, "/home/modelgate", writable=True)]
    assert variables.values["HOME"] == "/home/modelgate"
    assert variables.values["NO_PROXY"] == "intranet,server"
    assert "secret" not in container(variables, *mounts).format_command()


def test_a_step_sees_the_server_and_its_key_and_nothing_of_the_person(folder: Folder) -> None:
    variables = environment.build_embedded_in_container(
        host="http://server:8080", url="http://127.0.0.1:8765", key=KEY, key_file=folder.key_file
    )
    assert variables.values == {
        "WANDB_BASE_URL": "http://server:8080",
        "WANDB_APP_URL": "http://127.0.0.1:8765",
        "WANDB_API_KEY": KEY,
        "WANDB_ERROR_REPORTING": "false",
    }


def test_the_line_to_paste_names_the_keys_file_and_not_the_key(folder: Folder) -> None:
    variables = environment.build_embedded_in_container(
        host="http://server", url="http://x", key=KEY, key_file=folder.key_file
    )
    line = container(variables).format_command()
    assert KEY not in line
    # When a shell reads the line, it inserts the key.
    (flag,) = os.popen(f"echo {line} | tr ' ' '\\n' | grep ^--env=WANDB_API_KEY").read().split()  # noqa: S605
    assert flag == f"--env=WANDB_API_KEY={KEY}"
    args = shlex.split(line)
    assert args[:2] == ["docker", "run"]
    assert {"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=net"} <= set(args)
    assert args[-3:] == ["modelgate/link:0", "--use-case=glyphs", "--out=/out"]


def test_the_persons_own_variables_are_passed_by_name_and_their_folders_are_not() -> None:
    inherited = {
        "WANDB_API_KEY": "secret", "WANDB_ENTITY": "team", "WANDB_DIR": "/home/ada", "WANDB_CACHE_DIR": "/home/ada",
        "GITHUB_ACTIONS": "true", "AWS_SECRET_ACCESS_KEY": "secret", "HTTPS_PROXY": "http://ada:secret@proxy:1",
        "NO_PROXY": "wandb.intranet",
    }  # fmt: skip
    variables = environment.build_own_in_container(inherited)
    assert set(variables.values) == {"WANDB_API_KEY", "WANDB_ENTITY", "GITHUB_ACTIONS", "HTTPS_PROXY", "NO_PROXY"}
    line = container(variables).format_command()
    assert "secret" not in line and "--env=WANDB_API_KEY " in line


def test_promote_alone_sees_whom_to_tell_and_by_name(folder: Folder) -> None:
    notification = Variables({"PROMOTION_WEBHOOK_URL": "secret"}, inherited=frozenset({"PROMOTION_WEBHOOK_URL"}))
    images = {step.name: Image(step.name, step.name, "", (), {}) for step in (pipeline.TRAIN, pipeline.PROMOTE)}
    steps = StepImages("n", images, Variables({}), (Variables({}), []), None, folder.out, notification)
    train, promote = (steps.format_command(step, ()) for step in (pipeline.TRAIN, pipeline.PROMOTE))
    assert "PROMOTION_" not in train
    assert "--env=PROMOTION_WEBHOOK_URL " in promote and "secret" not in promote


def test_a_download_with_the_persons_own_wandb_names_no_empty_host(tmp_path: Path, folder: Folder) -> None:
    inherited = {"HOME": str(tmp_path), "https_proxy": "http://proxy:1", "NO_PROXY": "wandb.intranet"}
    variables, _ = prepare_source(inherited, (), tmp_path, folder, "")
    assert variables.values["NO_PROXY"] == "wandb.intranet"
