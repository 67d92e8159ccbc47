"""
What the runner reads from a step's output, which a container may have written.

    pytest tests/runner/test_report.py
"""

from __future__ import annotations

import os
from pathlib import Path

from runner import loop


def test_a_report_is_read_to_its_limit_and_a_link_or_a_pipe_is_none(tmp_path: Path) -> None:
    """In a container a link points to a file of the container; here it would point to the person's."""
    report, secret = tmp_path / "report.md", tmp_path / "environ"
    secret.write_text("WANDB_API_KEY=secret")
    report.write_text("x" * (loop.MAX_REPORT_BYTES + 1))
    assert len(loop._read_text(report)) == loop.MAX_REPORT_BYTES
    report.unlink()
    report.symlink_to(secret)
    assert loop._read_text(report) == ""
    report.unlink()
    os.mkfifo(report)
    assert loop._read_text(report) == ""
    report.unlink()
    report.mkdir()
    assert loop._read_text(report) == ""
    assert loop._read_text(tmp_path / "gone") == ""
