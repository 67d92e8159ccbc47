"""What the server refuses on the wire: by name, with a status on which the SDK does not try again.

pytest tests/server/test_refusals.py
"""

import gzip
import json
import re
from typing import Any

import pytest
import requests

from modelgate_server.api.shapes import encode_id
from tests.server.wire import CREATE_ARTIFACT, CREATE_FILES, MEMBERSHIP, UPSERT_BUCKET, Upload, Wire, md5_base64
from tests.serving import Server

RETRIED_BY_THE_SDK = {408, 409, 429} | set(range(500, 600)) - {501}

NESTED = json.dumps({"query": "{a" * 16_000}).encode()


def assert_refused(answer: requests.Response, status: int, sentence: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["data"] is None
    assert sentence in body["errors"][0]["message"], body
    assert body["errors"][0]["extensions"] == {"code": status}
    assert status not in RETRIED_BY_THE_SDK


# --- who ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "local-" + "e" * 40, "x"])
def test_a_wrong_key_is_refused(server: Server, key: str) -> None:
    assert_refused(Wire(server.url, key).graphql("{ viewer { id } }"), 401, "API key")
    assert_refused(Wire(server.url, key).file_stream("p", "r", {}), 401, "API key")


def test_a_request_without_credentials_is_refused(server: Server) -> None:
    answer = requests.post(f"{server.url}/graphql", json={"query": "{ viewer { id } }"}, timeout=60)
    assert_refused(answer, 401, "an API key is required")


def test_a_run_of_an_unknown_entity_is_refused(wire: Wire, project: str) -> None:
    answer = wire.graphql(UPSERT_BUCKET, entity="nobody", project=project, name="r1")
    assert_refused(answer, 404, 'entity "nobody" not found')


def test_a_registry_is_not_made_in_passing(wire: Wire) -> None:
    answer = wire.graphql(UPSERT_BUCKET, entity="local-org", project="wandb-registry-new", name="r1")
    assert_refused(answer, 404, 'registry "local-org/wandb-registry-new" not found')


# --- GraphQL ------------------------------------------------------------------------------------------------------


def test_an_unknown_field_is_refused_by_name_in_the_answer_and_in_the_log(server: Server, wire: Wire) -> None:
    assert_refused(
        wire.graphql("query LookAround { viewer { shoeSize } }"), 400, 'Cannot query field "shoeSize" on type "User".'
    )
    assert "LookAround" in server.log.read_text() and "shoeSize" in server.log.read_text()


def test_an_unknown_field_of_an_input_is_refused_by_name_without_what_else_was_sent(server: Server, wire: Wire) -> None:
    query = "mutation CreateWish($input: UpsertBucketInput!) { upsertBucket(input: $input) { inserted } }"
    answer = wire.graphql(query, input={"shoeSize": 5, "notes": "a-secret"})
    assert_refused(answer, 400, "not to include unknown field")
    (counted,) = [one for one in wire.operations() if one["operation"] == "CreateWish"]
    assert "shoeSize" in counted["refused"] and "a-secret" not in counted["refused"] + server.log.read_text()


def test_what_is_refused_is_counted_for_the_holder_of_a_key(server: Server, wire: Wire) -> None:
    for _ in range(3):
        wire.graphql("query CountMe { viewer { hatSize } }")
    wire.graphql("query CountMe { viewer { id } }")
    refused, answered = [one for one in wire.operations() if one["operation"] == "CountMe"]
    assert refused["refused"] == "Cannot query field 'hatSize' on type 'User'." and answered["refused"] == ""
    assert (refused["times"], answered["times"]) == (3, 1)
    assert refused["client"].startswith("python-requests/") and refused["first"] < refused["last"]
    assert requests.get(f"{server.url}/_internal/operations", timeout=60).status_code == 401


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("priorRunsFilters", "continues from earlier runs"),
        ("launchScheduler", "launch scheduler"),
        ("templateVariableValues", "template variables"),
        ("controller", "its own controller"),
        ("scheduler", "a scheduler"),
    ],
)
def test_a_sweep_is_not_made_with_half_of_what_was_asked(wire: Wire, project: str, field: str, sentence: str) -> None:
    query = "mutation UpsertSweep($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { name } } }"
    config = "{method: grid, parameters: {x: {values: [1]}}}"
    answer = wire.graphql(query, input={"projectName": project, "config": config, field: '{"a": 1}'})
    assert_refused(answer, 400, sentence)
    assert wire.data("query($p: String) { project(name: $p) { id } }", p=project) == {"project": None}


def test_an_unknown_operation_is_refused_by_name(wire: Wire) -> None:
    answer = wire.graphql("mutation LaunchRocket { launchRocket(input: {}) { success } }")
    assert_refused(answer, 400, 'Cannot query field "launchRocket" on type "Mutation".')


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"query": 1}', b'{"query": "{"}', b"\xff\xfe", b"[" * 100_000, NESTED]
)
def test_a_body_that_is_no_request_is_refused(server: Server, body: bytes) -> None:
    answer = requests.post(f"{server.url}/graphql", data=body, auth=("api", server.key), timeout=60)
    assert answer.status_code == 400 and answer.json()["errors"]


def test_a_list_without_end_is_refused(wire: Wire) -> None:
    specs = [{"artifactID": "x", "name": "a", "md5": "x"}] * 10_001
    assert_refused(wire.graphql(CREATE_FILES, input={"artifactFiles": specs}), 413, "more than 10000 items")


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '"\\udfff"'])
def test_half_a_surrogate_pair_is_refused_where_it_would_be_stored(server: Server, text: str) -> None:
    body = f'{{"query": "query($n: String) {{ project(name: $n) {{ id }} }}", "variables": {{"n": {text}}}}}'
    answer = requests.post(f"{server.url}/graphql", data=body, auth=("api", server.key), timeout=60)
    assert_refused(answer, 400, "half a surrogate pair")


def test_what_a_run_logged_in_half_a_pair_is_read_back(wire: Wire, project: str) -> None:
    wire.start_run(project)
    line = '{"_step": 0, "\\ud800": 1}'
    message = {"files": {"wandb-history.jsonl": {"offset": 0, "content": [line]}}}
    assert wire.file_stream(project, "run-1", message).status_code == 200
    query = 'query($p: String) { project(name: $p) { run(name: "run-1") { history historyKeys } } }'
    found = wire.data(query, p=project)["project"]["run"]
    assert found["history"] == [line] and "\ud800" in found["historyKeys"]["keys"]


def test_a_document_nested_deeper_than_a_page_could_show_is_refused(wire: Wire, project: str) -> None:
    for depth, status in ((190, 200), (210, 400), (5_000, 400)):
        config = '{"a":' * depth + "1" + "}" * depth
        assert wire.graphql(UPSERT_BUCKET, project=project, name="run-1", config=config).status_code == status


def test_a_variable_of_the_wrong_type_is_refused(wire: Wire) -> None:
    assert_refused(wire.graphql(CREATE_ARTIFACT, input={"digest": 5}), 400, "$input")


def test_a_query_that_never_ends_is_refused(wire: Wire) -> None:
    query = "{ project(name: 1) { name } }".replace("1", '"p"')
    for _ in range(40):
        query = query.replace("name }", "runs { edges { node { project { name } } } } }", 1)
    assert_refused(wire.graphql(query), 400, "nested deeper")


def test_a_body_over_the_limit_is_refused_before_it_is_read(server: Server) -> None:
    answer = requests.post(f"{server.url}/graphql", data=b"x" * (33 << 20), auth=("api", server.key), timeout=60)
    assert answer.status_code == 413


def test_a_failed_mutation_leaves_nothing_behind(wire: Wire, project: str) -> None:
    query = """mutation Two($project: String) {
      a: upsertBucket(input: {modelName: $project, name: "first"}) { bucket { id } }
      b: upsertBucket(input: {modelName: $project, name: "second", config: "[]"}) { bucket { id } }
    }"""
    assert_refused(wire.graphql(query, project=project), 400, "config must be a JSON object")
    assert wire.data("query($p: String) { project(name: $p) { id } }", p=project) == {"project": None}


# --- names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "", ".", "..", "a\x00b", "x" * 129, "a:b", "a\nb"])
def test_a_hostile_artifact_name_is_refused(wire: Wire, project: str, name: str) -> None:
    upload = Upload(wire, "hostile-names", {"a.txt": b"a"})
    upload.wire.start_run("hostile-names")
    answer = wire.graphql(
        CREATE_ARTIFACT,
        input={
            "entityName": "local",
            "projectName": "hostile-names",
            "artifactTypeName": "dataset",
            "artifactCollectionName": name,
            "digest": upload.digest(),
        },
    )
    assert_refused(answer, 400, "artifact name")


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "a\nb", "x" * 129, "a?b"])
def test_a_hostile_run_or_project_name_is_refused(wire: Wire, name: str) -> None:
    assert wire.graphql(UPSERT_BUCKET, project="hostile-names", name=name).status_code == 400
    assert wire.graphql(UPSERT_BUCKET, project=name, name="run-1").status_code == 400


@pytest.mark.parametrize("path", ["../../evil", "/etc/passwd", "a/../../b", "", "a\x00b"])
def test_a_hostile_path_in_a_manifest_is_refused(wire: Wire, path: str) -> None:
    upload = Upload(wire, "hostile-paths", {path: b"evil " + path.encode()}, name="evil")
    artifact = upload.create()
    spec = {"artifactID": artifact, "name": path, "md5": md5_base64(upload.contents[path])}
    assert_refused(wire.graphql(CREATE_FILES, input={"artifactFiles": [spec]}), 400, "path")
    honest = spec | {"name": "a"}
    made = wire.data(CREATE_FILES, input={"artifactFiles": [honest]})["createArtifactFiles"]["files"]["edges"]
    assert requests.put(made[0]["node"]["uploadUrl"], data=upload.contents[path], timeout=60).status_code == 200
    upload.put_manifest(artifact)
    assert_refused(upload.commit(artifact), 400, "path")


@pytest.mark.parametrize("name", ["../../../evil", "/etc/passwd"])
def test_a_hostile_file_name_is_refused(wire: Wire, project: str, name: str) -> None:
    wire.start_run(project.replace("/", ""))
    query = """mutation($project: String!, $files: [String!]!) {
      createRunFiles(input: {entityName: "local", projectName: $project, runName: "run-1", files: $files}) {
        files { uploadUrl } } }"""
    assert_refused(wire.graphql(query, project=project.replace("/", ""), files=[name]), 400, "must be relative")


def test_a_host_header_that_is_no_host_is_refused(server: Server) -> None:
    answer = requests.post(
        f"{server.url}/graphql",
        json={"query": "{ viewer { id } }"},
        auth=("api", server.key),
        headers={"Host": "evil.example/path?"},
        timeout=60,
    )
    assert_refused(answer, 400, "Host header")


# --- uploads ------------------------------------------------------------------------------------------------------


@pytest.fixture
def address(wire: Wire, project: str) -> str:
    """Where b"hello" may be uploaded to."""
    upload = Upload(wire, project, {"hello.txt": f"hello {project}".encode()})
    url = upload.upload_urls(upload.create())["hello.txt"]
    assert url is not None
    return url


def test_an_upload_without_a_signature_is_refused(address: str, project: str) -> None:
    answer = requests.put(address.partition("?")[0], data=f"hello {project}", timeout=60)
    assert_refused(answer, 403, "this server did not make this address")


def test_an_upload_to_a_tampered_address_is_refused(address: str, project: str) -> None:
    for changed in (
        re.sub(r"[0-9a-f]{32}\?", "0" * 32 + "?", address),
        re.sub(r"expires=\d", "expires=9", address),
        re.sub(r"expires=\d+", "expires=1", address),
        re.sub(r"signature=.", "signature=g", address),
    ):
        assert changed != address
        assert requests.put(changed, data=f"hello {project}", timeout=60).status_code in (403, 404)


def test_an_upload_to_an_expired_address_is_refused(server: Server, address: str, project: str) -> None:
    from modelgate_server.api.shapes import sign

    secret = bytes.fromhex((server.data / "secret").read_text().strip())
    path = "/" + address.partition("?")[0].split("/", 3)[3]
    expired = f"{server.url}{path}?expires=1000&signature={sign(secret, 'PUT', path, '1000')}"
    assert_refused(requests.put(expired, data=f"hello {project}", timeout=60), 403, "has expired")


def test_an_upload_address_does_not_permit_a_download(address: str) -> None:
    assert requests.get(address, timeout=60).status_code == 405
    where = re.sub(r"wandb_artifacts/\d+/", "wandb_artifacts/", address)
    assert where != address
    assert_refused(requests.get(where, timeout=60), 403, "this server did not make this address")


def test_an_upload_of_other_bytes_is_refused_and_the_right_ones_still_fit(address: str, project: str) -> None:
    assert_refused(requests.put(address, data=b"something else", timeout=60), 400, "nothing was stored")
    assert requests.put(address, data=f"hello {project}", timeout=60).status_code == 200


@pytest.mark.parametrize("md5", ["", "xyz", "../../etc", md5_base64(b"a")[:-4]])
def test_a_digest_that_is_no_md5_is_refused(wire: Wire, md5: str) -> None:
    upload = Upload(wire, "no-md5", {"a.txt": b"a"})
    answer = wire.graphql(
        CREATE_FILES, input={"artifactFiles": [{"artifactID": upload.create(), "name": "a", "md5": md5}]}
    )
    assert_refused(answer, 400, "is not an MD5")


def test_a_commit_without_its_files_is_refused_and_the_version_stays_absent(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": project.encode()})
    artifact = upload.create()
    upload.put_manifest(artifact)
    assert_refused(upload.commit(artifact), 400, 'the file "a.txt" has not arrived')
    found = wire.data(MEMBERSHIP, project=project, name="data:latest")["project"]["artifactCollectionMembership"]
    assert found is None


def test_a_commit_without_a_manifest_is_refused(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": project.encode()})
    assert_refused(upload.commit(upload.create()), 400, "no manifest has arrived")


def test_a_manifest_that_is_not_what_was_announced_is_refused(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": project.encode()})
    artifact = upload.create(digest="0" * 32)
    upload.put_files(artifact)
    upload.put_manifest(artifact)
    assert_refused(upload.commit(artifact), 400, "but " + "0" * 32 + " was announced")


def test_a_manifest_with_other_bytes_than_announced_is_refused(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": project.encode()})
    data = json.dumps(upload.manifest()).encode()
    artifact = upload.create()
    url = upload.manifest_url(artifact, b"other")
    assert_refused(requests.put(url, data=data, timeout=60), 400, "MD5")
    number = int(url.partition("/manifests/")[2].partition("/")[0])
    found = {"artifactManifestID": encode_id("ArtifactManifest", number), "digest": md5_base64(data)}
    wire.done("updateArtifactManifest", "artifactManifest { id }", **found)
    assert requests.put(url, data=data, timeout=60).status_code == 200


def test_a_file_of_another_size_than_its_manifest_says_is_refused(wire: Wire, project: str) -> None:
    upload = Upload(wire, project, {"a.txt": project.encode()})
    artifact = upload.create()
    upload.put_files(artifact)
    manifest = upload.manifest()
    manifest["contents"]["a.txt"]["size"] = 7
    data = json.dumps(manifest).encode()
    assert requests.put(upload.manifest_url(artifact, data), data=data, timeout=60).status_code == 200
    assert_refused(upload.commit(artifact), 400, "its manifest says 7")


@pytest.mark.parametrize("manifest", [b"not json", b"[]", b'{"version": 1}', b'{"version": 1, "contents": {"a": 1}}'])
def test_a_manifest_that_is_none_is_refused(wire: Wire, manifest: bytes) -> None:
    upload = Upload(wire, "no-manifest", {"a.txt": b"a"}, name="bad")
    artifact = upload.create()
    url = upload.manifest_url(artifact, manifest)
    assert requests.put(url, data=manifest, timeout=60).status_code == 200
    assert_refused(upload.commit(artifact), 400, "manifest")


# --- file stream --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        [],
        {"files": ["wandb-history.jsonl"]},
        {"files": {"wandb-history.jsonl": {"offset": "0", "content": ["{}"]}}},
        {"files": {"wandb-history.jsonl": {"offset": -1, "content": ["{}"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 10**30, "content": ["{}"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"_step": 1' + "0" * 30 + "}"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"a":' * 5000]}}},
        {"files": {"wandb-history.jsonl": {"offset": 0, "content": ["no json"]}}},
        {"files": {"wandb-history.jsonl": {"offset": 0, "content": ['{"_step": "two"}']}}},
        {"files": {"../../etc/passwd": {"offset": 0, "content": ["x"]}}},
        {"files": {"wandb-summary.json": {"offset": 0, "content": ["[]"]}}},
    ],
)
def test_a_message_that_is_none_is_refused(wire: Wire, message: Any) -> None:
    wire.start_run("bad-streams")
    assert wire.file_stream("bad-streams", "run-1", message).status_code == 400


def test_a_stream_to_an_unknown_run_is_refused(wire: Wire, project: str) -> None:
    assert_refused(wire.file_stream(project, "nobody", {}), 404, "not found")


def test_a_body_that_unpacks_to_gigabytes_is_refused(server: Server, wire: Wire, project: str) -> None:
    wire.start_run(project)
    bomb = gzip.compress(b"0" * (64 << 20))
    answer = requests.post(
        f"{server.url}/files/local/{project}/run-1/file_stream",
        data=bomb,
        headers={"Content-Encoding": "gzip"},
        auth=("api", server.key),
        timeout=60,
    )
    assert len(bomb) < 100_000
    assert_refused(answer, 413, "unpacked body")


def test_telemetry_is_told_that_there_is_nothing(server: Server) -> None:
    assert requests.post(f"{server.url}/sdk/otel/v1/metrics", timeout=60).status_code == 404
