"""Find the git commit of this code, which evaluate records as the code that it ran."""

from __future__ import annotations

import subprocess

from modelgate.commit import is_dirty, mark_dirty
from runner import environment
from runner.options import Options

# What a step can read: its folder, what it imports, and the modules at the root, which Python would import first.
READ_BY_STEPS = ("modelgate", "steps", "usecases", "docker", ":(glob)*.py")


def add_flag(options: Options) -> Options:
    """Return the options with the commit as evaluate's flag; unchanged outside a git repository."""
    commit = _find_commit(options)
    return options._replace(flags=dict(options.flags) | {"commit": commit}) if commit else options


def _find_commit(options: Options) -> str:
    """
    Return the commit of this code; empty outside a git repository.

    It ends with `-dirty` if a tracked file differs, or if git does not track a file that a step could read, ignored or
    not.
    """
    commit = _run_git(options, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty")
    if not commit:
        return ""
    untracked = _run_git(options, "ls-files", "--others", "-z", "--", *READ_BY_STEPS) or ""
    read = [name for name in untracked.split("\0") if name and "__pycache__" not in name.split("/")]
    return mark_dirty(commit) if read else commit


def describe_changes(commit: str) -> str:
    """Return a sentence about code that was not committed; empty if it was, or if the commit is not known."""
    return f"The code was not committed: it has changes since commit {commit[:12]}." if is_dirty(commit) else ""


def _run_git(options: Options, *args: str) -> str | None:
    """Return git's answer, or None if there is none."""
    try:
        answer = subprocess.run(
            ["git", *args],
            cwd=options.root,
            env=environment.build_base(options.environ),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
