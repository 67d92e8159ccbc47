"""A client of the bare protocol, for what the SDK itself would never send."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import requests

from modelgate_server.api.graphql_api import SCHEMA
from tests.serving import Server

TIMEOUT_S = 60

UPSERT_BUCKET = """
mutation UpsertBucket($entity: String, $project: String, $name: String, $id: String, $config: JSONString) {
  upsertBucket(input: {entityName: $entity, modelName: $project, name: $name, id: $id, config: $config}) {
    bucket { id name displayName state historyLineCount project { id name entity { id name } } } inserted
  }
}"""
CREATE_ARTIFACT = """
mutation CreateArtifact($input: CreateArtifactInput!) {
  createArtifact(input: $input) { artifact { id state artifactSequence { latestArtifact { id } } } }
}"""
CREATE_MANIFEST = """
mutation CreateArtifactManifest($input: CreateArtifactManifestInput!) {
  createArtifactManifest(input: $input) { artifactManifest { id file { id uploadUrl uploadHeaders } } }
}"""
CREATE_FILES = """
mutation CreateArtifactFiles($input: CreateArtifactFilesInput!) {
  createArtifactFiles(input: $input) { files { edges { node { uploadUrl artifact { id } } } } }
}"""
COMMIT = (
    "mutation CommitArtifact($id: ID!) { commitArtifact(input: {artifactID: $id}) { artifact { id digest state } } }"
)
ARTIFACT = "query ArtifactByID($id: ID!) { artifact(id: $id) { id state digest size fileCount versionIndex } }"
MEMBERSHIP = """
query ArtifactMembershipByName($project: String!, $name: String!) {
  project(name: $project) { artifactCollectionMembership(name: $name) { versionIndex artifact { id digest } } }
}"""


def md5_base64(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()  # noqa: S324  the protocol's digest


@dataclass(frozen=True)
class Wire:
    url: str
    key: str

    @classmethod
    def connect(cls, server: Server) -> "Wire":
        return cls(server.url, server.key)

    def graphql(self, query: str, **variables: Any) -> requests.Response:
        return requests.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": variables},
            auth=("api", self.key),
            timeout=TIMEOUT_S,
        )

    def data(self, query: str, **variables: Any) -> Any:
        """The answer's data; fails on errors."""
        answer = self.graphql(query, **variables)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def mutation(self, name: str, selection: str, /, **fields: Any) -> requests.Response:
        """The mutation with these fields as its input."""
        kind = SCHEMA.mutation_type.fields[name].args["input"].type
        document = f"mutation Try($input: {kind}) {{ {name}(input: $input) {{ {selection} }} }}"
        return self.graphql(document, input=fields)

    def done(self, name: str, selection: str, /, **fields: Any) -> Any:
        """What the mutation answers; fails on errors."""
        answer = self.mutation(name, selection, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"][name]

    def operations(self) -> list[dict[str, Any]]:
        """What the server has counted."""
        answer = requests.get(f"{self.url}/_internal/operations", auth=("api", self.key), timeout=TIMEOUT_S)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["operations"]
        return found

    def answered(self) -> dict[str, int]:
        """How often each operation was answered since the server's start."""
        return {one["operation"]: one["times"] for one in self.operations() if not one["refused"]}

    def start_run(self, project: str, name: str = "run-1") -> None:
        self.data(UPSERT_BUCKET, project=project, name=name)

    def file_stream(self, project: str, run: str, message: Any, **options: Any) -> requests.Response:
        address = f"{self.url}/files/local/{project}/{run}/file_stream"
        return requests.post(address, json=message, auth=("api", self.key), timeout=TIMEOUT_S, **options)


@dataclass(frozen=True)
class Upload:
    """One artifact with files, step by step as the SDK's Go process does it."""

    wire: Wire
    project: str
    contents: dict[str, bytes]
    name: str = "data"

    def manifest(self, artifact: str = "") -> dict[str, Any]:
        birth = {"birthArtifactID": artifact} if artifact else {}
        entries = {
            path: {"digest": md5_base64(data), "size": len(data), **birth} for path, data in self.contents.items()
        }
        policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"}}
        return {"version": 1, **policy, "contents": entries}

    def digest(self) -> str:
        listing = "".join(f"{path}:{md5_base64(self.contents[path])}\n" for path in sorted(self.contents))
        return hashlib.md5(b"wandb-artifact-manifest-v1\n" + listing.encode()).hexdigest()  # noqa: S324

    def create(self, **changes: Any) -> str:
        self.wire.start_run(self.project)
        fields = {
            "entityName": "local",
            "projectName": self.project,
            "artifactTypeName": "dataset",
            "artifactCollectionName": self.name,
            "runName": "run-1",
            "digest": self.digest(),
            "enableDigestDeduplication": True,
            **changes,
        }
        return str(self.wire.data(CREATE_ARTIFACT, input=fields)["createArtifact"]["artifact"]["id"])

    def upload_urls(self, artifact: str) -> dict[str, str | None]:
        specs = [
            {"artifactID": artifact, "name": path, "md5": md5_base64(data)} for path, data in self.contents.items()
        ]
        edges = self.wire.data(CREATE_FILES, input={"artifactFiles": specs})["createArtifactFiles"]["files"]["edges"]
        return {path: edge["node"]["uploadUrl"] for path, edge in zip(self.contents, edges, strict=True)}

    def put_files(self, artifact: str) -> None:
        with requests.Session() as session:
            for path, url in self.upload_urls(artifact).items():
                if url is not None:
                    assert session.put(url, data=self.contents[path], timeout=TIMEOUT_S).status_code == 200

    def manifest_url(self, artifact: str, data: bytes) -> str:
        fields = {
            "artifactID": artifact,
            "name": "wandb_manifest.json",
            "digest": md5_base64(data),
            "entityName": "local",
            "projectName": self.project,
            "runName": "run-1",
            "type": "FULL",
        }
        made = self.wire.data(CREATE_MANIFEST, input=fields)["createArtifactManifest"]["artifactManifest"]
        return str(made["file"]["uploadUrl"])

    def put_manifest(self, artifact: str) -> None:
        data = json.dumps(self.manifest()).encode()
        assert requests.put(self.manifest_url(artifact, data), data=data, timeout=TIMEOUT_S).status_code == 200

    def commit(self, artifact: str) -> requests.Response:
        return self.wire.graphql(COMMIT, id=artifact)

    def run(self) -> str:
        """All of it; returns the artifact's id."""
        artifact = self.create()
        self.put_files(artifact)
        self.put_manifest(artifact)
        assert self.commit(artifact).status_code == 200
        return artifact
