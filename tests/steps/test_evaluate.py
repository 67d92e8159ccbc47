"""
evaluate, through the real SDK against the embedded server.

    pytest tests/steps/test_evaluate.py
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import wandb
from jsonschema import Draft202012Validator

from modelgate import config, usecase
from modelgate.errors import WRONG_USE, StepError
from modelgate.gate import metrics, rules
from modelgate.promotion import evaluation, evidence_schema
from modelgate.promotion import evidence as form
from steps import evaluate
from tests.steps import rows
from tests.steps.seeding import COMMIT, HISTORY, IMAGES


@pytest.fixture
def shuffled(step, dataset, shared_results, monkeypatch, tmp_path):
    """A model that was trained on shuffled labels; its name and version are those of the model in production."""
    if "shuffled" not in shared_results:
        monkeypatch.setenv("WANDB_PROJECT", "shuffled")
        arrays = rows.stored(wandb.Api().artifact(dataset["dataset"]), tmp_path)
        arrays["y_train"] = np.random.default_rng(0).permutation(arrays["y_train"])
        with wandb.init(project="shuffled", job_type="build_dataset") as run:
            artifact = wandb.Artifact("glyphs_dataset", type="dataset")
            rows.add(artifact, arrays)
            logged = run.log_artifact(artifact).wait()
            before = wandb.Artifact("glyphs_model", type="model", description="takes the name v0")
            run.log_artifact(before).wait()
        name = f"local/shuffled/{logged.name}"
        shared_results["shuffled"] = step("train", "--dataset", name, "--epochs", 3)
    return shared_results["shuffled"]


@pytest.fixture
def refused(shuffled, history, dataset, shared_results):
    """The evaluation of the shuffled model against the one in production."""
    if "refused" not in shared_results:
        version = history("link", "--model", shuffled["model"])["version"]
        shared_results["refused"] = history("evaluate", "--version", version, "--dataset", dataset["dataset"])
    return shared_results["refused"]


def test_a_good_first_model_passes_and_the_run_holds_its_metrics(first):
    assert (first.exit, first["verdict"], first["production"]) == (0, "pass", None)
    run = wandb.Api().artifact(first["evidence"]).logged_by()
    assert (run.job_type, run.state) == ("evaluate_model", "finished")
    assert run.summary["eval/accuracy"] == first["accuracy"] > 0.9
    assert run.summary["eval/loss"] == first["loss"]
    numbers = ("accuracy", "loss", "calibration_error", "latency_ms", "size_bytes")
    assert {f"eval/{name}" for name in numbers} <= run.summary.keys()
    assert "other" not in first.result and "eval/other" not in run.summary


def test_the_metrics_are_keras_own(first, model, dataset, tmp_path):
    import keras

    api = wandb.Api()
    path = api.artifact(model(0)["model"]).get_entry("model.keras").download(root=tmp_path)
    arrays = rows.stored(api.artifact(dataset["dataset"]), tmp_path)
    x, y = arrays["x_eval"], keras.utils.to_categorical(arrays["y_eval"], 10)
    loss, accuracy = keras.saving.load_model(path).evaluate(x, y, verbose=0)
    assert first["loss"] == pytest.approx(loss, rel=1e-4)
    assert first["accuracy"] == pytest.approx(accuracy)


def test_the_evidence_freezes_what_was_judged(first, model, dataset):
    evidence, report, scores = evaluation.read(wandb.Api().artifact(first["evidence"]))
    assert evidence.verdict == "pass"
    assert vars(evidence.version) == {"name": first["version"], "digest": model(0)["digest"]}
    assert evidence.warnings[-1].startswith("First version: nothing is in production yet. Trained by local: http://")
    assert evidence.collection == first["version"].partition(":")[0]
    assert evidence.model.name == model(0)["model"]
    assert (evidence.dataset.name, evidence.dataset.digest) == (dataset["dataset"], dataset["digest"])
    assert (evidence.task, evidence.framework, evidence.metric) == ("image-classification", "keras", "accuracy")
    assert (evidence.commit, evidence.git.commit, evidence.git.dirty) == (COMMIT, COMMIT, False)
    assert (evidence.policy.name, evidence.policy.at_least, evidence.policy.margin) == ("no_worse", 0.9, 0.005)
    assert evidence.account == "local"
    expected = (*rules.SANITY, *rules.SUPPORT, *rules.QUALITY, *rules.COMPARISON["no_worse"])
    assert [rule.rule for rule in evidence.rules] == [rule.__name__ for rule in expected]
    assert report == first.report
    assert metrics.compute_accuracy(scores.targets, scores.candidate) == first["accuracy"]


def test_the_evidence_has_the_hash_of_the_model_s_file(first, model, tmp_path):
    evidence, _, _ = evaluation.read(wandb.Api().artifact(first["evidence"]))
    path = wandb.Api().artifact(model(0)["model"]).get_entry("model.keras").download(root=tmp_path)
    assert evidence.sha256.model == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_losses_of_the_rows_are_kept_and_their_mean_is_what_the_accuracy_lacks(second, tmp_path):
    artifact = wandb.Api().artifact(second["evidence"])
    per_row = evaluation.read(artifact)[0].per_row
    with np.load(artifact.get_entry(per_row.file).download(root=tmp_path)) as arrays:
        for name, accuracy in ((per_row.candidate, "accuracy"), (per_row.production, "production_accuracy")):
            assert 1 - arrays[name].mean(dtype=np.float64) == pytest.approx(second[accuracy])


def test_out_has_the_evidence_as_it_is_in_wandb(first, tmp_path):
    stored = wandb.Api().artifact(first["evidence"]).get_entry("evidence.json").download(root=tmp_path)
    assert (first.out / "evidence.json").read_bytes() == Path(stored).read_bytes()


def test_one_headline_is_in_the_answer_the_evidence_and_the_report(first, second, history):
    assert first["headline"] == f"pass: nothing is in production yet; accuracy {first['accuracy']:.4f} on 497 rows"
    drop = 100 * (second["production_accuracy"] - second["accuracy"])
    assert (
        second["headline"]
        == f"pass: {drop:.1f} point lower than production, within what 497 rows can tell; the margin is 0.5 points"
    )
    for answer in (first, second, history("evaluate", "--version", second["version"])):
        assert answer.report.splitlines()[0] == f"# {answer['headline']}"
        if answer["evidence"]:
            assert form.parse((answer.out / "evidence.json").read_text()).headline == answer["headline"]


def test_the_evidence_counts_the_candidates_that_these_rows_have_judged(evaluated):
    """The same model again is not a new candidate, and reused evidence keeps its content."""
    looks = [
        form.parse((evaluated(seed, *flags).out / "evidence.json").read_text()).looks
        for seed, flags in ((0, ()), (0, ("--no-cache",)), (1, ()), (0, ()))
    ]
    assert looks == [1, 1, 2, 1]


def test_what_moved_and_what_is_taken_for_what_are_in_the_evidence(second):
    evidence, _, scores = evaluation.read(wandb.Api().artifact(second["evidence"]))
    moved = [(item.name, item.rows, item.regressed, item.improved) for item in evidence.slices]
    assert sorted(moved) == sorted(
        row for row in rules.measure_slices(scores, form.restore_policy(evidence)) if row[2] or row[3]
    )
    assert [improved - regressed for *_, regressed, improved in moved] == sorted(
        improved - regressed for *_, regressed, improved in moved
    )
    counts = metrics.count_confusion(scores.targets, scores.candidate)
    np.fill_diagonal(counts, 0)
    assert {(int(item.truth), int(item.answer)): item.rows for item in evidence.confusion} == {
        pair: count for pair, count in np.ndenumerate(counts) if count
    }


def test_the_evaluation_shows_every_answer_as_a_table_and_the_run_as_charts(first, tmp_path):
    artifact = wandb.Api().artifact(first["evidence"])
    _, _, scores = evaluation.read(artifact)
    expected = metrics.count_confusion(scores.targets, scores.candidate)
    predictions = artifact.get("predictions")
    assert predictions.get_column("label") == scores.targets.tolist()
    assert predictions.get_column("answer") == scores.candidate.argmax(axis=1).tolist()
    assert np.array_equal([row[1:] for row in artifact.get("confusion_matrix").data], expected)

    run = artifact.logged_by()
    matrix = drawn(run, "eval/confusion_matrix", ("Actual", "Predicted", "nPredictions"), tmp_path)
    assert {(truth, answer): count for truth, answer, count in matrix} == {
        (str(truth), str(answer)): count for (truth, answer), count in np.ndenumerate(expected)
    }
    curve = drawn(run, "eval/reliability", ("confidence", "correct"), tmp_path)
    assert np.allclose(curve, [row[2:] for row in metrics.bin_reliability(scores.targets, scores.candidate)])


def drawn(run, chart, columns, folder):
    """Return the rows of these columns that a custom chart draws: a panel in the run's config, over the run's table."""
    panel = run.rawconfig["_wandb"]["visualize"][chart]["panel_config"]
    assert {field for field in panel["fieldSettings"].values() if field} == set(columns)
    query = panel["userQuery"]["queryFields"][0]["fields"]
    (key,) = (arg["value"] for field in query if field["name"] == "summaryTable" for arg in field["args"])
    file = run.file(run.summary[key]["path"]).download(root=folder)
    table = json.loads(Path(file.name).read_text(encoding="utf-8"))
    return [[row[table["columns"].index(column)] for column in columns] for row in table["data"]]


def test_the_inputs_are_recorded_as_lineage(first, dataset, model):
    run = wandb.Api().artifact(first["evidence"]).logged_by()
    assert {artifact.digest for artifact in run.used_artifacts()} == {dataset["digest"], model(0)["digest"]}


def test_the_version_in_production_is_compared_with(second):
    assert second["production"].endswith(":v0")
    assert second["production_accuracy"] > 0.9
    assert "compared with production" in second.report
    assert "is refused four times out of five" in second.report
    evidence, _, scores = evaluation.read(wandb.Api().artifact(second["evidence"]))
    assert evidence.comparison.drop == pytest.approx(second["production_accuracy"] - second["accuracy"])
    assert set(scores.varied) == {"rotation by 5 degrees", "noise of 0.05"}
    assert all(len(varied.production) == scores.rows for varied in scores.varied.values())


def test_each_mistake_is_shown_with_its_image(first):
    artifact = wandb.Api().artifact(first["evidence"])
    table = artifact.get("predictions")
    shown = {row: image for row, image in enumerate(table.get_column("mistake")) if image is not None}
    assert set(shown) == {row for row, correct in enumerate(table.get_column("correct")) if not correct}
    assert shown
    data = usecase.load_part("glyphs", "data")
    size = config.load("glyphs").build
    rows = data.load(size.rows, size.eval_rows).x_eval
    for row, image in shown.items():
        assert np.array_equal(np.asarray(image.image), data.picture(rows[row]))


def test_the_model_in_production_is_unchanged_and_nothing_is_recorded(history, second):
    runs = len(wandb.Api().runs(f"local/{HISTORY}"))
    answer = history("evaluate", "--version", second["version"])
    assert (answer.exit, answer["verdict"], answer["evidence"]) == (0, "unchanged", None)
    assert answer["headline"] == "unchanged: this model is already in production"
    assert sorted(path.name for path in answer.out.iterdir()) == ["report.md", "result.json"]
    assert len(wandb.Api().runs(f"local/{HISTORY}")) == runs


def test_shuffled_labels_are_refused_by_more_than_one_rule(refused):
    assert (refused.exit, refused["verdict"]) == (1, "fail")
    rules_that_refuse = {reason.split(":")[0] for reason in refused["reasons"]}
    assert rules_that_refuse >= {"floor", "no_worse", "slices_no_worse", "behaviour_no_worse"}
    assert "Refused by " in refused.report


def test_two_models_of_one_name_and_version_are_not_mixed_up(refused, shuffled, model):
    """Both are named glyphs_model:v1, in two projects; evaluate used to download both to one folder."""
    assert shuffled["model"].split("/")[2] == model(1)["model"].split("/")[2]
    assert refused["production"].endswith(":v1")
    assert refused["accuracy"] < 0.5 < 0.9 < refused["production_accuracy"]


def test_nothing_is_left_in_the_working_folder(first, seeded):
    """Of every step that made what the tests share."""
    assert (first.out.parent, list((seeded / "working").iterdir())) == (seeded, [])


def test_rows_that_were_trained_on_are_refused(step, model, dataset, tmp_path, collection):
    arrays = rows.stored(wandb.Api().artifact(dataset["dataset"]), tmp_path)
    arrays["x_eval"][7] = arrays["x_train"][0]
    with wandb.init(project=collection) as run:
        artifact = wandb.Artifact("glyphs_dataset", type="dataset")
        rows.add(artifact, arrays)
        run.log_artifact(artifact).wait()
    version = step("link", "--model", model(0)["model"])["version"]
    answer = step("evaluate", "--version", version, "--dataset", f"local/{collection}/glyphs_dataset:v0")
    assert (answer.exit, answer["reasons"]) == (1, ["unseen_rows: 1 eval rows are training rows, the first 7"])


def planted_model(step, collection, source, spoil, tmp_path):
    """A registry version whose model file is a damaged copy of `source`."""
    path = Path(wandb.Api().artifact(source).get_entry("model.keras").download(root=tmp_path))
    spoiled = tmp_path / "spoiled.keras"
    spoiled.write_bytes(spoil(path))
    with wandb.init(project=collection, job_type="train_model") as run:
        run.use_artifact(wandb.Api().artifact(source).logged_by().used_artifacts()[0])
        artifact = wandb.Artifact("glyphs_model", type="model")
        artifact.add_file(str(spoiled), name="model.keras")
        logged = run.log_artifact(artifact).wait()
    return step("link", "--model", f"local/{collection}/{logged.name}")["version"]


def one_byte_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def test_a_model_file_with_one_byte_flipped_is_refused(step, model, dataset, collection, tmp_path):
    version = planted_model(step, collection, model(0)["model"], one_byte_flipped, tmp_path)
    with pytest.raises(StepError) as stopped:
        step("evaluate", "--version", version, "--dataset", dataset["dataset"])
    assert (stopped.value.name, stopped.value.exit_code) == ("model_file_refused", 1)


def test_a_model_whose_weights_are_nan_is_refused(step, model, dataset, collection, tmp_path):
    """A training whose loss became NaN leaves such a file."""

    def nan(path):
        import keras

        from modelgate.frameworks import keras_format

        loaded = keras.saving.load_model(path)
        loaded.set_weights([np.full_like(weights, np.nan) for weights in loaded.get_weights()])
        keras_format.save(loaded, tmp_path / "nan.keras")
        return (tmp_path / "nan.keras").read_bytes()

    version = planted_model(step, collection, model(0)["model"], nan, tmp_path)
    answer = step("evaluate", "--version", version, "--dataset", dataset["dataset"])
    assert (answer.exit, answer["verdict"], answer["loss"]) == (1, "fail", None)
    assert answer["reasons"] == [f"finite_scores: candidate answered {497} rows with NaN or infinity"]


def test_the_evidence_follows_its_published_schema(first):
    evidence = json.loads((first.out / "evidence.json").read_text())
    Draft202012Validator(json.loads(evidence_schema.PATH.read_text())).validate(evidence)


def test_evaluating_again_reuses_the_evidence(evaluated):
    answer, again = evaluated(0), evaluated(0)
    assert (again["evidence"], again["reused"], again["run_url"]) == (answer["evidence"], True, None)
    assert again.report == answer.report
    assert (again.out / "evidence.json").read_bytes() == (answer.out / "evidence.json").read_bytes()
    assert evaluated(0, "--commit", COMMIT)["evidence"] != answer["evidence"]


def test_image_digests_go_into_the_evidence(first):
    evidence, _, _ = evaluation.read(wandb.Api().artifact(first["evidence"]))
    assert evidence.images == IMAGES


@pytest.mark.parametrize("written", [None, "{", "[]", '{"train": 5}'])
def test_image_digests_that_are_none(tmp_path, written):
    if written is not None:
        (tmp_path / "images.json").write_text(written)
    with pytest.raises(StepError) as stopped:
        evaluate.read_images(tmp_path / "images.json")
    assert (stopped.value.name, stopped.value.exit_code) == ("images_unreadable", WRONG_USE)


def test_previous_is_what_production_replaced(history):
    answer = history("evaluate", "--version", "previous", "--policy", "rollback")
    assert answer["version"].endswith(":v0")
    assert answer["production"].endswith(":v1")
    assert answer["verdict"] == "pass"


def test_a_number_names_a_version_beside_production(history):
    answer = history("evaluate", "--version", "v0", "--policy", "rollback")
    assert answer["version"].endswith(":v0")
    assert history("evaluate", "--version", "v1")["verdict"] == "unchanged"
    with pytest.raises(StepError) as stopped:
        history("evaluate", "--version", "v7")
    assert stopped.value.name == "version_not_found"


def test_previous_without_one_is_wrong_use(workspace):
    with pytest.raises(StepError, match="nothing was promoted yet") as stopped:
        workspace.step("evaluate", "--version", "previous")
    assert (stopped.value.name, stopped.value.exit_code) == ("nothing_promoted", WRONG_USE)
    workspace.promoted(0)
    with pytest.raises(StepError, match="is the first one") as stopped:
        workspace.step("evaluate", "--version", "previous")
    assert (stopped.value.name, stopped.value.exit_code) == ("no_previous_version", WRONG_USE)


def test_without_a_promotion_there_is_no_dataset_to_take():
    with pytest.raises(StepError) as stopped:
        evaluate.find_judged_dataset(None, [])  # asks W&B nothing
    assert (stopped.value.name, stopped.value.exit_code) == ("no_dataset", WRONG_USE)
