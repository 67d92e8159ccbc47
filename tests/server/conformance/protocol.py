"""
docs/protocol.md: every GraphQL operation that the SDK can send, and what this server makes of it.

    .venv/bin/python -m tests.server.conformance.protocol        writes the page

The operations come out of the installed SDK: the strings of its Python files and of its Go process. Whether one is
known here is asked of the schema, as it would be of a request; which test covers it, of the tests: their mark `covers`
names the operations that the server must have seen while the test ran (tests/server/sdk/conftest.py holds it to that).
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import wandb
from graphql import (
    DocumentNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    is_leaf_type,
    parse,
    validate,
    visit,
)

from modelgate_server.api.operations import SCHEMA
from tests.serving import ROOT

PATH = ROOT / "docs" / "protocol.md"
SDK = Path(wandb.__file__).parent
SDK_TESTS = ROOT / "tests" / "server" / "sdk"
OPERATION = re.compile(r"\b(query|mutation)\s+(\w+)\s*[({]")
FRAGMENT = re.compile(r"\s*fragment\s+\w+\s+on\s+\w+\s*\{")
# What the SDK's Python fills in before it sends a document: by name, by an f-string, by str.format.
HOLE = re.compile(r"_PROJECT_QUERY_|HOLE|\{\{|_FRAGMENT")
ROOT_FIELD = re.compile(r"\{\s*(?:\w+\s*:\s*)?(\w+)\s*[({]")

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

HEAD = """# Protocol

Every GraphQL operation that wandb {version} can send, by the name that the SDK gives it. This page is made by
`python -m tests.server.conformance.protocol` out of the installed SDK, `modelgate_server/api/schema.graphql` and the
tests, and `make test` fails when it is out of date.

- **implemented**: the server does it. The test beside it runs the real SDK, and passes only if the server saw the
  operation while it ran.
- **ignored**: the server knows it and answers that there is nothing.
- **refused**: the server refuses it by name, in the answer and in its log, and counts it on its page
  `/_internal/status`.
"""


@dataclass
class Operation:
    name: str
    kind: str
    documents: list[str] = field(default_factory=list)

    @property
    def refusal(self) -> str:
        """Why the server would refuse it; empty when it knows one of its forms."""
        reasons = [_refusal(self.kind, text) for text in self.documents]
        return "" if "" in reasons else reasons[0]

    @property
    def status(self) -> str:
        if self.refusal:
            return "refused"
        whole = [text for text in self.documents if not HOLE.search(text)]
        return "ignored" if whole and all(_says_nothing(text) for text in whole) else "implemented"


# --- out of the SDK -------------------------------------------------------------------------------------------------


@cache
def operations() -> dict[str, Operation]:
    found: dict[str, Operation] = {}
    for text in [*_python_documents(), *_go_documents()]:
        match = OPERATION.search(text)
        if match:
            found.setdefault(match[2], Operation(match[2], match[1])).documents.append(text)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _python_documents() -> Iterator[str]:
    """Strings that are documents; where an f-string has a value, this has HOLE."""
    for path in sorted(SDK.rglob("*.py")):
        if "vendor" in path.parts:
            continue
        within: set[int] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                within |= {id(part) for part in node.values}
                text = "".join(str(part.value) if isinstance(part, ast.Constant) else " HOLE " for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
                text = node.value
            else:
                continue
            if re.match(r"\s*(#graphql\s*)?(query|mutation)\s+\w+\s*[({]", text):
                yield text


def _go_documents() -> Iterator[str]:
    """The Go process has its documents in it as they are sent, each with the fragments that it needs after it."""
    binary = (SDK / "bin" / "wandb-core").read_bytes().decode("latin-1")
    for match in re.finditer(r"\n(?:query|mutation) \w+ ?[({]", binary):
        end = _end_of_block(binary, match.start())
        while end and (fragment := FRAGMENT.match(binary, end, end + 200)):
            end = _end_of_block(binary, fragment.start())
        if end:
            yield binary[match.start() : end]


def _end_of_block(text: str, start: int) -> int:
    """Behind the brace that closes the first block after `start`; 0 when there is none."""
    depth = 0
    for position in range(start, min(start + 20_000, len(text))):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position + 1
    return 0


# --- by the schema --------------------------------------------------------------------------------------------------


@cache
def _parsed(text: str) -> DocumentNode:
    return parse(text, no_location=False)


def _refusal(kind: str, text: str) -> str:
    if HOLE.search(text):
        root = ROOT_FIELD.search(text.replace("{{", "{"), text.find(")"))
        known = SCHEMA.query_type if kind == "query" else SCHEMA.mutation_type
        there = root is not None and known is not None and root[1] in known.fields
        return "" if there else f'Cannot query field "{root and root[1]}" on type "{kind.title()}".'
    errors = validate(SCHEMA, _parsed(text))
    named = [error.message for error in errors if error.message.startswith("Cannot query field")]
    return (named or [error.message for error in errors] or [""])[0].partition(" Did you mean")[0].replace("'", '"')


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
    visit(_parsed(text), TypeInfoVisitor(types, leaves))
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
    parts += ["", "## Null for everybody\n", "| field | why |", "|---|---|", *_marks("empty")]
    parts += ["", "## Taken and ignored\n", "| field or argument | why |", "|---|---|", *_marks("ignored")]
    return "\n".join(parts) + "\n"


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
