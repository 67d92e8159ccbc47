"""
What the workflow tests need on a machine: if it is missing, each says so in one sentence.

    pytest tests/workflows/test_needs.py
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.workflows.files import ROOT

WITHOUT_BUILDX = """#!/bin/sh
[ "$1" = info ] && exit 0
echo 'ERROR: BuildKit is enabled but the buildx component is missing or broken.' >&2
exit 1
"""


@pytest.mark.parametrize("test", ["test_act.py::test_each_step_ran_in_its_image_by_digest", "test_act_paths.py"])
def test_without_buildx_they_are_skipped_with_one_sentence(tmp_path, test):
    for name, script in (("docker", WITHOUT_BUILDX), ("docker-registry", "#!/bin/sh\n")):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", f"tests/workflows/{test}"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    (sentence,) = {line.partition(": ")[2] for line in done.stdout.splitlines() if line.startswith("SKIPPED")}
    assert sentence == "act's jobs need docker-buildx, with which this `docker` command builds images"
