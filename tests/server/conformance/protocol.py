"""
docs/reference/protocol.md: every GraphQL operation that the SDK can send, and what this server makes of it.

    .venv/bin/python -m tests.server.conformance.protocol        writes the page

The operations come out of the installed SDK (documents.py), whose schema check says which are known here. Which test
covers one, the tests say: their mark `covers` names the operations that the server must have seen while the test ran
(tests/server/sdk/conftest.py holds it to that). What other releases send, releases.py has found out before.
"""

import ast
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import wandb
from graphql import (
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_leaf_type,
    parse,
    visit,
)

from modelgate_server.api import sweeps as sweep_api
from modelgate_server.api.graphql_api import SCHEMA
from modelgate_server.store import sweeps
from tests.server.conformance import releases
from tests.server.conformance.documents import Document, documents
from tests.serving import ROOT

PATH = ROOT / "docs" / "reference" / "protocol.md"
SDK = Path(wandb.__file__).parent
SDK_TESTS = ROOT / "tests" / "server" / "sdk"

# Known to the schema, and there is no way to make the SDK send it to this server.
NEVER_SENT = {
    "ArtifactManifest": "a download by the Go process, which 0.31's Python does itself",
    "EntityIsTeam": "launch",
    "EvalTableProjectScope": "evaluation tables, whose feature is off here",
    "FetchOrgEntityFromEntity": "a link by the Go process, which 0.31's Python makes itself",
    "GetSweepLegacy": "sent only where `GetSweep` was refused",
    "GetSweepState": "the local scheduler of sweeps, whose feature is off here",
    "QueryRunInfo": "no function of 0.31's Python leads to it",
    "RunStoppedStatus": "launch",
    "SweepRunsWithHistory": "the local scheduler of sweeps, whose feature is off here",
    "SweepWatchedRuns": "the local scheduler of sweeps, whose feature is off here",
    "UpsertSweepState": "the local scheduler of sweeps, whose feature is off here",
}

# Headers, and what is inside documents that GraphQL takes for a text. tests/server/sdk/test_public_cases.py tries each.
OTHERWISE = {
    '`X-WANDB-USE-ASYNC-FILESTREAM`, `X-WANDB-ASYNC-CLIENT-ID` (`mode="shared"`)': (
        "implemented | the lines of all writers in one stream, with new step numbers; config and summary are"
        " merged; an ended run stays ended if another writer joins"
    ),
    "`X-WANDB-SERVER-SIDE-DERIVED-SUMMARY`": "refused | the client sends the summary",
    "`X-WANDB-USERNAME`, `X-WANDB-USER-EMAIL`, `X-WANDB-CLIENT-ID`": "ignored | the key says who it is",
    "`_wandb.branch_point` in a run's config (`fork_from`)": (
        "implemented | the new run begins with the source's rows up to the step, and with its config"
    ),
    "`ttlDurationSeconds` of a version": (
        "implemented | it is deleted when the time is over, unless it is linked, has an alias other than `latest`, or"
        " another version has files of it"
    ),
    "`run.download_history_exports()`": (
        "refused | there are no Parquet files of a history: the SDK raises `IncompleteRunHistoryError`, as it does for"
        " rows that W&B has not exported yet; `scan_history()` reads all rows"
    ),
    "`metric.target` in a sweep's configuration": "implemented | when it is reached there is no further run",
    "other keys in a sweep's configuration": "ignored | each with a warning in the answer",
}

HEAD = """# Protocol

Every GraphQL operation that wandb {version} can send, by the name that the SDK gives it. This page is made by
`python -m tests.server.conformance.protocol` out of the installed SDK, `modelgate_server/api/schema.graphql` and the
tests, and `make test` fails when it is out of date.

- **implemented**: the server does it. The test next to it runs the real SDK, and passes only if the server saw the
  operation while it ran.
- **ignored**: the server knows it and answers that there is nothing.
- **refused**: the server refuses it by name, in the answer and in its log, and counts it on its page
  `/_internal/status`.
"""

RELEASES = """## Releases of the SDK

Each minor release from 0.19 on, in its last patch. A document is a GraphQL query, mutation or fragment that the release
has in its files; known means that the server's schema takes all of it. The walkthrough is a program that logs, reads,
links, promotes and deletes with that release's SDK (`tests/server/conformance/walkthrough.py`).

To check a new release and bring this page up to date, run `python -m tests.server.conformance.releases`. It downloads
what it needs from PyPI.
"""


@dataclass
class Operation:
    name: str
    kind: str
    documents: list[Document] = field(default_factory=list)

    @property
    def refusal(self) -> str:
        """Why the server would refuse it; empty when it knows one of its forms."""
        reasons = [one.refusal for one in self.documents]
        return "" if "" in reasons else reasons[0]

    @property
    def status(self) -> str:
        if self.refusal:
            return "refused"
        whole = [one.text for one in self.documents if one.whole]
        return "ignored" if whole and all(_says_nothing(text) for text in whole) else "implemented"


@cache
def operations() -> dict[str, Operation]:
    """Those of the installed SDK, by name."""
    found: dict[str, Operation] = {}
    for one in documents(SDK):
        if one.kind != "fragment":
            found.setdefault(one.name, Operation(one.name, one.kind)).documents.append(one)
    return found


# --- by the schema --------------------------------------------------------------------------------------------------


class _Leaves(Visitor):
    """Counts the values that a document asks for, and those of them that the schema marks as nothing."""

    def __init__(self, types: TypeInfo) -> None:
        super().__init__()
        self.types, self.asked, self.nothing, self.marked = types, 0, 0, 0

    def enter_field(self, *_: object) -> None:
        definition = self.types.get_field_def()
        node = definition.ast_node if definition else None
        marks = {one.name.value for one in (node and node.directives) or ()}
        self.marked += bool(self.marked or marks & {"empty", "ignored"})
        if definition and is_leaf_type(get_named_type(definition.type)):
            self.asked += 1
            self.nothing += bool(self.marked)

    def leave_field(self, *_: object) -> None:
        self.marked -= bool(self.marked)


def _says_nothing(text: str) -> bool:
    types = TypeInfo(SCHEMA)
    leaves = _Leaves(types)
    visit(parse(text), TypeInfoVisitor(types, leaves))
    return leaves.asked == leaves.nothing


# --- by the tests ---------------------------------------------------------------------------------------------------


@cache
def covered() -> dict[str, list[str]]:
    """Operation -> the tests that see the server answer it."""
    found: dict[str, list[str]] = {}
    for path in sorted(SDK_TESTS.glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            for decorator in getattr(node, "decorator_list", []):
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.covers":
                    for argument in decorator.args:
                        found.setdefault(ast.literal_eval(argument), []).append(f"{path.name}::{node.name}")  # type: ignore[attr-defined]
    return found


# --- the page -------------------------------------------------------------------------------------------------------


def page() -> str:
    found = operations().values()
    figures = {status: sum(one.status == status for one in found) for status in ("implemented", "ignored", "refused")}
    parts = [HEAD.format(version=wandb.__version__)]
    parts.append(f"{len(found)} operations: " + ", ".join(f"{count} {name}" for name, count in figures.items()) + ".\n")
    parts += ["## Operations\n", "| operation | | status | covered by, or why not |", "|---|---|---|---|"]
    for one in found:
        tests = [f"`{test}`" for test in covered().get(one.name, [])[:1]]
        because = one.refusal or f"not sent: {NEVER_SENT.get(one.name)}"
        parts.append(f"| `{one.name}` | {one.kind} | {one.status} | {' '.join(tests) or because} |")
    parts += ["", RELEASES, *releases.table()]
    parts += ["", "## Null for everyone\n", "| field | why |", "|---|---|", *_marks("empty")]
    parts += ["", "## Taken and ignored\n", "| field or argument | why |", "|---|---|", *_marks("ignored")]
    parts += ["", "## Asked in another way than by an operation\n", "| what | status | |", "|---|---|---|"]
    refused = {f"`{key}` in a sweep's configuration": f"refused | {what}" for key, what in sweeps.NOT_HERE.items()}
    refused |= {f"`{place}`": f"refused | {what}" for place, what in refused_inputs().items()}
    parts += [f"| {name} | {said} |" for name, said in sorted((OTHERWISE | refused).items())]
    return "\n".join(parts) + "\n"


def refused_inputs() -> dict[str, str]:
    """Type.field -> what it would be, of the inputs that the server refuses by name."""
    kind = SCHEMA.type_map["UpsertSweepInput"]
    names = {field.out_name or name: name for name, field in kind.fields.items()}
    return {f"{kind.name}.{names[name]}": what for name, what in sweep_api.NOT_HERE.items()}


def marked(directive: str) -> dict[str, str]:
    """Type.field, or Type.field(argument) -> the reason, of what carries a directive in the schema."""
    found = {}
    for kind in SCHEMA.type_map.values():
        for name, one in getattr(kind, "fields", {}).items():
            places = {f"{kind.name}.{name}": one}
            places |= {f"{kind.name}.{name}({key})": argument for key, argument in getattr(one, "args", {}).items()}
            for place, there in places.items():
                for used in (there.ast_node and there.ast_node.directives) or ():
                    if used.name.value == directive:
                        found[place] = used.arguments[0].value.value
    return found


def _marks(directive: str) -> list[str]:
    return [f"| `{place}` | {reason} |" for place, reason in sorted(marked(directive).items())]


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
