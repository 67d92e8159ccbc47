"""What `wandb.Api()` lists, reads and changes, beyond what the tests of runs, artifacts and registries do.

pytest tests/server/sdk/test_public_api.py
"""

import contextlib
import time
from typing import Any

import pytest
import wandb

from modelgate_server.store.db import open_snapshot
from tests.server.sdk.conftest import StartRun
from tests.server.wire import Wire
from tests.serving import Server

ORG = "local-org"
REGISTRY = f"{ORG}/wandb-registry-model"


def logged(run: Any, name: str, type_name: str = "dataset", text: str = "1", **options: Any) -> Any:
    artifact = wandb.Artifact(name, type_name)
    with artifact.new_file("a.txt") as file:
        file.write(text)
    return run.log_artifact(artifact, **options).wait()


@pytest.mark.covers("GetViewer", "CreateProject", "GetProjects", "GetProject")
def test_who_is_asking_and_what_projects_there_are(api: Any, project: str) -> None:
    me = api.viewer
    assert (me.username, me.teams[0], me.admin) == ("local", "local", True)  # other tests have made teams next to it
    assert [key for key in api.viewer.api_keys if key.startswith("local-")]
    api.create_project(project, "local")
    api.create_project(project, "local")
    assert [found.name for found in api.projects("local")].count(project) == 1
    found = api.project(project, "local")
    assert (found.entity, found.owner.username) == ("local", "local") and found.id


@pytest.mark.covers(
    "ProjectArtifactTypes",
    "ProjectArtifactType",
    "ProjectArtifactCollections",
    "ProjectArtifactCollection",
    "ArtifactTypeArtifactCollections",
    "ArtifactCollectionAliases",
    "ArtifactOfType",
    "ArtifactMembershipByName",
    "ArtifactMembershipFiles",
    "ArtifactByID",
    "AddArtifactCollectionTags",
    "DeleteArtifactCollectionTags",
    "UpdateArtifactSequence",
    "UpdateArtifactSequenceType",
    "DeleteArtifactSequence",
)
def test_collections_are_listed_and_changed(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        first = logged(run, "one", aliases=["best"])
        logged(run, "two", "model")
    where = f"local/{project}"
    assert sorted(found.name for found in api.artifact_types(where)) == ["dataset", "model"]
    assert sorted(found.name for found in api.project(project, "local").collections()) == ["one", "two"]
    assert [found.name for found in api.artifact_type("dataset", where).collections()] == ["one"]
    assert api.list_jobs("local", project) == []
    assert [file.name for file in api.artifact(f"{where}/one:best").files()] == ["a.txt"]
    assert wandb.Api()._artifact_from_id(first.id).version == "v0"

    collection = api.artifact_collection("dataset", f"{where}/one")
    assert sorted(collection.aliases) == ["best", "latest"]
    collection.tags, collection.description = ["raw", "small"], "said later"
    collection.save()
    collection.tags = ["small"]
    collection.type = "table"
    collection.save()
    found = wandb.Api().artifact_collection("table", f"{where}/one")
    assert (found.tags, found.description, found.name) == (["small"], "said later", "one")
    found.delete()
    assert not wandb.Api().artifact_collection_exists(f"{where}/one", "table")


@pytest.mark.covers(
    "LinkArtifact",
    "AddAliases",
    "DeleteAliases",
    "UpdateArtifact",
    "IsProjectReadOnly",
    "FetchLinkedArtifacts",
    "UpdateArtifactPortfolio",
    "UnlinkArtifact",
    "DeleteArtifactPortfolio",
    "DeleteArtifact",
    "ProjectArtifacts",
    "FetchOrgInfoFromEntity",
)
def test_a_registrys_collection_is_changed_and_deleted(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        versions = [logged(run, "model", "model", str(number)) for number in range(2)]
        for version in versions:
            run.link_artifact(version, f"wandb-registry-model/{project}")
    linked = api.artifact(f"{REGISTRY}/{project}:v1")
    linked.aliases += ["good"]
    linked.description = "the best so far"
    linked.save()
    linked.aliases.remove("good")
    linked.save()
    assert wandb.Api().artifact(f"{REGISTRY}/{project}:v1").description == "the best so far"
    assert [one.name for one in api.artifact(f"local/{project}/model:v1").linked_artifacts] == [f"{project}:v1"]
    api.artifact(f"{REGISTRY}/{project}:v0").unlink()

    collection = api.artifact_collection("model", f"{REGISTRY}/{project}")
    collection.name = f"{project}-renamed"
    collection.save()
    assert wandb.Api().artifact(f"{REGISTRY}/{project}-renamed:latest").version == "v1"
    wandb.Api().artifact_collection("model", f"{REGISTRY}/{project}-renamed").delete()
    assert not wandb.Api().artifact_exists(f"{REGISTRY}/{project}-renamed:latest")
    wandb.Api().artifact(f"local/{project}/model:v1").delete(delete_aliases=True)
    assert [one.version for one in wandb.Api().artifacts("model", f"local/{project}/model")] == ["v0"]


@pytest.mark.covers(
    "RegistryTeamMembers", "RegistryUserMembers", "UpdateTeamRegistryRole", "GetTeamEntity", "CreateTeam"
)
def test_a_team_is_in_a_registry(api: Any) -> None:
    team = api.create_team("registry-team")
    registry = api.create_registry("with-teams", visibility="restricted", organization=ORG)

    def roles() -> dict[str, str]:
        return {member.team.name: member.role for member in registry.team_members()}

    registry.add_members(team)
    assert roles() == {"registry-team": "member"}
    registry.update_member(team, role="restricted_viewer")
    assert roles() == {"registry-team": "restricted_viewer"}
    registry.remove_members(team)
    assert roles() == {} and len(registry.members()) == 1


@pytest.mark.covers("ClientIDMapping", "CreateArtifactFiles", "CreateArtifactManifest", "CommitArtifact", "UseArtifact")
def test_a_version_may_refer_to_one_that_is_not_logged_yet(start_run: StartRun) -> None:
    with start_run() as run:
        base = wandb.Artifact("base", "dataset")
        table = wandb.Table(columns=["a"], data=[[1]])
        base.add(table, "numbers")
        run.log_artifact(base)  # not waited for: only the client knows it yet
        derived = wandb.Artifact("derived", "dataset")
        derived.add(table, "numbers")
        run.log_artifact(derived).wait()
    with start_run() as run:
        found = run.use_artifact("derived:latest")
        assert found.get("numbers").data == [[1]]
        references = [entry.ref for entry in found.manifest.entries.values() if entry.ref]
        assert references and all(one.startswith("wandb-artifact://") for one in references)


@pytest.mark.covers("Run", "Runs", "RunState", "RunConsoleLogPage", "RunConsoleLogTail", "NotifyScriptableRunAlert")
def test_a_run_is_watched_from_elsewhere(start_run: StartRun, api: Any, project: str, server: Server) -> None:
    with start_run(settings=wandb.Settings(console="wrap")) as run:
        for number in range(5):
            print(f"line {number}")
        run.alert("look here", "it \x1b[31mburns")
        run.alert("look here", "still", level="ERROR")  # within a minute of the same title
        run.alert("look here too", "it froze", level=wandb.AlertLevel.WARN, wait_duration=0.001)
    found = api.run(f"local/{project}/{run.id}")
    found.wait_until_finished()
    assert [one.id for one in api.runs(f"local/{project}")] == [run.id]
    said = [line.content for line in found.console_logs(per_page=2)]
    assert [line for line in said if line.startswith("line ")] == [f"line {number}" for number in range(5)]
    assert [line.content for line in found.console_logs(last=100)] == said
    with open_snapshot(server.data / "server.db") as db:
        sent = db.execute(
            "SELECT level, title, text FROM alerts JOIN runs ON run_id = runs.id WHERE name = ?", (run.id,)
        )
        assert sent.fetchall() == [("INFO", "look here", "it \x1b[31mburns"), ("WARN", "look here too", "it froze")]
    assert "look here" in server.log.read_text() and "\x1b" not in server.log.read_text()


@pytest.mark.covers("RewindRun", "UpdateRunState", "DeleteRun", "UpsertBucket")
def test_a_run_is_rewound_lost_and_deleted(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        for step in range(5):
            run.log({"loss": step})
    with start_run(resume_from=f"{run.id}?_step=2") as again:
        again.log({"loss": 33})
    found = api.run(f"local/{project}/{run.id}")
    assert [row["loss"] for row in found.scan_history()] == [0, 1, 2, 33]
    pending = api.create_run(project=project, entity="local")
    assert pending.update_state("failed") and api.run(f"local/{project}/{pending.id}").state == "failed"
    with pytest.raises(wandb.Error, match="invalid state transition"):
        pending.update_state("failed")
    found.delete(delete_artifacts=True)
    assert [one.id for one in wandb.Api().runs(f"local/{project}")] == [pending.id]


@pytest.mark.covers("StopRun")
def test_a_run_that_is_stopped_from_elsewhere_is_interrupted(start_run: StartRun, api: Any, project: str) -> None:
    quick = wandb.Settings(x_file_stream_transmit_interval=0.5)
    with pytest.raises(KeyboardInterrupt), start_run(settings=quick) as run:
        api.run(f"local/{project}/{run.id}").stop()
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            run.log({"beat": 1})
            time.sleep(0.1)
    assert wandb.Api().run(f"local/{project}/{run.id}").state != "running"


def test_what_is_not_known_here_is_refused_by_name_and_counted(api: Any, server: Server, project: str) -> None:
    api.create_project(project, "local")
    team = api.create_team("refused-team")
    with pytest.raises(Exception, match='Cannot query field "createCustomChart"'):
        api.create_custom_chart("local", "chart", "Chart", "vega2", "private", {})
    for call in (
        lambda: api.create_user("somebody@example.org"),
        lambda: api.viewer.generate_api_key("another"),
        lambda: api.viewer.delete_api_key(api.viewer.api_keys[0]),
        lambda: team.create_service_account("robot"),
        lambda: list(api.reports(f"local/{project}")),
    ):
        with contextlib.suppress(Exception):  # some say so, some return nothing: what counts is what the server says
            assert not call()
    refused = {one["operation"]: one["refused"] for one in Wire.connect(server).operations() if one["refused"]}
    assert {
        "CreateCustomChart": "createCustomChart",
        "CreateUserFromAdmin": "createUser",
        "GenerateApiKey": "generateApiKey",
        "DeleteApiKey": "deleteApiKey",
        "CreateServiceAccount": "createServiceAccount",
        "ProjectViews": "allViews",
    }.items() <= {name: text.split("'")[1] for name, text in refused.items()}.items()
