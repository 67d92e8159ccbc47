"""
Attacks on judged bytes: with a reference, in the server's storage, and with a second file of the same MD5.

    pytest tests/steps/test_bytes.py
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest
import wandb

from modelgate.errors import StepError
from modelgate.promotion import ledger
from modelgate.tracking import files
from tests.fake_server import FakeServer, Request
from tests.steps.blobs import ONE, OTHER, stored

OWN_SERVER = True


class _Handler(Request):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.send_response(200)
        self.send_header("ETag", '"constant"')
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(self.server.body)


@pytest.fixture
def elsewhere():
    """A URL whose content can change without a trace: its ETag stays the same."""
    server = FakeServer(_Handler)
    yield server
    server.close()


def refused(step, *flags):
    """Return the name and the exit code of the refusal."""
    with pytest.raises(StepError) as stopped:
        step(*flags)
    assert stopped.value.exit_code == 1
    return stopped.value.name


def logged(collection, name, url, file, kind="model", used=None):
    """Log a version whose file is a reference. used: what its run claims to have used."""
    with wandb.init(project=collection, job_type="train_model") as run:
        if used:
            run.use_artifact(used)
        artifact = wandb.Artifact(name, type=kind)
        artifact.add_reference(url, name=file)
        return run.log_artifact(artifact).wait()


# --- references ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("registry", ["wandb-registry-model", "model-registry"])
def test_a_model_that_is_a_reference_is_not_linked(step, collection, elsewhere, registry):
    elsewhere.body = b"a model"
    version = logged(collection, "glyphs_model", elsewhere.url, "model.keras")
    name = f"local/{collection}/{version.name}"
    assert refused(step, "link", "--model", name, "--registry", registry) == "reference_entry"


def test_a_model_with_a_reference_beside_its_file_is_not_linked(step, collection, elsewhere):
    elsewhere.body = b"more"
    with wandb.init(project=collection, job_type="train_model") as run:
        artifact = wandb.Artifact("glyphs_model", type="model")
        with artifact.new_file("model.keras", mode="w") as file:
            file.write("a model")
        artifact.add_reference(elsewhere.url, name="assets/vocabulary.txt")
        version = run.log_artifact(artifact).wait()
    assert refused(step, "link", "--model", f"local/{collection}/{version.name}") == "reference_entry"


def test_a_model_that_is_a_reference_is_not_judged(step, model, dataset, collection, elsewhere, tmp_path):
    """The SDK links it, without `link`. Today's content is a good model; tomorrow's may not be."""
    source = wandb.Api().artifact(model(0)["model"])
    elsewhere.body = Path(source.get_entry("model.keras").download(root=tmp_path)).read_bytes()
    version = logged(collection, "glyphs_model", elsewhere.url, "model.keras", used=dataset["dataset"])
    with wandb.init(project=collection) as run:
        linked = run.link_artifact(version, f"wandb-registry-model/{collection}")
    name = f"local-org/wandb-registry-model/{collection}:{linked.version}"
    assert refused(step, "evaluate", "--version", name, "--dataset", dataset["dataset"]) == "reference_entry"


def test_rows_that_are_a_reference_are_not_trained_on(step, collection, elsewhere, dataset, tmp_path):
    source = wandb.Api().artifact(dataset["dataset"])
    elsewhere.body = Path(source.get_entry("training.npz").download(root=tmp_path)).read_bytes()
    with wandb.init(project=collection, job_type="build_dataset") as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        artifact.add_reference(elsewhere.url, name="training.npz")
        version = run.log_artifact(artifact).wait()
    name = f"local/{collection}/{version.name}"
    assert refused(step, "train", "--dataset", name, "--epochs", 1) == "reference_entry"


def test_an_entry_of_the_ledger_that_is_a_reference_says_nothing(workspace, elsewhere):
    workspace.promoted(0)
    first = workspace.entries[0]
    elsewhere.body = ledger.to_text({**first.content, "previous": first.sha256}).encode()
    logged(workspace.collection, "glyphs_promotions", elsewhere.url, "entry.json", "promotion")
    workspace.promoted(1, 0)
    assert [entry.void for entry in workspace.entries] == [False, True, False]
    assert workspace.findings() == {("entry_unreadable", 1)}


# --- storage ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def flip_a_bit():
    """`flip_a_bit(path, offset)`; afterwards the file is restored for the other tests."""
    flipped = []

    def flip(path, offset):
        content = bytearray(path.read_bytes())
        content[offset] ^= 1
        path.chmod(0o600)
        path.write_bytes(content)
        flipped.append((path, offset))

    yield flip
    for path, offset in flipped.copy():
        flip(path, offset)


def test_a_stored_model_with_one_bit_flipped_is_not_judged(step, model, dataset, collection, server, flip_a_bit):
    """The bit is part of the time in the file's zip header: every library still reads the file."""
    source = wandb.Api().artifact(model(0)["model"])
    path = Path(source.get_entry("model.keras").download(root=server.data.parent))
    with zipfile.ZipFile(path, "a") as changed:  # bytes of this test's own
        changed.comment = collection.encode()
    with wandb.init(project=collection, job_type="train_model") as run:
        run.use_artifact(dataset["dataset"])
        artifact = wandb.Artifact("glyphs_model", type="model")
        artifact.add_file(str(path), name="model.keras")
        version = run.log_artifact(artifact).wait()
    linked = step("link", "--model", f"local/{collection}/{version.name}")["version"]
    assert step("evaluate", "--version", linked, "--dataset", dataset["dataset"])["verdict"] == "pass"
    flip_a_bit(stored(server, version, "model.keras"), 10)
    again = ("evaluate", "--version", linked, "--dataset", dataset["dataset"], "--no-cache")
    assert refused(step, *again) == "file_changed"


def test_a_bit_that_is_flipped_after_the_evaluation_is_not_promoted(workspace, server, flip_a_bit):
    evidence = workspace.evidence(0)
    flip_a_bit(stored(server, workspace.version(0), "model.keras"), 3)
    assert refused(workspace.step, "promote", "--evidence", evidence, "--approver", "ada") == "file_changed"
    assert workspace.entries == []


# --- two files with one MD5 ------------------------------------------------------------------------------------------


@pytest.fixture
def two_faced(workspace, server, monkeypatch):
    """A workspace whose model has a twin: `two_faced()` puts the other file in its place."""
    assert len({hashlib.md5(file).digest() for file in (ONE, OTHER)}) == 1  # noqa: S324 - it is what is attacked
    monkeypatch.setattr(workspace, "model_bytes", lambda _: ONE + workspace.collection.encode())

    def replace():
        path = stored(server, workspace.version(0), "model.keras")
        path.chmod(0o600)
        path.write_bytes(OTHER + workspace.collection.encode())

    return replace


def test_a_model_that_was_replaced_after_the_evaluation_is_not_promoted(workspace, two_faced):
    evidence = workspace.evidence(0)
    two_faced()
    assert refused(workspace.step, "promote", "--evidence", evidence, "--approver", "ada") == "model_bytes_changed"
    assert workspace.entries == []


def test_a_model_that_was_replaced_after_its_promotion_is_found(workspace, two_faced):
    workspace.promoted(0)
    assert workspace.findings() == set()
    two_faced()
    assert workspace.findings() == {("model_bytes_changed", 0)}


def test_rows_that_are_not_those_that_were_judged_are_not_promoted(workspace):
    changed = {"model": hashlib.sha256(b"model 0").hexdigest(), "eval_rows": "0" * 64}
    evidence = workspace.evidence(0, sha256=changed)
    assert refused(workspace.step, "promote", "--evidence", evidence, "--approver", "ada") == "rows_bytes_changed"


def test_rows_that_were_damaged_after_a_promotion_are_found(workspace, server, flip_a_bit):
    workspace.promoted(0)
    rows = wandb.Api().artifact(workspace.entries[0].content["dataset"]["name"])
    flip_a_bit(stored(server, rows, "arrays.npz"), 10)
    assert ("rows_bytes_changed", 0) in workspace.findings()


def test_the_ledger_keeps_the_hashes(workspace):
    workspace.promoted(0)
    content = workspace.entries[0].content
    assert content["sha256"]["model"] == hashlib.sha256(b"model 0").hexdigest()
    assert content["sha256_recorded"] == "at evaluation"


def test_evidence_without_hashes_gets_them_when_it_is_promoted(workspace):
    """Evidence of schema 1 has no hashes; the ledger records that promote computed them."""
    evidence = workspace.evidence(0, sha256={"model": None, "eval_rows": None})
    workspace.step("promote", "--evidence", evidence, "--approver", "ada")
    content = workspace.entries[0].content
    assert content["sha256"]["model"] == hashlib.sha256(b"model 0").hexdigest()
    assert content["sha256_recorded"] == "at promotion"


# --- what else is refused --------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_or_too_large_is_refused_before_it_is_fetched(workspace, tmp_path):
    workspace.evidence(0)
    version = workspace.version(0)
    for name, limit, refusal in (("weights.h5", 100, "file_missing"), ("model.keras", 6, "file_too_large")):
        with pytest.raises(files.FileRefused) as stopped:
            files.fetch(version, name, tmp_path, limit)
        assert stopped.value.name == refusal
    assert list(tmp_path.glob("*.keras")) == []
    assert files.fetch(version, "model.keras", tmp_path, 7).path.read_bytes() == b"model 0"


def test_what_is_downloaded_after_a_fetch_has_its_own_bytes(workspace, collection, tmp_path):
    """In wandb 0.31.0, each later download in the process overwrites the file that was fetched without the cache."""
    workspace.evidence(0)
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("two_files", type="dataset")
        for name in ("one.txt", "two.txt"):
            with artifact.new_file(name, mode="w") as file:
                file.write(f"{name} of {collection}")
        version = run.log_artifact(artifact).wait()
    fetched = files.fetch(workspace.version(0), "model.keras", tmp_path / "fetched")
    later = Path(version.download(root=tmp_path / "later"))
    assert {path.name: path.read_text() for path in later.iterdir()} == {
        name: f"{name} of {collection}" for name in ("one.txt", "two.txt")
    }
    assert fetched.path.read_bytes() == b"model 0"
