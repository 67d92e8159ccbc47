"""
A folder apart from its siblings on the disk.

    pytest tests/server/store/test_folders.py
"""

import os
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
