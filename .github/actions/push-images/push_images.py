"""
Build and push the images whose tag the image registry does not have, and that of promote; give the digests of all.

Beside action.yml, which passes its inputs as REPOSITORY and USE_CASE. Run at the root of a checkout; needs Python and
docker alone. What the images are, and how they are built, `python3 -m runner images` knows.

A tag can be foretold, and whoever may write to this repository may push anything under it. So what this workflow run
pushed is known by the digest that docker computed, and not by what the tag says afterwards; and the image that is given
the second key is never what lay there.
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
# What an image registry answers where there is no such image yet; GHCR denies a repository that it does not know. If
# that was meant, the push is denied too, and says so.
MISSING = ("no such manifest", "manifest unknown", "name unknown", "denied")


def main() -> int:
    repository = os.environ["REPOSITORY"].lower()  # GitHub's names may have capitals, an image's may not
    use_case = settings(os.environ["USE_CASE"])
    of_use_case = ("--use-case", use_case["name"], "--repository", repository)
    wanted = images("--list", *of_use_case, *STEPS)
    there = {name: digest(reference) for name, reference in wanted.items() if name != ALWAYS}
    lacking = [name for name in wanted if there.get(name) is None]
    for name, reference in wanted.items():
        print(f"{reference}: {'to be pushed' if name in lacking else 'there already'}", flush=True)
    images(*of_use_case, *lacking)
    digests = there | {name: push(wanted[name]) for name in lacking}
    names = {name: reference.rpartition(":")[0] for name, reference in wanted.items()}
    pinned = {name: f"{names[name]}@{digests[name]}" for name in wanted}
    pushed = [{"name": names[name], "digest": digests[name]} for name in lacking]
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"use-case={use_case['name']}\n")
        file.write(f"data-env={json.dumps(use_case['data']['env'])}\n")
        file.write(f"images={json.dumps(pinned)}\n")
        file.write(f"pushed={json.dumps(pushed)}\n")
    return 0


def settings(name: str) -> dict[str, Any]:
    """The config of the use case, or of the default one; ends if it is wrong, which it has said."""
    command = [sys.executable, "-m", "modelgate", "config", *([name] if name else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


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


def push(reference: str) -> str:
    """Push an image; the digest of what was pushed, as docker computed it."""
    done = subprocess.run(["docker", "push", reference], stdout=subprocess.PIPE, text=True, check=False)
    # The last line: `<tag>: digest: sha256:... size: 1234`.
    tag = re.escape(reference.rpartition(":")[2])
    found = re.search(rf"^{tag}: digest: (sha256:[0-9a-f]{{64}}) ", done.stdout, re.MULTILINE)
    if done.returncode != 0 or found is None:
        sys.exit(f"error: {reference} was not pushed; docker's own words stand above\n{done.stdout[-1000:]}")
    return found[1]


def digest(reference: str) -> str | None:
    """The digest that the image registry holds under a tag, or None; ends where it cannot be known."""
    # A registry on this machine speaks plain HTTP, and docker wants to be told so.
    plain = ["--insecure"] if reference.startswith(("localhost:", "127.0.0.1:")) else []
    answer = subprocess.run(
        ["docker", "manifest", "inspect", "--verbose", *plain, reference], capture_output=True, text=True, check=False
    )
    if answer.returncode == 0:
        return str(json.loads(answer.stdout)["Descriptor"]["digest"])
    if any(words in answer.stderr for words in MISSING):
        return None
    sys.exit(f"error: whether there is {reference} cannot be known: {answer.stderr.strip()}")


if __name__ == "__main__":
    sys.exit(main())
