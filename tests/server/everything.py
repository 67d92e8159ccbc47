"""One of everything that the schema knows, and the queries that read all of it."""

from typing import Any

import requests
from graphql import GraphQLInterfaceType, GraphQLObjectType, GraphQLUnionType, get_named_type

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


def seed(wire: Wire) -> dict[str, str]:
    """Fill a project with one of everything; returns the ids by their placeholders in queries."""
    sweep = wire.data(
        f'mutation {{ upsertSweep(input: {{projectName: "fields", config: "{SWEEP}"}}) {{ sweep {{ name }} }} }}'
    )
    name = sweep["upsertSweep"]["sweep"]["name"]
    wire.data(SEED_RUN % name)
    at = f'host: "h", projectName: "fields", sweep: "{name}"'
    agent = wire.data(f"mutation {{ createAgent(input: {{{at}}}) {{ agent {{ name }} }} }}")["createAgent"]["agent"]
    stream_files(wire)
    made = commit_version(wire)
    put_run_file(wire, made)
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
    return {
        "SWEEP": name,
        "AGENT": agent["name"],
        "ARTIFACT": made,
        "COLLECTION": found["project"]["artifactCollection"]["id"],
    }


def stream_files(wire: Wire) -> None:
    """Write a history, events, a summary and a log for the run."""
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


def commit_version(wire: Wire) -> str:
    """Log a version of an artifact with everything that it may say; its id."""
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
    return made


def put_run_file(wire: Wire, made: str) -> None:
    """Upload a file of the run, and note that the run used the version."""
    home = 'entityName: "local", projectName: "fields", runName: "r1"'
    create = f'createRunFiles(input: {{{home}, files: ["f.txt"]}}) {{ files {{ uploadUrl }} }}'
    announced = wire.data(f"mutation {{ {create} }}")
    assert requests.put(announced["createRunFiles"]["files"][0]["uploadUrl"], data=b"f", timeout=60).status_code == 200
    use = f'useArtifact(input: {{{home}, artifactID: "%s"}})'
    wire.data(f"mutation {{ {use % made} {{ artifact {{ id }} }} }}")


def with_ids(query: str, ids: dict[str, str]) -> str:
    for placeholder, value in ids.items():
        query = query.replace(f'"{placeholder}"', f'"{value}"')
    return query


def selection(kind: Any, depth: int = 0) -> str:
    """Every field of a type, and of the types that have no separate entry."""
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
