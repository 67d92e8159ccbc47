"""Nothing is half-answered: every field of the schema has something behind it, and every argument is used.

    pytest tests/server/test_fields.py

What is null for everyone carries `@empty` in modelgate_server/api/schema.graphql, what is taken and not used
`@ignored`, both with the reason; docs/reference/protocol.md lists them.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLObjectType,
    get_named_type,
)

from modelgate_server.api import graphql_api
from modelgate_server.api.graphql_api import SCHEMA
from tests.server.conformance.protocol import marked
from tests.server.everything import ENTRIES, seed, selection, with_ids
from tests.server.wire import Wire

# Null here because of what was seeded, and not elsewhere.
NULL_HERE = {
    "Entity.user": "of a personal entity only",
    "Entity.project": "the team has none",
    "Project.run": "a registry has no runs",
    "Project.bucket": "a registry has no runs",
    "Project.sweep": "a registry has no sweeps",
    "Project.views": "nobody has set them",
    "Run.exitcode": "the run is not over",
    "Sweep.displayName": "none was given",
    "Sweep.description": "none was given",
    "Sweep.bestLoss": "no run of it has a loss",
    "ArtifactSequence.description": "none was given",
    "ArtifactPortfolio.description": "none was given",
    "File.uploadUrl": "a file that is here already",
    "File.storagePath": "of a version's file only",
    "File.artifact": "of a version's file only",
    "File.sizeBytes": "not of a manifest",
    "File.updatedAt": "not of a manifest",
    "File.md5": "not of a manifest",
    "File.digest": "not of a manifest",
    "ApiKey.description": "none was given",
    "Project.user": "the first registry was made by the server",
    "Project.description": "none was given",
    "LogLine.level": "of lines on standard error only",
    "PageInfo.endCursor": "of an empty page",
    "File.uploadHeaders": "of an artifact's files only",
}


@pytest.fixture(scope="module")
def ids(server: Any) -> dict[str, str]:
    return seed(Wire.connect(server))


def answered(value: Any) -> Iterator[tuple[str, bool]]:
    """(Type.field, whether there was a value) of everything in an answer."""
    if isinstance(value, list):
        for one in value:
            yield from answered(one)
    elif isinstance(value, dict) and "__typename" in value:
        for name, inner in value.items():
            yield f"{value['__typename']}.{name}", inner not in (None, [])
            yield from answered(inner)


def output_fields() -> set[str]:
    """Of all types but the payloads of mutations, which the tests through the SDK ask for."""
    payloads = {get_named_type(field.type).name for field in SCHEMA.mutation_type.fields.values()}
    own = [
        kind
        for kind in SCHEMA.type_map.values()
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__") and kind.name not in payloads
    ]
    return {f"{kind.name}.{name}" for kind in own if kind.name not in ("Mutation", "Invite") for name in kind.fields}


def test_every_field_has_something_behind_it(server: Any, ids: dict[str, str]) -> None:
    wire = Wire.connect(server)
    seen: dict[str, bool] = {}
    for name, entry in ENTRIES:
        asked = with_ids("{ " + entry % selection(SCHEMA.type_map[name]) + " }", ids)
        query = re.sub(r"\{ (?!__typename)", "{ __typename ", asked)
        answer = wire.graphql(query)
        assert answer.status_code == 200, f"{name}: {answer.text}\n{server.log.read_text()[-2000:]}"
        for place, there in answered(answer.json()["data"]):
            seen[place] = seen.get(place, False) or there
    empty = {place for place, there in seen.items() if not there and not place.endswith("__typename")}
    assert output_fields() - set(seen) == NEVER_REACHED
    assert empty - set(NULL_HERE) == {place for place in marked("empty") if place in seen}


# Objects that there are none of: their fields are held by the type checker alone.
NEVER_REACHED = {
    "RampFlag.rampKey",
    "RampFlag.isEnabled",
    "UploadMultipartUrls.uploadID",
    "UploadMultipartUrls.uploadUrlParts",
    "UploadUrlPart.partNumber",
    "UploadUrlPart.uploadUrl",
}


# --- what is given --------------------------------------------------------------------------------------------------


def functions(module: Any) -> dict[str, ast.FunctionDef]:
    tree = ast.parse(inspect.getsource(module))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def resolvers() -> dict[str, Any]:
    """Type.field -> the function behind it."""
    found = {}
    for kind in SCHEMA.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                if field.resolve is not graphql_api.Rows.read_value:
                    found[f"{kind.name}.{name}"] = field.resolve
    return found


def names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def unused_arguments() -> set[str]:
    """Arguments of fields that their resolver takes and never reads."""
    found = set()
    for place, function in resolvers().items():
        kind, _, name = place.partition(".")
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(body, ast.FunctionDef)
        read = set().union(*(names(statement) for statement in body.body))
        for key, argument in SCHEMA.type_map[kind].fields[name].args.items():
            if (argument.out_name or key) not in read:
                found.add(f"{place}({key})")
    return found


def test_every_argument_is_used_or_said_to_be_ignored() -> None:
    """What is given in the input of a mutation, test_effects.py looks at."""
    assert unused_arguments() == {place for place in marked("ignored") if place.endswith(")")}


def test_every_field_of_a_mutations_answer_is_given() -> None:
    for place, function in resolvers().items():
        if not place.startswith("Mutation."):
            continue
        payload = get_named_type(SCHEMA.mutation_type.fields[place.partition(".")[2]].type)
        wanted = {graphql_api._to_snake_case(name) for name in payload.fields}
        module = functions(inspect.getmodule(function))
        body = module[function.__name__]
        called = [module[name] for name in names(body) & set(module)]
        for answer in [node for one in [body, *called] for node in ast.walk(one) if isinstance(node, ast.Return)]:
            if isinstance(answer.value, ast.Dict):
                given = {key.value for key in answer.value.keys if isinstance(key, ast.Constant)}
                assert wanted <= given or not given & wanted, f"{place}: {wanted - given} is missing"


@pytest.mark.parametrize("planted", ["missing", "there"])
def test_a_field_without_anything_behind_it_would_be_a_bug(planted: str) -> None:
    class Asked:
        field_name = planted

    if planted == "there":
        assert graphql_api.Rows.read_value({"there": None}, Asked()) is None  # type: ignore[arg-type]
    else:
        with pytest.raises(KeyError):
            graphql_api.Rows.read_value({"there": None}, Asked())  # type: ignore[arg-type]
