"""
The addresses of 1,000 files asked for at once, by each GraphQL library; runs in `.venv-stack`.

    python -m benchmarks.stack.graphql_libraries LIBRARY REPEATS

Prints JSON: milliseconds of processor time an answer, of the large mutation and of a small query, both parsed and
validated before, and seconds and MiB until the first answer. All of them use graphql-core; what differs is what
they put around it.
"""

# No `from __future__ import annotations`: strawberry reads the annotations of functions.

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.stack.http_servers import resident_mib

BEGAN = time.perf_counter()
SDL = """
type Query { artifact(id: ID!): Artifact }
type Mutation { createArtifactFiles(files: [FileInput!]!): [File!]! }
input FileInput { artifactId: ID!, name: String!, md5: String! }
type File { name: String!, storagePath: String, uploadUrl: String, uploadHeaders: [String!], artifact: Artifact! }
type Artifact { id: ID!, state: String!, digest: String! }
"""
LARGE = """
mutation CreateArtifactFiles($files: [FileInput!]!) {
  createArtifactFiles(files: $files) { name storagePath uploadUrl uploadHeaders artifact { id } }
}"""
SMALL = "query ArtifactByID($id: ID!) { artifact(id: $id) { id state digest } }"
FILES = [{"artifactId": "QXJ0aWZhY3Q6MQ==", "name": f"media/{n}.png", "md5": f"{n:032x}"} for n in range(1000)]
Execute = Callable[[str, dict[str, Any]], Any]


def artifact(number: str) -> dict[str, Any]:
    return {"id": number, "state": "PENDING", "digest": "0" * 32}


def file(name: str, md5: str, number: str) -> dict[str, Any]:
    return {
        "name": name,
        "storage_path": f"wandb_artifacts/{md5}",
        "upload_url": f"http://127.0.0.1/{md5}",
        "upload_headers": [f"Content-MD5:{md5}"],
        "artifact": artifact(number),
    }


def core(schema: Any) -> Execute:
    """Documents parsed and validated once, as our server does it."""
    from graphql import execute_sync, parse, validate

    documents: dict[str, Any] = {}

    def execute(text: str, variables: dict[str, Any]) -> Any:
        if text not in documents:
            documents[text] = parse(text)
            if errors := validate(schema, documents[text]):
                sys.exit(f"error: {errors[0].message}")
        return execute_sync(schema, documents[text], variable_values=variables)

    return execute


def with_ariadne() -> Execute:
    from ariadne import MutationType, QueryType, make_executable_schema

    query, mutation = QueryType(), MutationType()
    query.set_field("artifact", lambda _, info, id: artifact(id))
    mutation.set_field(
        "createArtifactFiles",
        lambda _, info, files: [file(one["name"], one["md5"], one["artifact_id"]) for one in files],
    )
    return core(make_executable_schema(SDL, query, mutation, convert_names_case=lambda name, *_: _snake_case(name)))


def _snake_case(name: str) -> str:
    """artifactId -> artifact_id, and md5 as it is; as our server names them."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def with_strawberry() -> Execute:
    import strawberry  # type: ignore[import-not-found,unused-ignore]
    from strawberry.extensions import ParserCache, ValidationCache  # type: ignore[import-not-found,unused-ignore]

    @strawberry.type
    class Artifact:
        id: strawberry.ID
        state: str
        digest: str

    @strawberry.type
    class File:
        name: str
        storage_path: str | None
        upload_url: str | None
        upload_headers: list[str] | None
        artifact: Artifact

    @strawberry.input
    class FileInput:
        artifact_id: strawberry.ID
        name: str
        md5: str

    def make(file_input: FileInput) -> File:
        return File(
            **file(file_input.name, file_input.md5, file_input.artifact_id)
            | {"artifact": Artifact(**artifact(file_input.artifact_id))}
        )

    @strawberry.type
    class Query:
        @strawberry.field
        def artifact(self, id: strawberry.ID) -> Artifact | None:
            return Artifact(**artifact(id))

    @strawberry.type
    class Mutation:
        @strawberry.mutation
        def create_artifact_files(self, files: list[FileInput]) -> list[File]:
            return [make(one) for one in files]

    schema = strawberry.Schema(Query, Mutation, extensions=[ParserCache, ValidationCache])
    return lambda text, variables: schema.execute_sync(text, variable_values=variables)


def with_graphene() -> Execute:
    import graphene  # type: ignore[import-not-found,unused-ignore]

    class Artifact(graphene.ObjectType):
        id, state, digest = graphene.ID(required=True), graphene.String(required=True), graphene.String(required=True)

    class File(graphene.ObjectType):
        name, storage_path, upload_url = graphene.String(required=True), graphene.String(), graphene.String()
        upload_headers = graphene.List(graphene.NonNull(graphene.String))
        artifact = graphene.Field(Artifact, required=True)

    class FileInput(graphene.InputObjectType):
        artifact_id, name, md5 = (
            graphene.ID(required=True),
            graphene.String(required=True),
            graphene.String(required=True),
        )

    class Query(graphene.ObjectType):
        artifact = graphene.Field(Artifact, id=graphene.ID(required=True))

        def resolve_artifact(self, info: Any, id: str) -> Any:
            return artifact(id)

    class Create(graphene.Mutation):
        class Arguments:
            files = graphene.List(graphene.NonNull(FileInput), required=True)

        Output = graphene.List(graphene.NonNull(File))

        def mutate(self, info: Any, files: Any) -> Any:
            return [file(one.name, one.md5, one.artifact_id) for one in files]

    class Mutation(graphene.ObjectType):
        create_artifact_files = Create.Field()

    return core(graphene.Schema(Query, Mutation).graphql_schema)


LIBRARIES = {"ariadne": with_ariadne, "strawberry": with_strawberry, "graphene": with_graphene}


def measured(execute: Execute, repeats: int) -> dict[str, float]:
    first = execute(SMALL, {"id": "1"})
    started = time.perf_counter() - BEGAN
    memory = resident_mib(Path("/proc/self")) if Path("/proc/self").exists() else 0.0
    if first.errors or first.data != {"artifact": artifact("1")}:
        sys.exit(f"error: the answer was {first}")
    answer = execute(LARGE, {"files": FILES})
    if answer.errors or len(answer.data["createArtifactFiles"]) != len(FILES):
        sys.exit(f"error: the answer was {answer.errors}")
    large = _milliseconds(lambda: execute(LARGE, {"files": FILES}), repeats)
    small = _milliseconds(lambda: execute(SMALL, {"id": "1"}), 100 * repeats)
    return {"large": large, "small": small, "started": started, "memory": memory}


def _milliseconds(work: Callable[[], Any], repeats: int) -> float:
    began = time.process_time()
    for _ in range(repeats):
        work()
    return 1000 * (time.process_time() - began) / repeats


if __name__ == "__main__":
    print(json.dumps(measured(LIBRARIES[sys.argv[1]](), int(sys.argv[2]))))
