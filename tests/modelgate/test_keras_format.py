"""
The model's file: the same model is the same bytes, and a file that would run code is refused.

    pytest tests/modelgate/test_keras_format.py
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modelgate import usecase
from modelgate.errors import StepError
from modelgate.frameworks import keras_format


@pytest.fixture(scope="module")
def trained():
    keras_format.start(seed=0, threads=1)
    return usecase.load_part("glyphs", "model").build_model(10, (8, 8, 1), dropout=0.5)


def test_saving_twice_gives_the_same_bytes(trained, tmp_path):
    for name in ("a.keras", "b.keras"):
        keras_format.save(trained, tmp_path / name)
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()


def test_keras_itself_does_not_give_the_same_bytes(trained, tmp_path):
    """This is why the canonical form exists: when this test fails, it can be removed."""
    trained.save(tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as file:
        assert "1980" not in json.loads(file.read("metadata.json"))["date_saved"]


def test_the_canonical_file_answers_as_the_model_does(trained, tmp_path):
    images = np.random.default_rng(0).random((5, 8, 8, 1), dtype=np.float32)
    keras_format.save(trained, tmp_path / "model.keras")
    loaded = keras_format.load(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(images, verbose=0), trained.predict(images, verbose=0))


def test_rows_in_batches_are_answered_as_by_keras_s_own_predict_and_compiled_once(trained, tmp_path):
    """The last batch is smaller than the others, and the next call has other sizes."""
    keras_format.save(trained, tmp_path / "model.keras")
    loaded = keras_format.load(tmp_path / "model.keras")
    rows = 2 * keras_format.BATCH_ROWS + 5
    images = np.random.default_rng(0).random((rows, 8, 8, 1), dtype=np.float32)
    for batch in (images, images[:3]):
        expected = trained.predict(batch, batch_size=keras_format.BATCH_ROWS, verbose=0)
        answers = keras_format.predict(loaded, batch)
        assert answers.dtype == np.float32
        assert np.array_equal(answers, expected)
    assert loaded.predict_function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_model_that_was_trained_is_loaded_with_its_weights(trained, tmp_path, optimizer):
    """Its file also says how it was compiled."""
    import keras

    images, labels = np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32), np.eye(10)[np.arange(20) % 10]
    model = keras.models.clone_model(trained)
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    model.fit(images, labels, epochs=1, verbose=0)
    keras_format.save(model, tmp_path / "model.keras")
    loaded = keras_format.load(tmp_path / "model.keras")
    assert np.array_equal(loaded.predict(images, verbose=0), model.predict(images, verbose=0))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    import keras

    ran = tmp_path / "ran"
    layer = keras.layers.Lambda(
        lambda x, path=str(ran): (Path(path).mkdir(), x)[1],  # type: ignore[func-returns-value]
        output_shape=(2,),
    )
    keras.Sequential([keras.layers.Input((2,)), layer]).save(tmp_path / "model.keras")
    if ran.exists():
        ran.rmdir()  # Keras calls the layer once when it creates it
    with pytest.raises(StepError) as refused:
        keras_format.load(tmp_path / "model.keras")
    assert refused.value.name == "model_file_refused"
    assert not ran.exists()


def test_a_crash_while_tensorflow_is_imported_still_says_why(monkeypatch):
    """Only its notes are hidden."""
    note, why = "I0000 00:00:1795791395.9 1790 port.cc:153] oneDNN is on", "F0000 00:00:1795791395.9 no AVX here"
    heading = "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR"
    program = (
        "import os\nfrom modelgate.frameworks import keras_format\nwith keras_format._leave_out_notes():\n"
        f"    os.write(2, {chr(10).join((heading, note, why, ''))!r}.encode())\n    os.abort()"
    )
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGABRT, f"{why}\n")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.splitlines()[:3] == [heading, note, why]


def test_the_split_keeps_the_proportion_of_each_class():
    y = np.repeat(np.arange(4), [100, 50, 30, 20])
    _, _, y_t, y_v = keras_format.split(np.zeros((200, 1)), y, 0.2, seed=0)
    assert np.bincount(y_v).tolist() == [20, 10, 6, 4]
    assert np.bincount(y_t).tolist() == [80, 40, 24, 16]


@pytest.mark.parametrize("content", [b"", b"not a zip file"])
def test_a_file_that_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "model.keras").write_bytes(content)
    with pytest.raises(StepError) as refused:
        keras_format.load(tmp_path / "model.keras")
    assert refused.value.name == "model_file_refused"
