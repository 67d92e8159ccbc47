"""
Which images are pushed, and by which digest they are known afterwards: the real script and the real plan of images,
with a `docker` that plays engine and image registry. test_act.py has the real ones.

    pytest tests/workflows/test_push_images.py
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests import own
from tests.workflows.files import ACTIONS

SCRIPT = ACTIONS / "push-images" / "push_images.py"
STEPS = ["build", "train", "link", "evaluate", "promote"]
# The images that are pushed to an empty registry, in this order.
ALL = ["promote", "sklearn", "build", "keras", "train", "link", "evaluate"]
REPOSITORY = "ghcr.io/team/models"
# Answers as docker 28.2 gives them. A file named after an image holds the digest of its tag; a push
# prints its own digest, and then someone else pushes another image to the tag.
DOCKER = r"""#!/bin/sh
printf '%s\n' "$*" >>"$THERE/asked"
fail() { echo "$1" >&2; exit 1; }
read_name() { name=${1##*/}; name=${name%%:*}; }
is_in_engine() { case " $LACKS " in *" $1 "*) [ -e "$THERE/$1.built" ] ;; esac; }
for reference; do :; done
read_name "$reference"
case $1 in
info) echo "[]" ;;
manifest)
    [ -z "$ANSWER" ] || fail "$ANSWER"
    [ -e "$THERE/$name" ] || fail "no such manifest: $reference"
    printf '{"Descriptor": {"digest": "%s"}}\n' "$(cat "$THERE/$name")"
    ;;
build)
    while [ "$1" != --tag ]; do shift; done
    read_name "$2"
    : >"$THERE/$name.built"
    ;;
image)
    shift 2
    lacks=
    for word; do
        case $word in --*) continue ;; esac
        read_name "$word"
        if is_in_engine "$name"; then printf '["%s"]\n' "$word"; else lacks=${lacks:-$word}; fi
    done
    [ -z "$lacks" ] || fail "Error: No such image: $lacks"
    ;;
tag) is_in_engine "$name" || : >"$THERE/$name.built" ;;
push)
    [ -z "$PUSH" ] || fail "$PUSH"
    digest=$(printf %s "$name" | od -An -v -tx1 | tr -d ' \n')
    digest=$(printf %-64s "$digest" | tr ' ' 0)
    printf 'The push refers to repository [%s]\n1a2b: Pushed\n' "$reference"
    echo "${reference##*:}: digest: sha256:$digest size: 2200"
    printf 'sha256:%064d' 0 | tr 0 e >"$THERE/$name"
    ;;
esac
"""


# `gh attestation verify` finds what is named in ATTESTED: an image's name and, after an @, what it was built for.
GH = """
import os, sys
words = sys.argv[1:]
assert words[:2] == ["attestation", "verify"] and words[3:5] == ["--repo", "Team/Models"], words
repository, _, digest = words[2].removeprefix("oci://").partition("@")
assert digest.startswith("sha256:"), words
if f"{repository.rpartition('/')[2]}@{words[words.index('--source-ref') + 1]}" not in os.environ["ATTESTED"].split():
    sys.exit("Error: no attestations found")
"""
MAIN, PULL = "refs/heads/main", "refs/pull/7/merge"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    return own.clone(tmp_path_factory.mktemp("clone"))


@pytest.fixture
def push(tmp_path, clone):
    """
    Run the script; its exit code, what it says and what it puts out. pushed: images that are there already. lacks:
    those that the engine has only once they are built or pulled. attested: what has attestations, which are verified
    then.
    """
    (tmp_path / "bin").mkdir()
    for name, program in (("docker", DOCKER), ("gh", f"#!{sys.executable} -IS\n{GH}")):
        fake = tmp_path / "bin" / name
        fake.write_text(program)
        fake.chmod(0o755)

    def run(pushed=(), answer="", push="", use_case="glyphs", lacks=(), attested=None, images=""):
        for name in pushed:
            (tmp_path / name).write_text("sha256:" + "e" * 64)
        output = tmp_path / "output"
        output.write_text("")
        environ = {
            "PATH": f"{fake.parent}{os.pathsep}{os.environ['PATH']}",
            "DOCKER_HOST": "unix:///played.sock",
            "THERE": str(tmp_path),
            "ANSWER": answer,
            "PUSH": push,
            "LACKS": " ".join(lacks),
            "VERIFY": "false" if attested is None else "true",
            "ATTESTED": " ".join(attested or ()),
            "GITHUB_REF": PULL,
            "GITHUB_REPOSITORY": "Team/Models",
            "REPOSITORY": "ghcr.io/Team/Models",
            "USE_CASE": use_case,
            "IMAGES": images,
            "GITHUB_OUTPUT": str(output),
        }
        done = subprocess.run([sys.executable, SCRIPT], env=environ, cwd=clone, capture_output=True, text=True)
        assert "Traceback" not in done.stderr, done.stderr
        lines = [line.partition("=") for line in output.read_text().splitlines()]
        return (
            done.returncode,
            done.stdout + done.stderr,
            {name: value if name == "use-case" else json.loads(value) for name, _, value in lines},
        )

    return run


def digest_of(name):
    return f"sha256:{name.encode().hex():0<64}"


def test_what_was_pushed_is_known_by_what_docker_pushed_and_not_by_its_tag(push):
    code, output, put_out = push()
    assert code == 0, output
    assert put_out["images"] == {name: f"{REPOSITORY}/{name}@{digest_of(name)}" for name in STEPS}
    assert put_out["pushed"] == [{"name": f"{REPOSITORY}/{name}", "digest": digest_of(name)} for name in ALL]


def test_the_use_case_is_the_one_that_was_named_or_the_default_with_what_its_data_may_read(push):
    _, _, put_out = push()
    assert (put_out["use-case"], put_out["data-env"]) == ("glyphs", [])
    _, _, put_out = push(use_case="")
    assert (put_out["use-case"], put_out["data-env"]) == ("remote", ["GLYPHS_NPZ", "DATA_TOKEN"])


def test_a_use_case_that_is_not_there_ends_it_with_those_that_are(push):
    code, output, put_out = push(use_case="glpyhs")
    assert (code, put_out) == (2, {})
    assert "there is no use case 'glpyhs' (did you mean glyphs?)" in output and "there are: glyphs, remote" in output


def test_what_is_there_is_not_pushed_but_what_gets_the_second_key_always_is(push, tmp_path):
    code, output, put_out = push(pushed=STEPS)
    assert code == 0, output
    assert put_out["images"]["promote"] == f"{REPOSITORY}/promote@{digest_of('promote')}"
    assert put_out["images"]["train"] == f"{REPOSITORY}/train@sha256:{'e' * 64}"
    assert put_out["pushed"] == [{"name": f"{REPOSITORY}/promote", "digest": digest_of("promote")}]
    assert list_images(tmp_path, "push") == ["promote"]
    assert list_images(tmp_path, "pull") == []


def list_images(folder, word):
    """Return the images of docker's calls of this kind."""
    lines = [line.split() for line in (folder / "asked").read_text().splitlines()]
    return [re.split("[:@]", args[-1].rpartition("/")[2])[0] for args in lines if args[0] == word]


def test_a_changed_model_is_built_on_its_framework_which_is_pulled_by_digest_and_not_pushed(push, tmp_path):
    code, output, put_out = push(pushed=["sklearn", "keras", "build", "link", "evaluate"], lacks=["train", "keras"])
    assert code == 0, output
    assert [image["name"].rpartition("/")[2] for image in put_out["pushed"]] == ["promote", "train"]
    assert f"pull --quiet {REPOSITORY}/keras@sha256:{'e' * 64}" in (tmp_path / "asked").read_text()
    assert list_images(tmp_path, "pull") == ["keras"]


def test_what_lies_below_an_image_that_is_there_is_neither_built_nor_pushed(push, tmp_path, clone):
    packages = clone / "usecases/glyphs/requirements.txt"
    packages.write_text("tinyhtml==1.3.0 --hash=sha256:0\n")
    pushed = ["keras-packages", "sklearn-packages", "build", "link", "evaluate"]
    try:
        code, output, put_out = push(pushed=pushed, lacks=["train", "keras", "keras-packages"])
    finally:
        packages.unlink()
    assert code == 0, output
    assert [image["name"].rpartition("/")[2] for image in put_out["pushed"]] == ["promote", "train"]
    assert list_images(tmp_path, "pull") == ["keras-packages"]


def test_a_denied_push_ends_it_before_anything_large_is_built(push, tmp_path):
    code, _, _ = push(push="denied: permission_denied: write_package", lacks=["promote", "keras", "sklearn"])
    assert code == 1
    assert list_images(tmp_path, "push") == ["promote"]
    assert not [line for line in (tmp_path / "asked").read_text().splitlines() if "docker/frameworks/" in line]


def test_an_image_that_is_there_is_taken_only_with_an_attestation_for_main_or_for_this_very_branch(push, tmp_path):
    attested = [f"{name}@{MAIN}" for name in ("build", "link", "keras", "sklearn")] + [f"evaluate@{PULL}"]
    attested.append("train@refs/pull/8/merge")  # some branch
    code, output, put_out = push(pushed=[*STEPS, "keras", "sklearn"], attested=attested)
    assert code == 0, output
    assert f"{REPOSITORY}/train@sha256:{'e' * 64}: not attested for {MAIN}" in output
    assert [image["name"].rpartition("/")[2] for image in put_out["pushed"]] == ["promote", "train"]
    assert put_out["images"]["evaluate"] == f"{REPOSITORY}/evaluate@sha256:{'e' * 64}"


def test_an_image_is_not_built_on_a_framework_that_nobody_attests(push, tmp_path):
    attested = [f"{name}@{MAIN}" for name in ("build", "link", "evaluate", "sklearn")]
    _, output, put_out = push(pushed=[*STEPS, "keras", "sklearn"], attested=attested)
    assert [image["name"].rpartition("/")[2] for image in put_out["pushed"]] == ["promote", "keras", "train"], output
    assert list_images(tmp_path, "pull") == []


def test_only_the_images_that_were_asked_for_are_pushed(push):
    _, output, put_out = push(pushed=["keras"], images="predict")
    assert [image["name"].rpartition("/")[2] for image in put_out["pushed"]] == ["predict"], output
    assert put_out["images"].keys() == {"predict"}


def test_it_says_how_it_is_used():
    done = subprocess.run([sys.executable, SCRIPT, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for word in ("REPOSITORY=ghcr.io/owner/name", "USE_CASE", "VERIFY=true", "GITHUB_OUTPUT"):
        assert word in done.stdout
    assert subprocess.run([sys.executable, SCRIPT, "now"], capture_output=True).returncode == 2


@pytest.mark.parametrize(
    "answer",
    [
        'failed to configure transport: error pinging v2 registry: Get "https://ghcr.io/v2/": connection refused',
        "unauthorized: authentication required",
        "received unexpected HTTP status: 503 Service Unavailable",
    ],
)
def test_a_registry_that_does_not_answer_does_not_lack_the_image(push, tmp_path, answer):
    code, output, put_out = push(pushed=STEPS, answer=answer)
    assert (code, put_out) == (1, {})
    assert f"exists: {answer}" in output
    assert "push" not in [line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()]


@pytest.mark.parametrize("answer", ["denied: permission_denied", "manifest unknown"])
def test_a_repository_that_is_not_there_yet_lacks_it(push, answer):
    assert len(push(answer=answer)[2]["pushed"]) == len(ALL)


def test_a_push_that_fails_ends_it(push):
    code, output, put_out = push(push="denied: permission_denied: write_package")
    assert (code, put_out) == (1, {})
    assert "denied: permission_denied: write_package" in output and "was not pushed" in output
