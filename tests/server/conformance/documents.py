"""
Every GraphQL document of a release of the SDK, out of its files, and what the schema of this server says about each.

A document is a string in the SDK's Python files, or in its Go program. Some have gaps that the SDK fills in before it
sends them: an f-string's value, a `{}` of str.format, a word like `_CLI_QUERY_`. Of these all is checked but the gaps.
Fragments that the SDK adds to a document when it sends it are added here, and each fragment is checked alone, too.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from graphql import (
    GraphQLError,
    NoUnusedFragmentsRule,
    parse,
    specified_rules,
    strip_ignored_characters,
    validate,
)

from modelgate_server.api.graphql_api import SCHEMA, prepare

START = re.compile(r"\s*(?:#graphql\s*)?(query|mutation|fragment)\s+(\w+)\s*(?:[({]|on\s)")
FRAGMENT = re.compile(r"\s*fragment\s+\w+\s+on\s+\w+\s*\{")
# The words that Python code replaces in a document before it sends it.
WORDS = re.compile(r"\b(?:_[A-Z]\w*_|ID_TYPE|ID_VALUE)(?!\w)")
GAP = "GAP"
# A gap that is the name of a field.
FIELDS = {"RunFullHistory": ("history", "events")}
# What a document says too little or too much of because of its gaps.
BY_GAPS = re.compile(
    r"is not defined|is never used|is required, but it was not provided|was not provided|to include required field"
)


@dataclass(frozen=True)
class Document:
    """`text` has no gaps any more; `whole` says whether it never had any."""

    kind: str
    name: str
    text: str
    whole: bool

    def order(self) -> tuple[str, ...]:
        return self.name.lower(), self.kind, self.text

    @property
    def refusal(self) -> str:
        """Why the server would refuse it, in its own words; empty if it would not."""
        return _refusal(self.text, self.whole)


@cache
def _refusal(text: str, whole: bool) -> str:
    """Most releases have most documents in common, and each takes its milliseconds."""
    messages = [error.message for error in prepare(text).errors] if whole else _problems(text)
    named = [message for message in messages if message.startswith("Cannot query field")]
    return (named or messages or [""])[0].partition(" Did you mean")[0].partition(", found: ")[0].replace("'", '"')


def documents(sdk: Path) -> list[Document]:
    """Each different document of the package folder `wandb`, by its name."""
    fragments: dict[str, str] = {}
    found: set[Document] = set()
    templates = [*python_strings(sdk), *go_strings(sdk)]
    for text in templates:
        if (match := START.match(text)) and match[1] == "fragment":
            fragments.setdefault(match[2], text)
    for text in templates:
        match = START.match(text)
        kind, name = match.groups() if match else ("", "")
        for filled in _filled(name, text):
            complete = _with_fragments(filled, fragments)
            whole = GAP not in text and kind != "fragment"
            found.add(Document(kind, name, strip_ignored_characters(complete), whole))
    return sorted(found, key=Document.order)


def python_strings(sdk: Path) -> Iterator[str]:
    """Strings that are documents; where the SDK puts a value, this has GAP."""
    for path in sorted(sdk.rglob("*.py")):
        if "vendor" in path.parts:
            continue
        within: set[int] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                within |= {id(part) for part in node.values}
                text = "".join(
                    str(part.value) if isinstance(part, ast.Constant) else f" {GAP} " for part in node.values
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
                text = node.value
            else:
                continue
            if START.match(text):
                yield WORDS.sub(GAP, _without_format(text))


def _without_format(text: str) -> str:
    """A template of str.format, whose own braces are doubled, as a document with gaps."""
    if "{{" not in text:
        return text
    return re.sub(r"\{\{|\}\}|\{\w*\}", lambda match: {"{{": "{", "}}": "}"}.get(match[0], f" {GAP} "), text)


def go_strings(sdk: Path) -> Iterator[str]:
    """The Go program has its documents in it as they are sent, each with the fragments that it needs after it."""
    for program in sorted((sdk / "bin").glob("wandb-core*")):
        binary = program.read_bytes().decode("latin-1")
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


def _filled(name: str, text: str) -> Iterator[str]:
    """The document with nothing in its gaps, or one for each field that may be in one."""
    text = re.sub(rf"\.\.\.\s*{GAP}\b", "__typename", text)
    for field in FIELDS.get(name, ("",)):
        filled = re.sub(rf"\b{GAP}\b", field, text)
        yield re.sub(r"\(\s*\)", "", filled)


def _with_fragments(text: str, fragments: dict[str, str]) -> str:
    """The document, and the fragments of the SDK that it spreads and does not define."""
    while missing := _spread(text) & fragments.keys():
        text += "\n" + next(_filled("", fragments[min(missing)]))
    return text


def _spread(text: str) -> set[str]:
    defined = set(re.findall(r"\bfragment\s+(\w+)\s+on\b", text))
    return set(re.findall(r"\.\.\.\s*(?!on\b)(\w+)", text)) - defined


def _problems(text: str) -> list[str]:
    try:
        document = parse(text)
    except GraphQLError as error:
        return [error.message]
    rules = [rule for rule in specified_rules if rule is not NoUnusedFragmentsRule]
    return [error.message for error in validate(SCHEMA, document, rules) if not BY_GAPS.search(error.message)]
