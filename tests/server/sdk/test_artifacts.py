"""Artifacts through the SDK: logging, versions, aliases, tables, lineage, links.

pytest tests/server/sdk/test_artifacts.py
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from tests.server.sdk.conftest import StartRun

REGISTRY = "wandb-registry-model"


def artifact_of(name: str, type_name: str = "dataset", **contents: str) -> Any:
    artifact = wandb.Artifact(name, type_name)
    for path, text in contents.items():
        with artifact.new_file(f"{path}.txt") as file:
            file.write(text)
    return artifact


@pytest.mark.covers(
    "Viewer", "GetDefaultEntity", "ServerFeaturesQuery", "ArtifactType", "OrganizationCoreWeaveOrganizationID"
)
def test_the_same_content_makes_no_new_version(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        first = run.log_artifact(artifact_of("data", a="1")).wait()
        second = run.log_artifact(artifact_of("data", a="2")).wait()
    with start_run() as other:
        again = other.log_artifact(artifact_of("data", a="2"), aliases=["best"]).wait()
    assert (first.version, second.version, again.version) == ("v0", "v1", "v1")
    assert second.digest == again.digest
    assert sorted(api.artifact(f"local/{project}/data:best").aliases) == ["best", "latest"]
    assert [version.version for version in api.artifacts("dataset", f"local/{project}/data")] == ["v1", "v0"]
    made = api.run(f"local/{project}/{other.id}").logged_artifacts()
    assert [version.version for version in made] == ["v1"]


def test_an_alias_moves_and_names_one_version(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        for number in range(3):
            run.log_artifact(artifact_of("data", a=str(number)), aliases=["best"] if number < 2 else None).wait()

    def holders(alias: str) -> list[str]:
        versions = wandb.Api().artifacts("dataset", f"local/{project}/data")
        return [version.version for version in versions if alias in version.aliases]

    assert holders("best") == ["v1"] and holders("latest") == ["v2"]
    version = api.artifact(f"local/{project}/data:v0")
    version.aliases.append("best")
    version.save()
    assert holders("best") == ["v0"]
    version.aliases.remove("best")
    version.save()
    assert holders("best") == []


def test_a_version_number_is_never_given_twice(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        run.log_artifact(artifact_of("data", a="0")).wait()
        run.log_artifact(artifact_of("data", a="1")).wait()
        api.artifact(f"local/{project}/data:v1").delete(delete_aliases=True)
        assert api.artifact(f"local/{project}/data:latest").version == "v0"
        assert run.log_artifact(artifact_of("data", a="2")).wait().version == "v2"


def test_a_version_with_aliases_is_not_deleted_by_accident(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        run.log_artifact(artifact_of("data", a="0"), aliases=["production"]).wait()
    with pytest.raises(wandb.errors.CommError, match="production"):
        api.artifact(f"local/{project}/data:v0").delete()
    assert api.artifact(f"local/{project}/data:production").version == "v0"


@pytest.mark.covers("FetchArtifactManifest", "GetArtifactMembershipFileUrls")
def test_a_download_without_the_cache_is_byte_for_byte(
    start_run: StartRun, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "data ü.bin").write_bytes(data)
    (tmp_path / "in" / "empty").write_bytes(b"")
    with start_run() as run:
        artifact = wandb.Artifact("files", "dataset")
        artifact.add_dir(str(tmp_path / "in"))
        run.log_artifact(artifact).wait()
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "fresh"))
    found = wandb.Api().artifact(f"local/{project}/files:latest")
    folder = Path(found.download(root=str(tmp_path / "out")))
    assert (folder / "deep" / "data ü.bin").read_bytes() == data
    assert (folder / "empty").read_bytes() == b""
    assert found.verify(root=str(folder)) is None
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "fresher"))
    one = wandb.Api().artifact(f"local/{project}/files:v0").get_entry("deep/data ü.bin")
    assert Path(one.download(root=str(tmp_path / "one"))).read_bytes() == data
    assert [file.name for file in found.files()] == ["deep/data ü.bin", "empty"]
    assert len(found.files()) == 2


def test_a_table_with_images_and_arrays_comes_back(
    start_run: StartRun, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    arrays = (images / 255).astype(np.float32).reshape(-1, 28, 28, 1)
    with start_run() as run:
        table = wandb.Table(columns=["x_train", "y_train", "img"])
        for label, (array, image) in enumerate(zip(arrays, images, strict=True)):
            table.add_data(array, label, wandb.Image(image))
        artifact = wandb.Artifact("tables", "dataset")
        artifact.add(table, "train_table")
        run.log_artifact(artifact).wait()
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "fresh"))
    with start_run() as run:
        found = run.use_artifact("tables:latest").get("train_table")
        x = found.get_column("x_train", convert_to="numpy")
        assert x.shape == (5, 28, 28, 1) and np.array_equal(x, arrays)
        assert found.get_column("y_train") == [0, 1, 2, 3, 4]
        for index, image in enumerate(found.get_column("img")):
            assert np.array_equal(np.asarray(image.image.convert("L")), images[index])


@pytest.mark.covers("ArtifactCreatedBy", "ArtifactUsedBy", "RunInputArtifacts", "RunOutputArtifacts")
def test_lineage_has_no_gap(start_run: StartRun, api: Any, project: str) -> None:
    with start_run(job_type="build") as build:
        build.log_artifact(artifact_of("data", a="1")).wait()
    with start_run(job_type="train") as train:
        train.use_artifact("data:latest")
        train.log_artifact(artifact_of("model", "model", m="1")).wait()
    data = api.artifact(f"local/{project}/data:v0")
    assert data.logged_by().id == build.id
    assert [run.id for run in data.used_by()] == [train.id]
    found = api.run(f"local/{project}/{train.id}")
    assert [version.name for version in found.used_artifacts()] == ["data:v0"]
    assert [version.name for version in found.logged_artifacts()] == ["model:v0"]


def test_a_linked_version_is_found_used_and_promoted(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        source = run.log_artifact(artifact_of("model", "model", m=project)).wait()
        linked = run.link_artifact(source, f"{REGISTRY}/{project}", aliases=["candidate"])
        again = run.link_artifact(source, f"{REGISTRY}/{project}", aliases=["candidate"])
    assert linked.qualified_name == again.qualified_name == f"local-org/{REGISTRY}/{project}:v0"
    assert linked.is_link and linked.source_qualified_name == f"local/{project}/model:v0"
    with start_run() as run:
        path = Path(run.use_model(f"{REGISTRY}/{project}:candidate"))
        assert path.read_text() == project
    version = api.artifact(f"{REGISTRY}/{project}:v0")
    version.aliases.append("production")
    version.save()
    promoted = wandb.Api().artifact(f"{REGISTRY}/{project}:production")
    assert sorted(promoted.aliases) == ["candidate", "latest", "production"]
    # An alias belongs to its collection: the source has none of these.
    origin = api.artifact(f"local/{project}/model:v0")
    assert origin.aliases == ["latest"]
    assert [link.qualified_name for link in origin.linked_artifacts] == [f"local-org/{REGISTRY}/{project}:v0"]


def test_versions_of_a_registry_have_numbers_of_their_own(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        versions = [run.log_artifact(artifact_of("model", "model", m=f"{n}")).wait() for n in range(3)]
        names = [run.link_artifact(versions[n], f"{REGISTRY}/{project}").name for n in (2, 0)]
    assert names == [f"{project}:v0", f"{project}:v1"]
    assert api.artifact(f"{REGISTRY}/{project}:latest").source_name == "model:v0"
    api.artifact(f"{REGISTRY}/{project}:v1").unlink()
    assert wandb.Api().artifact(f"{REGISTRY}/{project}:latest").source_name == "model:v2"


def test_link_model_makes_the_collection_of_the_walkthrough(start_run: StartRun, project: str, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_text("weights")
    with start_run() as run:
        linked = run.link_model(str(tmp_path / "model.bin"), project, "trained")
    assert linked is not None and linked.qualified_name == f"local/model-registry/{project}:v0"


def test_a_registry_takes_only_its_types(start_run: StartRun, project: str) -> None:
    with start_run() as run:
        source = run.log_artifact(artifact_of("data", a="1")).wait()
        with pytest.raises((wandb.errors.CommError, ValueError), match='does not take artifacts of type "dataset"'):
            run.link_artifact(source, f"{REGISTRY}/{project}")


def test_a_registry_that_is_not_there_is_refused(start_run: StartRun, project: str) -> None:
    with start_run() as run:
        source = run.log_artifact(artifact_of("model", "model", a="1")).wait()
        with pytest.raises((wandb.errors.CommError, ValueError), match="not found"):
            run.link_artifact(source, f"wandb-registry-nothing/{project}")


def test_what_is_not_there_is_said_at_once(api: Any, project: str) -> None:
    with pytest.raises(wandb.errors.CommError, match="not found"):
        api.artifact(f"local/{project}/nothing:latest")
    assert not api.artifact_exists(f"local/{project}/nothing:latest")


@pytest.mark.covers("UpdateArtifactManifest")
def test_an_incremental_version_builds_on_the_last(start_run: StartRun, api: Any, project: str, tmp_path: Path) -> None:
    with start_run() as run:
        run.log_artifact(artifact_of("data", a="1", b="1")).wait()
    with start_run() as run:
        more = wandb.Artifact("data", "dataset", incremental=True)
        for name, text in (("b", "2"), ("c", "3")):
            with more.new_file(f"{name}.txt") as file:
                file.write(text)
        run.log_artifact(more).wait()
    found = api.artifact(f"local/{project}/data:latest")
    folder = Path(found.download(root=str(tmp_path / "out")))
    assert found.version == "v1" and found.file_count == 3
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"a.txt": "1", "b.txt": "2", "c.txt": "3"}


def test_a_draft_keeps_what_it_does_not_change(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        first = run.log_artifact(artifact_of("data", a="1", b="1")).wait()
        draft = first.new_draft()
        draft.remove("b.txt")
        with draft.new_file("c.txt") as file:
            file.write("3")
        run.log_artifact(draft).wait()
    found = api.artifact(f"local/{project}/data:v1")
    assert sorted(found.manifest.entries) == ["a.txt", "c.txt"]


def test_several_processes_fill_one_version(start_run: StartRun, api: Any, project: str) -> None:
    for text in ("a", "b"):
        with start_run(group="g") as run:
            run.upsert_artifact(artifact_of("shared", **{text: text}), distributed_id="d1")
    with start_run(group="g") as run:
        run.finish_artifact(artifact_of("shared", c="c"), distributed_id="d1")
    found = api.artifact(f"local/{project}/shared:latest")
    assert found.version == "v0" and sorted(found.manifest.entries) == ["a.txt", "b.txt", "c.txt"]


def test_metadata_description_and_tags_are_kept_and_edited(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        artifact = artifact_of("data", a="1")
        artifact.metadata, artifact.description = {"rows": 5}, "first"
        run.log_artifact(artifact, tags=["small"]).wait()
    found = api.artifact(f"local/{project}/data:v0")
    assert (found.metadata, found.description, found.tags) == ({"rows": 5}, "first", ["small"])
    found.metadata["rows"] = 6
    found.description = "second"
    found.tags = ["large"]
    found.save()
    again = wandb.Api().artifact(f"local/{project}/data:v0")
    assert (again.metadata, again.description, again.tags) == ({"rows": 6}, "second", ["large"])


def test_a_reference_is_listed_and_downloaded_from_where_it_is(
    start_run: StartRun, api: Any, project: str, tmp_path: Path
) -> None:
    (tmp_path / "there.txt").write_text("elsewhere")
    with start_run() as run:
        artifact = wandb.Artifact("refs", "dataset")
        artifact.add_reference(f"file://{tmp_path}/there.txt")
        run.log_artifact(artifact).wait()
    folder = Path(api.artifact(f"local/{project}/refs:v0").download(root=str(tmp_path / "out")))
    assert (folder / "there.txt").read_text() == "elsewhere"


def test_an_artifact_may_refer_to_another(start_run: StartRun, project: str, tmp_path: Path) -> None:
    with start_run() as run:
        base = run.log_artifact(artifact_of("base", a="base")).wait()
        derived = wandb.Artifact("derived", "dataset")
        derived.add_reference(base.get_entry("a.txt"), name="from-base.txt")
        run.log_artifact(derived).wait()
    with start_run() as run:
        folder = Path(run.use_artifact("derived:latest").download(root=str(tmp_path / "out")))
    assert (folder / "from-base.txt").read_text() == "base"


def test_collections_are_listed_renamed_and_deleted(start_run: StartRun, api: Any, project: str) -> None:
    with start_run() as run:
        run.log_artifact(artifact_of("one", a="1")).wait()
        run.log_artifact(artifact_of("two", a="1")).wait()
    kind = api.artifact_type("dataset", f"local/{project}")
    assert sorted(found.name for found in kind.collections()) == ["one", "two"]
    collection = api.artifact_collection("dataset", f"local/{project}/one")
    collection.name = "renamed"
    collection.save()
    assert api.artifact(f"local/{project}/renamed:v0").name == "renamed:v0"
    api.artifact_collection("dataset", f"local/{project}/two").delete()
    assert [found.name for found in wandb.Api().artifact_type("dataset", f"local/{project}").collections()] == [
        "renamed"
    ]
