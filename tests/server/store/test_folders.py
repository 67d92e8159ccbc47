"""
A folder apart from its siblings on the disk.

    pytest tests/server/store/test_folders.py
"""

import os
import subprocess
from pathlib import Path

import pytest

from modelgate_server.store import folders


def read_flags(path: Path) -> int | None:
    handle = os.open(path, os.O_RDONLY)
    try:
        return folders._read_flags(handle)
    finally:
        os.close(handle)


def test_a_folder_is_made_once_and_nothing_else_stays(tmp_path: Path) -> None:
    folders.create_apart(tmp_path / "apart")
    (tmp_path / "apart" / "file").write_text("kept")
    folders.create_apart(tmp_path / "apart")
    assert [path.name for path in tmp_path.rglob("*")] == ["apart", "file"]


def test_the_parent_has_its_own_flags_again(tmp_path: Path) -> None:
    """Otherwise all folders that are made in it later would be spread as well."""
    before = read_flags(tmp_path)
    folders.create_apart(tmp_path / "apart")
    assert read_flags(tmp_path) == before


def test_ext4_spreads_what_is_made_meanwhile(tmp_path: Path) -> None:
    command = ["stat", "-f", "-c", "%T", str(tmp_path)]
    kind = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    if kind != "ext2/ext3":
        pytest.skip(f"the temporary folder is not on ext4, but on {kind or 'an unknown file system'}")
    with pytest.raises(ZeroDivisionError), folders._mark_as_top(tmp_path):
        assert (read_flags(tmp_path) or 0) & folders.TOPDIR
        raise ZeroDivisionError
    assert not (read_flags(tmp_path) or 0) & folders.TOPDIR


def test_a_file_system_that_cannot_do_it_makes_the_folder_as_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.ioctl", refuse)
    folders.create_apart(tmp_path / "apart")
    assert (tmp_path / "apart").is_dir()


def test_another_process_may_have_made_it_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = Path.mkdir

    def make_both(path: Path) -> None:
        make(path)
        make(tmp_path / "apart")
        (tmp_path / "apart" / "file").write_text("theirs")

    monkeypatch.setattr(Path, "mkdir", make_both)
    folders.create_apart(tmp_path / "apart")
    assert [path.name for path in tmp_path.rglob("*")] == ["apart", "file"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "apart").write_text("a file")
    with pytest.raises(NotADirectoryError):
        folders.create_apart(tmp_path / "apart")
    assert [path.name for path in tmp_path.rglob("*")] == ["apart"]
