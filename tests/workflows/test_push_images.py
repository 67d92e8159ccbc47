"""
Which images are pushed, and by what they are known afterwards: the real script and the real plan of images, with a
`docker` that plays engine and image registry. The real ones are in test_act.py.

    pytest tests/workflows/test_push_images.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests import own
from tests.workflows.files import ACTIONS

SCRIPT = ACTIONS / "push-images" / "push_images.py"
STEPS = ["build", "train", "link", "evaluate", "promote"]
REPOSITORY = "ghcr.io/team/models"
# Answers as docker 28.2 gives them. A file named after an image's name holds the digest that lies under its tag; a push
# answers its own digest, and then somebody else has put another image there.
DOCKER = """
import json, os, pathlib, sys
there = pathlib.Path(os.environ["THERE"])
with (there / "asked").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
reference = sys.argv[-1]
name = reference.rpartition("/")[2].partition(":")[0]
if sys.argv[1] == "info":
    print("[]")
if sys.argv[1] == "manifest":
    if os.environ["ANSWER"]:
        sys.exit(os.environ["ANSWER"])
    if not (there / name).exists():
        sys.exit(f"no such manifest: {reference}")
    print(json.dumps({"Descriptor": {"digest": (there / name).read_text()}}))
if sys.argv[1] == "push":
    if os.environ["PUSH"]:
        sys.exit(os.environ["PUSH"])
    tag = reference.rpartition(":")[2]
    print(f"The push refers to repository [{reference}]\\n1a2b: Pushed")
    print(f"{tag}: digest: sha256:{name.encode().hex():0<64} size: 2200")
    (there / name).write_text("sha256:" + "e" * 64)
"""


@pytest.fixture
def push(tmp_path):
    """Run the script; its exit code, what it says and what it puts out. there: images that lie there already."""
    fake = tmp_path / "bin" / "docker"
    fake.parent.mkdir()
    fake.write_text(f"#!{sys.executable}\n{DOCKER}")
    fake.chmod(0o755)

    root = own.clone(tmp_path / "clone")

    def run(there=(), answer="", push="", use_case="glyphs"):
        for name in there:
            (tmp_path / name).write_text("sha256:" + "e" * 64)
        output = tmp_path / "output"
        output.write_text("")
        environ = {
            "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}",
            "DOCKER_HOST": "unix:///played.sock",
            "THERE": str(tmp_path),
            "ANSWER": answer,
            "PUSH": push,
            "REPOSITORY": "ghcr.io/Team/Models",
            "USE_CASE": use_case,
            "GITHUB_OUTPUT": str(output),
        }
        done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=root, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        lines = [line.partition("=") for line in output.read_text().splitlines()]
        return (
            done.returncode,
            done.stdout + done.stderr,
            {name: value if name == "use-case" else json.loads(value) for name, _, value in lines},
        )

    return run


def of(name):
    return f"sha256:{name.encode().hex():0<64}"


def test_what_was_pushed_is_known_by_what_docker_pushed_and_not_by_its_tag(push):
    code, said, put_out = push()
    assert code == 0, said
    assert put_out["images"] == {name: f"{REPOSITORY}/{name}@{of(name)}" for name in STEPS}
    assert put_out["pushed"] == [{"name": f"{REPOSITORY}/{name}", "digest": of(name)} for name in STEPS]


def test_the_use_case_is_the_one_that_was_named_or_the_default_with_what_its_data_may_read(push):
    _, _, put_out = push()
    assert (put_out["use-case"], put_out["data-env"]) == ("glyphs", [])
    _, _, put_out = push(use_case="")
    assert (put_out["use-case"], put_out["data-env"]) == ("remote", ["GLYPHS_NPZ", "DATA_TOKEN"])


def test_a_use_case_that_is_not_there_ends_it_with_those_that_are(push):
    code, said, put_out = push(use_case="glpyhs")
    assert (code, put_out) == (2, {})
    assert "there is no use case 'glpyhs' (did you mean glyphs?)" in said and "there are: glyphs, remote" in said


def test_what_is_there_is_not_pushed_but_what_gets_the_second_key_always_is(push, tmp_path):
    code, said, put_out = push(there=STEPS)
    assert code == 0, said
    assert put_out["images"]["promote"] == f"{REPOSITORY}/promote@{of('promote')}"
    assert put_out["images"]["train"] == f"{REPOSITORY}/train@sha256:{'e' * 64}"
    assert put_out["pushed"] == [{"name": f"{REPOSITORY}/promote", "digest": of("promote")}]
    asked = [line.split() for line in (tmp_path / "asked").read_text().splitlines()]
    assert len([words for words in asked if words[0] == "push"]) == 1


@pytest.mark.parametrize(
    "words",
    [
        'failed to configure transport: error pinging v2 registry: Get "https://ghcr.io/v2/": connection refused',
        "unauthorized: authentication required",
        "received unexpected HTTP status: 503 Service Unavailable",
    ],
)
def test_a_registry_that_does_not_answer_does_not_lack_the_image(push, tmp_path, words):
    code, said, put_out = push(there=STEPS, answer=words)
    assert (code, put_out) == (1, {})
    assert f"cannot be known: {words}" in said
    assert "push" not in [line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()]


@pytest.mark.parametrize("words", ["denied: permission_denied", "manifest unknown"])
def test_a_repository_that_is_not_there_yet_lacks_it(push, words):
    assert len(push(answer=words)[2]["pushed"]) == 5


def test_a_push_that_fails_ends_it(push):
    code, said, put_out = push(push="denied: permission_denied: write_package")
    assert (code, put_out) == (1, {})
    assert "denied: permission_denied: write_package" in said and "was not pushed" in said
