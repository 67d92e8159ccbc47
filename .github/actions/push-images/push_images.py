"""
Build and push the images whose tag the image registry does not have, and that of promote; output the digests of all.

    REPOSITORY=ghcr.io/owner/name USE_CASE=NAME GITHUB_OUTPUT=/dev/stdout python3 push_images.py

action.yml passes its inputs in the environment: REPOSITORY, USE_CASE (empty: the default one), IMAGES (empty: those of
the pipeline), and VERIFY=true if images have attestations. Run it at the root of a checkout; it needs Python and
docker, and gh to verify. `python3 -m runner images` knows the images, their bases and how to build them. An image of a
framework is pulled or pushed only if an image that is built on it must be built.

A tag is predictable, and anyone who can write to this repository can push anything under it. So the images that this
workflow run pushed are identified by the digest that docker computed, not by the tag. With VERIFY, an existing image is
reused only if this repository's workflow built it for main or for this branch. And the image that gets the second key
is never reused.

Exits 0 done, 1 something was not built, pushed or known, 2 there is no such use case, or its config is wrong.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

STEPS = ("build", "train", "link", "evaluate", "promote")
ALWAYS = "promote"
MAIN = "refs/heads/main"
# What an image registry answers if there is no such image yet; GHCR denies access to an unknown repository. If access
# is really denied, the push fails, too, and says so.
MISSING = ("no such manifest", "manifest unknown", "name unknown", "denied")


def main() -> int:
    if sys.argv[1:]:
        print(__doc__)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    repository = os.environ["REPOSITORY"].lower()  # names on GitHub may have capitals, names of images may not
    use_case = read_config(os.environ["USE_CASE"])
    of_use_case = ("--use-case", use_case["name"], "--repository", repository)
    requested = os.environ.get("IMAGES", "").split() or STEPS
    references = list_images("--list", *of_use_case, *requested)
    wanted = {name: references[name] for name in requested}
    already_pushed = {name: find_digest(reference) for name, reference in wanted.items() if name != ALWAYS}
    lacking = [name for name in wanted if already_pushed.get(name) is None and name != ALWAYS]
    for name, reference in wanted.items():
        print(f"{reference}: {'to be pushed' if already_pushed.get(name) is None else 'exists'}", flush=True)
    # First the one that is built each time, in seconds: a denied push fails before anything else is built.
    always = [name for name in requested if name == ALWAYS]
    pushed = build(of_use_case, always, {}) if always else {}
    if lacking:
        pushed |= build(of_use_case, lacking, fetch_bases(of_use_case, lacking))
    digests = already_pushed | {name: pushed[name] for name in (*always, *lacking)}
    names = {name: reference.rpartition(":")[0] for name, reference in references.items()}
    pinned = {name: f"{names[name]}@{digests[name]}" for name in wanted}
    pushed_digests = [{"name": names[name], "digest": value} for name, value in pushed.items()]
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"use-case={use_case['name']}\n")
        file.write(f"data-env={json.dumps(use_case['data']['env'])}\n")
        file.write(f"images={json.dumps(pinned)}\n")
        file.write(f"pushed={json.dumps(pushed_digests)}\n")
    return 0


def fetch_bases(of_use_case: tuple[str, ...], names: list[str]) -> dict[str, str | None]:
    """Pull what these images are built on, where it is there: each name and its digest, or None."""
    listed = list_images("--list", *of_use_case, *names)
    bases = {name: find_digest(reference) for name, reference in listed.items() if name not in names}
    for name, value in bases.items():
        if value is not None:
            pull(listed[name], value)
    return bases


def build(of_use_case: tuple[str, ...], names: list[str], bases: dict[str, str | None]) -> dict[str, str]:
    """Build images, on bases that were not there too, and push both; the digests of what was pushed."""
    built = list_images(*of_use_case, *names)
    # Below an existing base, nothing was built.
    return {name: push(built[name]) for name in built if bases.get(name) is None and is_in_engine(built[name])}


def read_config(name: str) -> dict[str, Any]:
    """Return the config of the use case, or of the default one; ends if it is wrong, which it has said."""
    command = [sys.executable, "-m", "modelgate", "config", *([name] if name else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def list_images(*arguments: str) -> dict[str, str]:
    """Return what `runner images` answers, name to tag; its words go to the log."""
    command = [sys.executable, "-m", "runner", "images", *arguments]
    # Attestations of the builder would make an index of each image, whose digest says when it was built.
    environ = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # Through `cat`, because on a terminal, which the log is under act, the runner would draw bars.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as log:
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=log.stdin, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)  # it has already said why
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return {name: reference for name, _, reference in lines}


def push(reference: str) -> str:
    """Push an image; the digest of what was pushed, as docker computed it."""
    done = subprocess.run(["docker", "push", reference], stdout=subprocess.PIPE, text=True, check=False)
    # The last line: `<tag>: digest: sha256:... size: 1234`.
    tag = re.escape(reference.rpartition(":")[2])
    match = re.search(rf"^{tag}: digest: (sha256:[0-9a-f]{{64}}) ", done.stdout, re.MULTILINE)
    if done.returncode != 0 or match is None:
        sys.exit(f"error: {reference} was not pushed; see docker's output above\n{done.stdout[-1000:]}")
    return match[1]


def pull(reference: str, value: str) -> None:
    """Have the engine hold this digest under the tag, on which the runner builds."""
    pinned = f"{reference.rpartition(':')[0]}@{value}"
    for arguments in (["pull", "--quiet", pinned], ["tag", pinned, reference]):
        if subprocess.run(["docker", *arguments], stdout=subprocess.DEVNULL, check=False).returncode != 0:
            sys.exit(f"error: {pinned} could not be pulled; see docker's output above")


def is_in_engine(reference: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", reference], capture_output=True, check=False).returncode == 0


def find_digest(reference: str) -> str | None:
    """
    Return the digest that the image registry holds under a tag, or None if none may be used; ends if that is not known.
    """
    # A registry on this machine speaks plain HTTP, and docker wants to be told so.
    plain = ["--insecure"] if reference.startswith(("localhost:", "127.0.0.1:")) else []
    answer = subprocess.run(
        ["docker", "manifest", "inspect", "--verbose", *plain, reference], capture_output=True, text=True, check=False
    )
    if answer.returncode == 0:
        value = str(json.loads(answer.stdout)["Descriptor"]["digest"])
        return value if is_trusted(f"{reference.rpartition(':')[0]}@{value}") else None
    if any(phrase in answer.stderr for phrase in MISSING):
        return None
    sys.exit(f"error: cannot find out whether {reference} exists: {answer.stderr.strip()}")


def is_trusted(pinned: str) -> bool:
    """
    Return whether an image may be used though this workflow run did not build it: if images are attested, then only
    with an attestation of this repository's workflows, for main or for what this run is for. One without is built
    again.
    """
    if os.environ.get("VERIFY") != "true":
        return True
    for ref in dict.fromkeys((MAIN, os.environ["GITHUB_REF"])):
        command = ["gh", "attestation", "verify", f"oci://{pinned}", "--repo", os.environ["GITHUB_REPOSITORY"]]
        command += ["--source-ref", ref]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return True
        print(f"{pinned}: not attested for {ref}: {done.stderr.strip()[-300:]}", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
