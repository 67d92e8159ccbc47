"""docs/reference/conformance.md, from the results of `make conformance`."""

import re
from collections import Counter
from itertools import groupby

from tests.server.conformance.suite import FOLDERS, Outcome, Result
from tests.serving import ROOT

PATH = ROOT / "docs" / "reference" / "conformance.md"

HEAD = """# Conformance

W&B's own system tests run against the embedded server, and this page has their results. `make conformance
WANDB_TESTS=<checkout>` runs the tests and writes the page; they stay in their checkout of github.com/wandb/wandb. W&B
wrote them for a private server image, but they run against any server: a plugin gives them the address of this one, and
`python -m modelgate_server admin` creates the users that they need (`tests/server/conformance/`). A failed test runs
once more by itself, and counts as passed if it passes then.
"""


def line(result: Result, folder: str) -> str:
    return f"wandb {result.sdk}: {folder}: {_said(result.select(folder))}"


def total(result: Result) -> str:
    return f"wandb {result.sdk}: {_said(result.outcomes)}"


def _said(outcomes: list[Outcome]) -> str:
    ran = [one for one in outcomes if one.together != "skipped"]
    passed = sum(one.passes for one in ran)
    said = f"{passed} of {len(ran)} passed"
    if alone := sum(one.alone == "passed" for one in ran):
        said += f" ({alone} only alone)"
    return said + f", {len(outcomes) - len(ran)} skipped"


def render(results: list[Result]) -> str:
    parts = [HEAD, _figures(results)]
    for result in results:
        parts += [f"## wandb {result.sdk}\n", _folders(result), _failed(result), _later(result), _skipped(result)]
        parts.append(_left_out(result))
    return "\n".join(part for part in parts if part)


def _figures(results: list[Result]) -> str:
    rows = ["| SDK | passed | skipped | left out | date | tests |", "|---|---|---|---|---|---|"]
    for result in results:
        ran = [one for one in result.outcomes if one.together != "skipped"]
        rows.append(
            f"| {result.sdk} | **{sum(one.passes for one in ran)} of {len(ran)}** | {len(result.outcomes) - len(ran)} |"
            f" {len(result.exclusions)} | {result.date} | `{result.tests}` |"
        )
    return (
        "\n".join(rows)
        + "\n\n`tests` is a hash over the files that were run. The tests that are left out are listed below.\n"
    )


def _folders(result: Result) -> str:
    rows = ["| folder | passed | failed | skipped |", "|---|---|---|---|"]
    for folder in FOLDERS:
        found = Counter("passed" if one.passes else one.together for one in result.select(folder))
        rows.append(f"| `{folder}` | {found['passed']} | {found['failed']} | {found['skipped']} |")
    return "\n".join(rows) + "\n"


def _failed(result: Result) -> str:
    failed = [one for one in result.outcomes if one.together == "failed"]
    if not failed:
        return ""
    rows = ["Failed when run with the others:\n", "| test | alone | cause |", "|---|---|---|"]
    rows += [f"| `{one.test}` | {one.alone} | {_cell(one.cause)} |" for one in failed]
    return "\n".join(rows) + "\n"


def _later(result: Result) -> str:
    rows = ["Measured again by themselves, after the run of their folder:\n"]
    rows += [f"- `{one.test}`: {one.before} before, {one.together} now" for one in result.outcomes if one.before]
    return "\n".join(rows) + "\n" if len(rows) > 1 else ""


def _skipped(result: Result) -> str:
    causes = Counter(_cell(one.cause) for one in result.outcomes if one.together == "skipped")
    rows = ["Skipped by the tests themselves, with their reasons:\n"]
    rows += [f"- {cause or 'without a reason'} ({count})" for cause, count in sorted(causes.items())]
    return "\n".join(rows) + "\n" if causes else ""


def _left_out(result: Result) -> str:
    rows = ["Left out, because the test:\n"]
    for reason, tests in groupby(result.exclusions, key=lambda pair: pair[1]):
        rows.append(f"- {reason}:")
        rows += [f"  - `{test}`" for test, _ in tests]
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    """Without the names that W&B's tests draw: a user's, the project and the run."""
    named = re.sub(r"user_gw\d+-[0-9a-f]{40}/[\w-]+/\w+", "USER/PROJECT/RUN", text)
    return named.replace("|", "\\|").replace("<", "&lt;")
