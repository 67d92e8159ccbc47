"""
Build and push the images whose tag the image registry does not have, and give the digests of all.

Beside action.yml, which passes its input as REPOSITORY. Run at the root of a checkout; needs Python and docker alone.
BASE_IMAGE names another base image, for a runner that cannot pull the one that the Dockerfiles name.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from runner import images
from runner.errors import RunnerError
from runner.images import Image
from runner.processes import Stop

STEPS = ("build", "train", "link", "evaluate", "promote")


def main() -> int:
    root = Path.cwd()
    wanted = images.wanted(root, base=os.environ.get("BASE_IMAGE") or None, repository=os.environ["REPOSITORY"].lower())
    chosen = [wanted[name] for name in STEPS]
    missing = [image for image in chosen if digest(image) is None]
    for image in chosen:
        print(f"{image.reference}: {'to be built' if image in missing else 'is there'}", flush=True)
    try:
        with Stop() as stop:
            images.build(root, images.missing(missing), stop, say)
    except RunnerError as error:
        print(f"error: {error}", flush=True)
        return error.code
    for image in missing:
        subprocess.run(["docker", "push", "--quiet", image.reference], check=True)
    found = {image.name: by_digest(image) for image in chosen}
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"images={json.dumps(found)}\n")
    return 0


def by_digest(image: Image) -> str:
    """The image's reference, pinned by what the image registry itself says that it holds."""
    found = digest(image)
    if found is None:
        raise SystemExit(f"error: {image.reference} was pushed, and the image registry does not have it")
    return f"{image.reference.rpartition(':')[0]}@{found}"


def digest(image: Image) -> str | None:
    """The digest that the image registry holds under the image's tag, or None."""
    # A registry on this machine speaks plain HTTP, and docker wants to be told so.
    plain = ["--insecure"] if image.reference.startswith(("localhost:", "127.0.0.1:")) else []
    answer = subprocess.run(
        ["docker", "manifest", "inspect", "--verbose", *plain, image.reference],
        env=os.environ | {"DOCKER_CLI_EXPERIMENTAL": "enabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        return None
    return str(json.loads(answer.stdout)["Descriptor"]["digest"])


def say(name: str, step: int, steps: int, words: str) -> None:
    print(f"{name} {step}/{steps} {words}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
