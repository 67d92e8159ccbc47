"""Nothing is half-answered: every field of the schema has something behind it, and every input is used.

    pytest tests/server/test_fields.py

What is null for everybody carries `@empty` in modelgate_server/api/schema.graphql, what is taken and not used
`@ignored`, both with the reason; docs/protocol.md lists them.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from graphql import (
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
)

from modelgate_server.api import operations
from modelgate_server.api.operations import SCHEMA
from tests.server.conformance.protocol import marked
from tests.server.wire import Upload, Wire

PROJECT = "fields"
SEED_RUN = """mutation { upsertBucket(input: {
  modelName: "fields", name: "r1", config: "{\\"a\\": {\\"value\\": 1}}", tags: ["t"], notes: "n", description: "d",
  groupName: "g", jobType: "j", commit: "c", host: "h", displayName: "first", sweep: "%s"
}) { bucket { id } inserted } }"""
SWEEP = "method: grid\\nmetric: {name: loss}\\nparameters: {x: {values: [1]}}"

# How to reach one object of each type; the types without an entry are asked for where they appear.
ENTRIES = [
    ("Query", "%s"),
    ("User", "viewer { %s }"),
    ("Entity", 'entity(name: "fields-team") { %s }'),
    ("Organization", 'organization(name: "local-org") { %s }'),
    ("Project", 'project(entityName: "local-org", name: "wandb-registry-model") { %s }'),
    ("Project", 'project(name: "fields") { %s }'),
    ("Run", 'project(name: "fields") { run(name: "r1") { %s } }'),
    ("Sweep", 'project(name: "fields") { sweep(sweepName: "SWEEP") { %s } }'),
    ("Agent", 'project(name: "fields") { sweep(sweepName: "SWEEP") { agents { edges { node { %s } } } } }'),
    ("ArtifactType", 'project(name: "fields") { artifactType(name: "model") { %s } }'),
    (
        "ArtifactSequence",
        'project(name: "fields") { artifactCollection(name: "data") { ... on ArtifactSequence { %s } } }',
    ),
    (
        "ArtifactPortfolio",
        'project(entityName: "local-org", name: "wandb-registry-model") '
        '{ artifactCollection(name: "fields") { ... on ArtifactPortfolio { %s } } }',
    ),
    ("Artifact", 'artifact(id: "ARTIFACT") { %s }'),
    (
        "ArtifactCollectionMembership",
        'project(name: "fields") { artifactCollectionMembership(name: "data:v0") { %s } }',
    ),
    ("ArtifactAlias", 'artifact(id: "ARTIFACT") { aliases { %s } }'),
    ("ArtifactManifest", 'artifact(id: "ARTIFACT") { currentManifest { %s } }'),
]
REACHED = {name for name, _ in ENTRIES}
ARGUMENTS = {
    "Query.organization": '(name: "local-org")',
    "Query.entity": '(name: "local")',
    "Query.project": '(name: "fields")',
    "Query.model": '(name: "fields")',
    "Query.artifact": '(id: "ARTIFACT")',
    "Query.artifactCollection": '(id: "COLLECTION")',
    "Query.clientIDMapping": '(clientID: "c1")',
    "Query.users": '(query: "local")',
    "Organization.featureFlags": "(rampIDType: OrgName)",
    "Project.run": '(name: "r1")',
    "Project.bucket": '(name: "r1")',
    "Project.sweep": '(sweepName: "SWEEP")',
    "Project.artifact": '(name: "fields:v0")',
    "Project.artifactCollection": '(name: "fields")',
    "Project.artifactCollectionMembership": '(name: "fields:v0")',
    "Project.artifactType": '(name: "model")',
    "Run.sampledHistory": '(specs: ["{\\"keys\\": [\\"loss\\"], \\"samples\\": 5}"])',
    "Run.parquetHistory": '(liveKeys: ["_step"])',
    "Sweep.agent": '(agentName: "AGENT")',
    "ArtifactType.artifactCollection": '(name: "data")',
    "ArtifactType.artifactSequence": '(name: "data")',
    "ArtifactType.artifact": '(name: "data:v0")',
    "ArtifactSequence.artifactMembership": '(aliasName: "latest")',
    "ArtifactPortfolio.artifactMembership": '(aliasName: "latest")',
}
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
    "ArtifactType.description": "none was given",
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
def seeded(server: Any) -> Callable[[str], str]:
    """Fills a project with one of everything; returns what puts the ids into a query."""
    wire = Wire.of(server)
    sweep = wire.data(
        f'mutation {{ upsertSweep(input: {{projectName: "fields", config: "{SWEEP}"}}) {{ sweep {{ name }} }} }}'
    )
    name = sweep["upsertSweep"]["sweep"]["name"]
    wire.data(SEED_RUN % name)
    at = f'host: "h", projectName: "fields", sweep: "{name}"'
    agent = wire.data(f"mutation {{ createAgent(input: {{{at}}}) {{ agent {{ name }} }} }}")["createAgent"]["agent"]
    lines = [f'{{"_step": {step}, "loss": {step}}}' for step in range(3)]
    wire.file_stream(
        PROJECT,
        "r1",
        {
            "files": {
                "wandb-history.jsonl": {"offset": 0, "content": lines},
                "wandb-events.jsonl": {"offset": 0, "content": ['{"_runtime": 1, "system.cpu": 5}']},
                "wandb-summary.json": {"offset": 0, "content": ['{"loss": 2}']},
                "output.log": {"offset": 0, "content": ["2026-11-24T10:00:00.000000 hello"]},
            }
        },
    )
    upload = Upload(wire, PROJECT, {"a.txt": b"a"})
    made = upload.create(
        runName="r1",
        artifactTypeName="model",
        description="d",
        metadata='{"a": 1}',
        historyStep=1,
        clientID="c1",
        tags=[{"tagName": "t"}],
    )
    upload.put_files(made)
    upload.put_manifest(made)
    assert upload.commit(made).status_code == 200
    home = 'entityName: "local", projectName: "fields", runName: "r1"'
    create = f'createRunFiles(input: {{{home}, files: ["f.txt"]}}) {{ files {{ uploadUrl }} }}'
    announced = wire.data(f"mutation {{ {create} }}")
    assert requests.put(announced["createRunFiles"]["files"][0]["uploadUrl"], data=b"f", timeout=60).status_code == 200
    use = f'useArtifact(input: {{{home}, artifactID: "%s"}})'
    wire.data(f"mutation {{ {use % made} {{ artifact {{ id }} }} }}")
    wire.data(
        'mutation L($id: ID) { linkArtifact(input: {artifactID: $id, artifactPortfolioName: "fields",'
        ' entityName: "local-org", projectName: "wandb-registry-model"}) { versionIndex } }',
        id=made,
    )
    tags = '{ entityName: "local", projectName: "fields", artifactCollectionName: "data", tags: [{tagName: "t"}]}'
    wire.data(f"mutation {{ createArtifactCollectionTagAssignments(input: {tags}) {{ tags {{ id }} }} }}")
    team = wire.data('mutation { createTeam(input: {teamName: "fields-team"}) { entity { id } } }')["createTeam"][
        "entity"
    ]["id"]
    registry = wire.data('{ project(entityName: "local-org", name: "wandb-registry-model") { id } }')["project"]["id"]
    add = 'createProjectMembers(input: {projectId: "%s", teamIds: ["%s"]}) { success }'
    wire.data(f"mutation {{ {add % (registry, team)} }}")
    found = wire.data('{ project(name: "fields") { artifactCollection(name: "data") { id } } }')
    names = {
        "SWEEP": name,
        "AGENT": agent["name"],
        "ARTIFACT": made,
        "COLLECTION": found["project"]["artifactCollection"]["id"],
    }

    def filled(query: str) -> str:
        for placeholder, value in names.items():
            query = query.replace(f'"{placeholder}"', f'"{value}"')
        return query

    return filled


def selection(kind: Any, depth: int = 0) -> str:
    """Every field of a type, and of the types that have no entry of their own."""
    if isinstance(kind, GraphQLUnionType | GraphQLInterfaceType) or depth > 4:
        return "__typename"
    parts = ["__typename"]
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        text = name + ARGUMENTS.get(f"{kind.name}.{name}", "")
        if isinstance(inner, GraphQLObjectType):
            text += " { %s }" % ("__typename" if inner.name in REACHED else selection(inner, depth + 1))
        elif isinstance(inner, GraphQLUnionType | GraphQLInterfaceType):
            text += " { __typename }"
        parts.append(text)
    return " ".join(parts)


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


def test_every_field_has_something_behind_it(server: Any, seeded: Callable[[str], str]) -> None:
    wire = Wire.of(server)
    seen: dict[str, bool] = {}
    for name, entry in ENTRIES:
        query = re.sub(
            r"\{ (?!__typename)", "{ __typename ", seeded("{ " + entry % selection(SCHEMA.type_map[name]) + " }")
        )
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
                if field.resolve is not operations.Rows.value:
                    found[f"{kind.name}.{name}"] = field.resolve
    return found


def strings(module: Any) -> set[str]:
    """In its code; not in decorators, which name the fields that go out."""
    tree = ast.parse(inspect.getsource(module))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
    return {one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


def names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def input_types(kind: GraphQLInputObjectType) -> Iterator[GraphQLInputObjectType]:
    yield kind
    for field in kind.fields.values():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLInputObjectType):
            yield from input_types(inner)


def unused_inputs() -> set[str]:
    """Fields of inputs whose names no code of the mutation's module has in it."""
    used: dict[str, bool] = {}
    for place, function in resolvers().items():
        if place.startswith("Mutation."):
            words = strings(inspect.getmodule(function))
            field = SCHEMA.mutation_type.fields[place.partition(".")[2]]
            for kind in input_types(get_named_type(field.args["input"].type)):
                for name, one in kind.fields.items():
                    there = (one.out_name or name) in words
                    used[f"{kind.name}.{name}"] = used.get(f"{kind.name}.{name}", False) or there
    return {place for place, there in used.items() if not there}


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


def test_every_input_is_used_or_said_to_be_ignored() -> None:
    assert unused_inputs() | unused_arguments() == set(marked("ignored"))


def test_every_field_of_a_mutations_answer_is_given() -> None:
    for place, function in resolvers().items():
        if not place.startswith("Mutation."):
            continue
        payload = get_named_type(SCHEMA.mutation_type.fields[place.partition(".")[2]].type)
        wanted = {operations._snake_case(name) for name in payload.fields}
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
        assert operations.Rows.value({"there": None}, Asked()) is None  # type: ignore[arg-type]
    else:
        with pytest.raises(KeyError):
            operations.Rows.value({"there": None}, Asked())  # type: ignore[arg-type]
