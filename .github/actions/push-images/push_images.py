"""
Build and push the images whose tag the image registry does not have, and give the digests of all.

Beside action.yml, which passes its input as REPOSITORY. Run at the root of a checkout; needs Python and docker alone.
What the images are, and how they are built, `python3 -m runner images` knows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

STEPS = ("build", "train", "link", "evaluate", "promote")


def main() -> int:
    repository = os.environ["REPOSITORY"].lower()  # GitHub's names may have capitals, an image's may not
    wanted = images("--list", "--repository", repository, *STEPS)
    lacking = [name for name, reference in wanted.items() if digest(reference) is None]
    for name, reference in wanted.items():
        print(f"{reference}: {'not there yet' if name in lacking else 'there already'}", flush=True)
    if lacking:
        images("--repository", repository, *lacking)
    for name in lacking:
        subprocess.run(["docker", "push", "--quiet", wanted[name]], check=True)
    pinned = {name: by_digest(reference) for name, reference in wanted.items()}
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"images={json.dumps(pinned)}\n")
        file.write(f"pushed={json.dumps([parts(pinned[name]) for name in lacking])}\n")
    return 0


def parts(pinned: str) -> dict[str, str]:
    name, _, found = pinned.partition("@")
    return {"name": name, "digest": found}


def images(*arguments: str) -> dict[str, str]:
    """What `runner images` answers, name to tag; its words go to the log."""
    command = [sys.executable, "-m", "runner", "images", *arguments]
    # Attestations of the builder would make an index of each image, whose digest says when it was built.
    environ = os.environ | {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
    # Through `cat`, because on a terminal, which the log is under act, the runner would draw bars.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as log:
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=log.stdin, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)  # it has said why
    lines = [line.partition("=") for line in done.stdout.splitlines()]
    return {name: reference for name, _, reference in lines}


def by_digest(reference: str) -> str:
    """The image pinned by what the image registry itself says that it holds."""
    if (found := digest(reference)) is None:
        sys.exit(f"error: {reference} was pushed, and the image registry does not have it")
    return f"{reference.rpartition(':')[0]}@{found}"


def digest(reference: str) -> str | None:
    """The digest that the image registry holds under a tag, or None."""
    # A registry on this machine speaks plain HTTP, and docker wants to be told so.
    plain = ["--insecure"] if reference.startswith(("localhost:", "127.0.0.1:")) else []
    answer = subprocess.run(
        ["docker", "manifest", "inspect", "--verbose", *plain, reference], capture_output=True, text=True, check=False
    )
    return str(json.loads(answer.stdout)["Descriptor"]["digest"]) if answer.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
