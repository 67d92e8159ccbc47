"""
Say whether this repository's images are attested: those of a public repository are, and those of any other if ATTEST
is true. This checks no attestation: push_images.py does, with `gh attestation verify`, before it reuses an image.

action.yml passes its inputs as variables. Needs only Python. This asks GitHub, because the event of a schedule does not
name the repository: https://github.com/docker/metadata-action/issues/184
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from api import ask


def main() -> int:
    attested = os.environ["ATTEST"] == "true" or ask("GET", "")["visibility"] == "public"
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
        file.write(f"attested={str(attested).lower()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
