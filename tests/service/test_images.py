"""
predict and the service with a Keras model: one thread of the service starts TensorFlow, and another one calls it.

    pytest tests/service/test_images.py -m prove
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from usecases.glyphs import model as glyphs  # type: ignore[import-not-found]

from modelgate import config
from modelgate.frameworks import keras_format
from tests.own import ROOT
from tests.service.conftest import PROGRAM, Service
from tests.serving import free_port, until
from tests.steps.conftest import collection, step  # noqa: F401  # fixtures
from tests.steps.workspace import Workspace

pytestmark = pytest.mark.prove


@pytest.fixture
def untrained(tmp_path):
    """The file of an untrained network."""
    keras_format.start(seed=0, threads=1)
    keras_format.save(glyphs.build_model(10, (8, 8, 1), dropout=0.5), tmp_path / "model.keras")
    return (tmp_path / "model.keras").read_bytes()


def test_images_are_answered_alike_by_predict_and_by_the_service(
    step,  # noqa: F811
    collection,  # noqa: F811
    untrained,
    tmp_path,
):
    workspace = Workspace(step, collection)
    workspace.model_bytes = lambda number: untrained
    workspace.promoted(0)
    x = np.random.default_rng(0).random((300, 8, 8, 1), dtype=np.float32)
    np.savez(tmp_path / "rows.npz", x=x)
    step("predict", "--input", tmp_path / "rows.npz", "--output", tmp_path / "answers.parquet")
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    expected = answers[[f"p_{label}" for label in range(10)]].to_numpy()
    assert len(answers) == 300 and set(answers["ledger_entry"]) == {"v0"}

    port, log = free_port(), tmp_path / "service.log"
    flags = ["--use-case", "glyphs", "--collection", collection, "--port", str(port), "--data", str(tmp_path / "kept")]
    command = [sys.executable, "-c", PROGRAM, str(config.FOLDER), *flags]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=sink, stderr=sink)
    service = Service(process, port, log, tmp_path / "kept")
    try:
        until(service.is_up, "the service")
        until(lambda: service.ready["ready"], "the version")
        tensor = {"name": "x", "datatype": "FP32", "shape": [3, 8, 8, 1], "data": x[:3].tolist()}
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/v2/models/glyphs/infer", json.dumps({"inputs": [tensor]}))
        response = json.loads(connection.getresponse().read())
        probabilities = np.array(response["outputs"][1]["data"]).reshape(3, 10)
        np.testing.assert_allclose(probabilities, expected[:3], atol=1e-5)
        assert response["outputs"][0]["data"] == answers["answer"][:3].tolist()
        assert service.stop() == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)
