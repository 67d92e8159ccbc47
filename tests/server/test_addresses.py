"""The addresses that the server hands out, and what comes back from them.

pytest tests/server/test_addresses.py
"""

from pathlib import Path

import pytest
import requests

from modelgate_server.api import file_transfer
from tests.server.wire import Upload, Wire
from tests.serving import Server, serving

FILES = """query($project: String, $names: [String]) {
  project(name: $project) { run(name: "run-1") { files(names: $names) { edges { node { name url directUrl } } } } } }"""
DIRECT_URLS = """query($project: String, $after: String, $first: Int) {
  project(name: $project) { artifactCollection(name: "data") { artifactMembership(aliasName: "v0") {
    files(after: $after, first: $first) {
      pageInfo { endCursor hasNextPage } edges { node { name directUrl } } } } } } }"""
CREATE_RUN_FILES = """mutation($project: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: "local", projectName: $project, runName: "run-1", files: $files}) {
    runID files { name uploadUrl } } }"""


def direct_urls(wire: Wire, project: str, **page: object) -> "tuple[dict[str, str], dict[str, object]]":
    found = wire.data(DIRECT_URLS, project=project, **page)["project"]["artifactCollection"]["artifactMembership"]
    edges = found["files"]["edges"]
    return {edge["node"]["name"]: edge["node"]["directUrl"] for edge in edges}, found["files"]["pageInfo"]


def test_a_part_of_a_file_can_be_fetched(wire: Wire, project: str) -> None:
    Upload(wire, project, {"a.bin": b"0123456789"}).run()
    url = direct_urls(wire, project)[0]["a.bin"]
    part = requests.get(url, headers={"Range": "bytes=2-4"}, timeout=60)
    assert (part.status_code, part.content, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert requests.get(url, headers={"Range": "bytes=7-"}, timeout=60).content == b"789"
    assert requests.head(url, timeout=60).headers["Content-Length"] == "10"


@pytest.mark.parametrize("size", [0, 10, file_transfer.MAX_AT_ONCE, file_transfer.MAX_AT_ONCE + 1])
def test_a_whole_file_comes_back_harmless_whatever_its_size(wire: Wire, project: str, size: int) -> None:
    Upload(wire, project, {"a.bin": b"x" * size}).run()
    answer = requests.get(direct_urls(wire, project)[0]["a.bin"], timeout=60)
    assert (answer.status_code, answer.content) == (200, b"x" * size)
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers.items() >= file_transfer.HARMLESS.items()


def test_a_long_list_of_files_comes_in_pages(wire: Wire, project: str) -> None:
    Upload(wire, project, {f"{n}.txt": f"{project} {n}".encode() for n in range(5)}).run()
    seen: list[str] = []
    page: dict[str, object] = {"endCursor": None}
    while page.get("hasNextPage", True):
        urls, page = direct_urls(wire, project, after=page["endCursor"], first=2)
        seen += urls
    assert seen == [f"{n}.txt" for n in range(5)]


def test_what_a_run_uploaded_gets_no_rights_in_a_browser(wire: Wire, project: str) -> None:
    wire.start_run(project)
    name = "media/html/evil <&>.html"
    made = wire.data(CREATE_RUN_FILES, project=project, files=[name])["createRunFiles"]["files"]
    assert [file["name"] for file in made] == [name]
    assert requests.put(made[0]["uploadUrl"], data=b"<script>alert(1)</script>", timeout=60).status_code == 200
    found = wire.data(FILES, project=project, names=[f"./{name}"])["project"]["run"]["files"]["edges"][0]["node"]
    answer = requests.get(found["url"], timeout=60)
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_address_that_the_sdk_makes_itself_needs_the_key(server: Server, wire: Wire, project: str) -> None:
    artifact = Upload(wire, project, {"a.txt": project.encode()}).run()
    md5 = direct_urls(wire, project)[0]["a.txt"].partition("?")[0].rsplit("/", 1)[1]
    for path in (f"{artifact}/{artifact}/{md5}/a.txt", f"{artifact}/{md5}/a.txt"):
        url = f"{server.url}/artifactsV2/default/local/{project}/data/{path}"
        assert requests.get(url, auth=("api", server.key), timeout=60).content == project.encode()
        assert requests.get(url, timeout=60).status_code == 401
    other = f"{server.url}/artifactsV2/default/local/{project}/data/{artifact}/{artifact}/{'0' * 32}/a.txt"
    assert requests.get(other, auth=("api", server.key), timeout=60).status_code == 404


def test_a_download_address_is_good_for_its_own_bytes_only(server: Server, wire: Wire, project: str) -> None:
    Upload(wire, project, {"a.txt": f"{project} a".encode(), "b.txt": f"{project} b".encode()}).run()
    urls, _ = direct_urls(wire, project)
    path, _, question = urls["a.txt"].partition("?")
    for changed in (
        f"{urls['b.txt'].partition('?')[0]}?{question}",  # another file's bytes
        f"{server.url}/storage/manifests/{path.rsplit('/', 1)[1]}/wandb_manifest.json?{question}",
        path,
        f"{path}?{question.replace('expires=', 'expires=9')}",
        f"{path}?expires=1&signature={'0' * 64}",
        f"{path}?{question}&signature=0",
    ):
        assert requests.get(changed, timeout=60).status_code == 403, changed
    assert requests.get(urls["a.txt"], timeout=60).content == f"{project} a".encode()


def test_the_address_of_a_deleted_run_leads_to_no_other_run(wire: Wire, project: str) -> None:
    wire.start_run(project, "first")
    found = wire.data('query($p: String) { project(name: $p) { run(name: "first") { id } } }', p=project)["project"]
    announced = {"entityName": "local", "projectName": project, "runName": "first", "files": ["a.txt"]}
    address = wire.done("createRunFiles", "files { uploadUrl }", **announced)["files"][0]["uploadUrl"]
    wire.done("deleteRun", "clientMutationId", id=found["run"]["id"])
    wire.start_run(project, "run-1")
    answer = requests.put(address, data=b"x", timeout=60)
    assert answer.status_code == 404 and "was deleted" in answer.text
    assert wire.data(FILES, project=project)["project"]["run"]["files"]["edges"] == []


def test_what_is_kept_is_nobody_elses_on_the_machine(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir(mode=0o755)  # someone made the folder before, for all to read
    with serving(tmp_path / "server") as server:
        Upload(Wire.connect(server), "p", {"a.txt": b"1"}).run()
        assert {path.stat().st_mode & 0o077 for path in server.data.rglob("*")} == {0}


@pytest.mark.parametrize("host", ["localhost", "modelgate-server:8080", "[::1]:80"])
def test_a_client_is_given_the_address_by_which_it_came(server: Server, wire: Wire, project: str, host: str) -> None:
    Upload(wire, project, {"a.txt": b"hosts"}).run()
    answer = requests.post(
        f"{server.url}/graphql",
        json={"query": DIRECT_URLS, "variables": {"project": project}},
        auth=("api", server.key),
        headers={"Host": host},
        timeout=60,
    )
    edges = answer.json()["data"]["project"]["artifactCollection"]["artifactMembership"]["files"]["edges"]
    assert edges[0]["node"]["directUrl"].startswith(f"http://{host}/storage/")


def test_an_external_url_is_given_to_everybody(tmp_path: Path) -> None:
    with serving(tmp_path / "data", "--external-url", "http://outside.example:9999/") as server:
        wire = Wire.connect(server)
        wire.start_run("p")
        made = wire.data(CREATE_RUN_FILES, project="p", files=["a.txt"])["createRunFiles"]["files"]
        assert made[0]["uploadUrl"].startswith("http://outside.example:9999/storage/run_files/")


def test_a_browser_may_fetch_for_pages_of_this_server_alone(server: Server) -> None:
    def allowed(origin: str) -> str | None:
        ask = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = requests.options(f"{server.url}/storage/wandb_artifacts/{'0' * 32}", headers=ask, timeout=60)
        assert answer.status_code == 200 and not answer.content
        return answer.headers.get("Access-Control-Allow-Origin")

    assert allowed(server.url) == server.url
    assert allowed("https://elsewhere.example") is allowed("null") is None
