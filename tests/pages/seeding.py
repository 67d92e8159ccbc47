"""
What the tests of these pages look at: a promoted version, and another that waits. Every text that a person may choose
is hostile.

    WANDB_BASE_URL=... WANDB_API_KEY=... WANDB_PROJECT=glyphs-dev python -m tests.pages.seeding
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import wandb

from modelgate.gate.scores import Scores
from modelgate.promotion import evaluation
from modelgate.promotion import evidence as form
from steps import promote
from tests import own
from tests.steps.workspace import POLICY, Workspace

COLLECTION = "glyphs-dev"  # and the project: the workspace calls both by one name
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
RUN = "http://127.0.0.1:9/local/glyphs-dev/runs/a"
REPORT = f"""# {HOSTILE}

[a link](javascript:alert(3)) and ![a picture](http://127.0.0.1:9/x.png) {HOSTILE}

|  | why |
| --- | --- |
| `floor` | passed {HOSTILE} |
| evaluation | {RUN} |
"""
NEW_MISTAKES = 3


class HostileWorkspace(Workspace):
    def pack(self, artifact: Any, content: str, answers: Scores) -> None:
        evaluation.add_to(artifact, content, REPORT, answers, POLICY)
        columns = ["row", "label", "answer", "confidence", "correct", "production_answer", "mistake"]
        table = wandb.Table(columns=columns)
        for row in range(6):
            picture = wandb.Image(np.full((8, 8), 30 * row, dtype=np.uint8)) if row < 5 else None
            # The last of those with a picture are wrong in production, too.
            table.add_data(
                row, row, row if row == 5 else 7, row / 10, row == 5, row if row < NEW_MISTAKES else 7, picture
            )
        artifact.add(table, "predictions")


def step(name: str, *flags: object) -> None:
    assert name == "promote"
    assert promote.main(["--use-case", "glyphs", *map(str, flags)]) == 0


def main() -> None:
    own.install()
    workspace = HostileWorkspace(step, COLLECTION)
    workspace.promoted(0, None, "--reason", HOSTILE)
    moved = [{"name": HOSTILE, "rows": 40, "regressed": 3, "improved": 1}]
    warnings = [HOSTILE, f"{HOSTILE} by local: {RUN}"]
    git = {"commit": "c0ffee-dirty", "git": vars(form.parse_git("c0ffee-dirty"))}
    waits = workspace.evidence(1, 0, slices=moved, warnings=warnings, headline=f"pass: {HOSTILE}", **git)
    sys.__stdout__.write(json.dumps({"evidence": waits, "version": f"{workspace.registry}:v1"}) + "\n")


if __name__ == "__main__":
    main()
