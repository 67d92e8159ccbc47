"""Check the variables that the workflows read: the repository's own, and its organization's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tools.github.gh import VARIABLES_PAGE, put, read_list
from tools.github.wanted import Difference, Wanted

TEMPLATE, ALLOW = "PROMOTION_WEBHOOK_TEMPLATE", "PROMOTION_WEBHOOK_ALLOW"
DISPATCH_REPOSITORY = "PROMOTION_DISPATCH_REPOSITORY"


class Variables(NamedTuple):
    """Return the variables of the repository. Those of its organization count where the repository has none."""

    own: dict[str, str]
    organization: dict[str, str]

    def get(self, name: str) -> str | None:
        return (self.organization | self.own).get(name)


def read_values(path: str) -> dict[str, str]:
    return {row["name"]: row["value"] for row in read_list(path, "variables", VARIABLES_PAGE)}


def check_variables(api: str, wanted: Wanted, variables: Variables, approval: str) -> Iterator[Difference]:
    values = variables.organization | variables.own
    wanted_values = {
        "WANDB_ENTITY": wanted.entity,
        "WANDB_BASE_URL": wanted.base_url,
        "APPROVAL": wanted.approval,
        "PROMOTE_FROM": "main" if approval == "merge" else wanted.promote_from,
    }
    for name, value in wanted_values.items():
        if value is not None and values.get(name) != value:
            body = {"name": name, "value": value}
            exists = name in variables.own
            path = f"{api}/actions/variables{'/' + name if exists else ''}"
            yield Difference(
                f"the variable {name} is {repr(values[name]) if name in values else 'not set'}, but must be {value!r}",
                "the workflows read it",
                (put(path, body, "PATCH" if exists else "POST"),),
            )
    if wanted.entity is None and not values.get("WANDB_ENTITY"):
        yield Difference(
            "the variable WANDB_ENTITY is missing",
            "the steps would write to the default entity of each key",
            by_hand="set it: ENTITY=your-team",
        )
    yield from check_values(values)


def check_values(values: dict[str, str]) -> Iterator[Difference]:
    """Check that each variable that is set has a value that the workflows accept."""
    for name, allowed in (("APPROVAL", ("github", "merge")), ("PROMOTE_FROM", ("pr", "main"))):
        if name in values and values[name] not in allowed:
            yield Difference(
                f"the variable {name} is {values[name]!r}",
                f"it can be {' or '.join(allowed)}",
                by_hand=f"set it: {name}={allowed[0]}",
            )
    for name, meant in ((TEMPLATE, "slack|teams"), (ALLOW, "private|http|private http|http private")):
        if name in values and not re.fullmatch(meant, values[name]):
            yield Difference(
                f"the variable {name} is {values[name]!r}",
                "the webhook gets no message about a promotion",
                by_hand=f"{meant.replace('|', ', or ')}; or delete it: gh variable delete {name}",
            )
    if DISPATCH_REPOSITORY in values and not re.fullmatch(r"[\w-]+/[\w.-]+", values[DISPATCH_REPOSITORY]):
        yield Difference(
            f"the variable {DISPATCH_REPOSITORY} is {values[DISPATCH_REPOSITORY]!r}",
            "no repository gets a message about a promotion",
            by_hand=f"owner/name; or delete it: gh variable delete {DISPATCH_REPOSITORY}",
        )
