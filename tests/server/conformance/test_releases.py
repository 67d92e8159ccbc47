"""The documents of every release of the SDK: how they are found, and that this server knows them or says why not.

pytest tests/server/conformance/test_releases.py
"""

from pathlib import Path

import pytest

from tests.server.conformance import releases
from tests.server.conformance.documents import Document, documents
from tests.server.conformance.protocol import SDK, wandb
from tests.server.wire import Upload, Wire

RELEASES = list(releases.stored())


# --- each release ---------------------------------------------------------------------------------------------------


def test_every_minor_release_is_there() -> None:
    minors = [releases.minor(version) for version in RELEASES]
    assert minors == [(0, number) for number in range(19, minors[-1][1] + 1)]
    assert wandb.__version__ in RELEASES


@pytest.mark.parametrize("version", RELEASES)
def test_every_document_of_a_release_is_known_or_refused_for_a_reason(version: str) -> None:
    found = releases.stored()[version]
    assert len(found) > 150  # else this release keeps its documents elsewhere
    assert releases.unexplained(found) == []


@pytest.mark.parametrize("version", RELEASES)
def test_the_walkthrough_of_a_release_passed(version: str) -> None:
    assert releases.walkthroughs()[version] == releases.PASSED


def test_no_document_is_said_to_be_refused_that_is_not() -> None:
    refused = {one.name for found in releases.stored().values() for one in found if one.refusal}
    assert set(releases.REFUSED) == refused


def test_what_is_kept_is_what_the_installed_release_has() -> None:
    assert releases.stored()[wandb.__version__] == documents(SDK)


def test_a_release_takes_the_place_of_the_patch_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(releases, "DOCUMENTS", tmp_path / "documents.jsonl")
    monkeypatch.setattr(releases, "WALKTHROUGHS", tmp_path / "walkthroughs.json")
    releases.stored.cache_clear()
    one, other = (Document("query", name, f"query {name}{{viewer{{id}}}}", whole=True) for name in ("A", "B"))
    releases.keep("0.31.0", [one, other], "passed")
    releases.keep("0.9.1", [one], "passed")
    releases.keep("0.31.1", [other], "failed")
    assert releases.stored() == {"0.9.1": [one], "0.31.1": [other]}
    assert releases.walkthroughs() == {"0.9.1": "passed", "0.31.1": "failed"}
    releases.stored.cache_clear()


# --- how they are found ---------------------------------------------------------------------------------------------

PYTHON = '''
PLAIN = """#graphql
query Plain { viewer { ...Person shoeSize } }
"""
PERSON = "fragment Person on User { id ...Named }"
NAMED = f"fragment Named on User {{ {'name'} username }}"
FORMAT = """mutation Format($id: ID!, {}) {{ stopRun(input: {{id: $id, {}}}) {{ success {} }} }}"""
WORD = "query Word { viewer { id } _CLI_QUERY_ }"
def ask(fields, arguments):
    return f"query Ask({arguments}) {{ project({arguments}) {{ id {fields} ...{fields} nothing }} }}"
HISTORY = """query RunFullHistory($s: Int) {{ project(name: "p") {{ run(name: "r") {{ {}(samples: $s) }} }} }}"""
NONE = "query what is this"
'''
GO = b"""
query Go ($n: String) {
	project(name: $n) {
		... P
	}
}
fragment P on Project {
	id
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> dict[str, list[Document]]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "api.py").write_text(PYTHON)
    (tmp_path / "bin" / "wandb-core").write_bytes(b"\0" + GO + b"\0\xff")
    by_name: dict[str, list[Document]] = {}
    for one in documents(tmp_path):
        by_name.setdefault(one.name, []).append(one)
    return by_name


@pytest.mark.parametrize(
    ("name", "refusals"),
    [
        ("Plain", ['Cannot query field "shoeSize" on type "User".']),
        ("Person", [""]),
        ("Named", [""]),
        ("Format", [""]),
        ("Word", [""]),
        ("Ask", ['Cannot query field "nothing" on type "Project".']),
        ("RunFullHistory", ["", ""]),
        ("Go", [""]),
    ],
)
def test_a_document_is_found_and_checked_but_for_its_gaps(
    tree: dict[str, list[Document]], name: str, refusals: list[str]
) -> None:
    assert [one.refusal for one in tree[name]] == refusals


def test_nothing_else_is_taken_for_a_document(tree: dict[str, list[Document]]) -> None:
    assert set(tree) == {"Plain", "Person", "Named", "Format", "Word", "Ask", "RunFullHistory", "Go"}


def test_a_new_operation_without_a_reason_would_be_named() -> None:
    new = Document("query", "New", "query New{viewer{shoeSize}}", whole=True)
    assert releases.unexplained([new]) == ['New: Cannot query field "shoeSize" on type "User".']


# --- what only older releases ask for -------------------------------------------------------------------------------


def whole(version: str, name: str) -> str:
    """The document of this name that a release has."""
    (text,) = [one.text for one in releases.stored()[version] if one.name == name and one.whole]
    return text


def test_a_versions_files_are_listed_as_older_releases_ask(wire: Wire, project: str) -> None:
    made = Upload(wire, project, {"a.txt": b"a", "b.txt": b"bb"}).run()
    by_id = wire.data(whole("0.21.4", "ArtifactFileUrls"), id=made, perPage=10)["artifact"]["files"]
    assert [edge["node"]["name"] for edge in by_id["edges"]] == ["a.txt", "b.txt"]
    variables = {"entityName": "local", "projectName": project, "artifactName": "data:v0"}
    text = whole("0.21.4", "ArtifactVersionFiles")
    found = wire.data(text, artifactTypeName="dataset", **variables)["project"]["artifactType"]["artifact"]["files"]
    assert [edge["node"]["name"] for edge in found["edges"]] == ["a.txt", "b.txt"]
    assert wire.data(text, artifactTypeName="other", **variables)["project"]["artifactType"] is None


def test_a_version_is_found_though_its_views_are_to_be_tracked(wire: Wire, project: str) -> None:
    made = Upload(wire, project, {"a.txt": b"a"}).run()
    names = {"entityName": "local", "projectName": project, "name": "data:latest"}
    found = wire.data(whole("0.21.4", "ArtifactByName"), enableTracking=True, **names)
    assert found["project"]["artifact"]["id"] == made


def test_a_sequence_is_told_from_a_portfolio_as_older_releases_ask(wire: Wire, project: str) -> None:
    made = Upload(wire, project, {"a.txt": b"a"}).run()
    wire.data(
        "mutation L($id: ID, $p: String) { linkArtifact(input: {artifactID: $id, artifactPortfolioName: "
        '"picked", entityName: "local", projectName: $p}) { versionIndex } }',
        id=made,
        p=project,
    )
    text = whole("0.21.4", "ProjectArtifactCollection")
    variables = {"entityName": "local", "projectName": project, "artifactTypeName": "dataset"}

    def sequence(name: str) -> object:
        found = wire.data(text, artifactCollectionName=name, **variables)["project"]["artifactType"]
        assert found["artifactCollection"]["name"] == name
        return found["artifactSequence"]

    assert sequence("data") == {"__typename": "ArtifactSequence"}
    assert sequence("picked") is None


def test_a_run_says_where_its_live_rows_begin(wire: Wire, project: str) -> None:
    """0.27 reads none of them otherwise."""
    wire.start_run(project)
    names = {"entity": "local", "project": project, "runName": "run-1", "liveKeys": ["_step"]}
    text = whole("0.27.2", "RunParquetHistory")

    def live() -> object:
        return wire.data(text, **names)["project"]["run"]["parquetHistory"]

    assert live() == {"parquetUrls": [], "liveData": []}
    rows = {"offset": 0, "content": ['{"_step": 7, "loss": 1}', '{"_step": 9, "loss": 0}']}
    assert wire.file_stream(project, "run-1", {"files": {"wandb-history.jsonl": rows}}).status_code == 200
    assert live() == {"parquetUrls": [], "liveData": [{"_step": 7}]}
