"""
The service as a process with the embedded server: its protocol, what it follows, and what it refuses.

    pytest tests/service/test_serving.py
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandera.pandas as pa
import pytest
import tritonclient.http as triton
import wandb

from modelgate import config, usecase
from modelgate.errors import StepError
from serving.cache import Folder
from serving.follow import LONGEST_WAIT_S, Follower
from serving.telemetry import Metrics
from tests.service.conftest import USE_CASE
from tests.serving import free_port, listens, until


def example(service, **changed):
    """Return a valid request with one row. changed: the values of columns."""
    _, request = service.ask("/example")
    for tensor in request["inputs"]:
        if tensor["name"] in changed:
            tensor["data"] = changed[tensor["name"]]
            tensor["shape"] = [len(tensor["data"])]
    return request


def tensors(service, rows):
    """Return the inputs of Triton's client, in binary: the example, `rows` times."""
    inputs = []
    for tensor in example(service)["inputs"]:
        values = np.repeat(np.array(tensor["data"], dtype=np.float64), rows)
        inputs.append(triton.InferInput(tensor["name"], values.shape, "FP64"))
        inputs[-1].set_data_from_numpy(values)
    return inputs


# --- the protocol, by a client that others wrote ---------------------------------------------------------------------


def test_tritons_client_is_answered_in_binary_and_in_json_alike(service, project):
    client = triton.InferenceServerClient(f"127.0.0.1:{service.port}")
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(USE_CASE)
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata(USE_CASE)
    assert (metadata["versions"], metadata["inputs"][0]["datatype"]) == (["v0"], "FP64")

    binary = client.infer(USE_CASE, tensors(service, 3), request_id="7")
    wanted = [triton.InferRequestedOutput(name, binary_data=False) for name in ("answer", "probabilities")]
    plain = client.infer(USE_CASE, tensors(service, 3), outputs=wanted, model_version="v0")
    answers = binary.as_numpy("probabilities")
    assert answers.shape == (3, 2) and answers.dtype == np.float32
    np.testing.assert_allclose(plain.as_numpy("probabilities"), answers, rtol=1e-6)
    labels = [text.decode() for text in binary.as_numpy("answer")]
    assert labels == [("malignant", "benign")[index] for index in answers.argmax(axis=1)]
    response = binary.get_response()
    assert (response["id"], response["model_version"], response["parameters"]["version"]) == (
        "7",
        "v0",
        project.versions[1.0],
    )
    assert response["parameters"]["ledger_entry"] == "v0"
    status, same = service.infer(example(service))
    assert status == 200 and same["outputs"][1]["data"] == pytest.approx(answers[0].tolist(), rel=1e-6)
    with pytest.raises(triton.InferenceServerException, match="version 'v7' is not loaded; 'v0' is"):
        client.infer(USE_CASE, tensors(service, 1), model_version="v7")
    client.close()


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [
        ({"mean_area": [-1.0]}, "in_range", "column 'mean_area' does not pass in_range(0, 10000): -1.0 in row 0"),
        ({"mean_area": [None]}, "not_nullable", "column 'mean_area' is missing in row 0"),
        ({"mean_area": ["wide"]}, "bad_request", "'mean_area' has values that are not FP64"),
        ({"mean_area": [1.0, 2.0]}, "bad_request", "the input 'mean_area' has 2 rows, but the first input has 1"),
        ({"mean_area": [1e400]}, "in_range", "column 'mean_area' does not pass in_range(0, 10000): inf in row 0"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused_with_its_column(service, changed, name, message):
    status, response = service.infer(example(service, **changed))
    assert (status, response["name"], response["column"], response["error"]) == (400, name, "mean_area", message)


def test_a_column_that_is_missing_or_unknown_is_named(service):
    request = example(service)
    missing = request["inputs"].pop()["name"]
    assert service.infer(request)[1]["column"] == missing
    request["inputs"].append({"name": "extra", "datatype": "FP64", "shape": [1], "data": [1.0]})
    assert service.infer(request)[1]["column"] == "extra"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{" * 100_000, 400),
        (b'{"inputs": [7]}', 400),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [-1], "data": []}]}', 400),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [2147483647, 2147483647], "data": []}]}', 400),
        (b'{"inputs": [{"name": "x", "datatype": "OBJECT", "shape": [1], "data": [1]}]}', 400),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 9}}]}', 400),
        (b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [[1], 2]}]}', 400),
        (b'{"inputs": []}', 400),
        (b" " * (2**20 + 1), 413),
    ],
)
def test_a_body_that_is_no_request_is_refused(service, body, status):
    assert service.infer(body)[0] == status


def test_a_header_that_lies_about_the_json_and_a_compressed_body_are_refused(service):
    for length in ("-1", "x", "999999"):
        assert service.infer(b"{}", **{"Inference-Header-Content-Length": length})[0] == 400
    assert service.infer(b"{}", **{"Content-Encoding": "gzip"})[0] == 415
    assert service.ask("/v2/models/other/infer", {})[0] == 404


def test_a_body_that_does_not_come_is_not_waited_for(service):
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(f"POST /v2/models/{USE_CASE}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        assert b" 408 " in client.recv(1000)


def test_metrics_and_logs_say_what_was_answered_by_which_version(service, project):
    service.infer(example(service))
    _, metrics = service.ask("/metrics")
    text = metrics.decode()
    assert (
        f'version="{project.versions[1.0]}"' in text and 'modelgate_requests_total{route="infer",status="200"}' in text
    )
    lines = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert {"starts", "loaded", "request"} <= {line["event"] for line in lines}
    assert project.server.key not in service.log.read_text()


def test_audit_finds_no_difference_and_names_a_service_that_is_not_there(service, project):
    own = ("--deployed", f"http://127.0.0.1:{service.port}")
    assert project.step("audit", *own)["findings"] == []
    gone = project.step("audit", *own, f"http://127.0.0.1:{free_port()}")["findings"]
    assert [finding["name"] for finding in gone] == ["service_unreachable"]


# --- what it follows -------------------------------------------------------------------------------------------------


class Load:
    """Send requests without a pause, from threads; `end` returns each status and answer."""

    def __init__(self, service, threads=4):
        self.answers = []
        self._service, self._ended = service, threading.Event()
        rows = usecase.load_part(USE_CASE, "data").load(369, 200).x_eval.iloc[:10].ffill().bfill()
        self._body = example(service, **{name: rows[name].tolist() for name in rows})
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        while not self._ended.is_set():
            try:
                self.answers.append(self._service.infer(self._body))
            except OSError as error:
                self.answers.append((0, str(error)))

    def end(self):
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return self.answers


def followed_under_load(service, project, requests):
    """Promote another version and go back, both under at least this many requests; return the seconds of each."""
    load, seconds = Load(service), []
    try:
        for C, number in ((0.1, 1), (1.0, 0)):
            version = project.promote(C)
            began = time.monotonic()
            until(lambda number=number: service.ready["version"].endswith(f"v{number}"), f"{version} to answer", 30)
            seconds.append(time.monotonic() - began)
            count = requests * (2 - number) // 2
            until(lambda count=count: len(load.answers) >= count, f"{count} requests", 600)
    finally:
        answers = load.end()
    assert {status for status, _ in answers} == {200}
    # The two models answer differently: each answer is that of the version that it names.
    by_version = {}
    for _, response in answers:
        by_version.setdefault(response["parameters"]["version"], set()).add(tuple(response["outputs"][1]["data"]))
    assert by_version.keys() == set(project.versions.values())
    assert all(len(values) == 1 for values in by_version.values()) and len(set.union(*by_version.values())) == 2
    assert service.ready["problem"] is None
    print(f"{len(answers):,} requests; followed after {seconds} s")


def test_a_promotion_and_a_rollback_are_followed_under_load_and_no_request_fails(service, project):
    followed_under_load(service, project, 100)


@pytest.mark.prove
def test_of_ten_thousand_requests_none_fails_while_versions_are_swapped(service, project):
    followed_under_load(service, project, 10_000)


def test_a_version_that_does_not_verify_is_not_loaded_and_readiness_says_why(service, project):
    before = service.ready
    other = wandb.Api().artifact(project.linked(0.1))
    other.aliases.append("production")
    other.save()
    state = until(lambda: service.ready["problem"] and service.ready, "the problem")
    assert (state["ready"], state["version"], state["problem"]["name"]) == (True, before["version"], "moved_outside")
    assert service.infer(example(service))[1]["parameters"]["version"] == before["version"]
    assert b'modelgate_problem{name="moved_outside"} 1.0' in service.ask("/metrics")[1]
    version = wandb.Api().artifact(before["version"])
    version.aliases.append("production")
    version.save()
    until(lambda: service.ready["problem"] is None, "the end of it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda schema: schema.remove_columns(["mean_area"]), "was trained with the column 'mean_area', which SCHEMA "),
        (lambda schema: schema.add_columns({"hour": pa.Column(float)}), "declares the column 'hour', which "),
    ],
)
def test_a_version_of_other_columns_is_not_loaded_and_readiness_says_so_without_a_traceback(
    service, tmp_path, caplog, change, message
):
    settings, data = config.load(USE_CASE), usecase.load_part(USE_CASE, "data")
    changed = SimpleNamespace(CLASSES=data.CLASSES, SCHEMA=change(data.SCHEMA))
    follower = Follower(settings, settings.collection, changed, tmp_path, Metrics(), 0.02)
    follower.start()
    until(lambda: follower.problem, "the problem")
    follower.stop()
    assert follower.problem.name == "schema_changed" and message in str(follower.problem)
    assert follower.running is None and not [record for record in caplog.records if record.exc_info]


def test_while_a_problem_lasts_wandb_is_asked_less_and_less_often(project, tmp_path):
    times = []

    def connect():
        times.append(time.monotonic())
        raise StepError("unreachable", "W&B does not answer", "")

    settings = config.load(USE_CASE)
    data = usecase.load_part(USE_CASE, "data")
    follower = Follower(settings, settings.collection, data, tmp_path, Metrics(), 0.02, connect)
    follower.start()
    until(lambda: len(times) >= 5, "the fifth question")
    follower.stop()
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= wait for gap, wait in zip(gaps, (0.04, 0.08, 0.16, 0.32), strict=False))
    assert LONGEST_WAIT_S < 30


@pytest.fixture
def alone(service, project, tmp_path):
    """A service that starts with a copy of another service's cache, without W&B."""
    shutil.copytree(service.data, tmp_path / "kept")
    with project.serving(tmp_path / "kept", WANDB_BASE_URL=f"http://127.0.0.1:{free_port()}") as running:
        until(lambda: running.ready["ready"], "the copy")
        yield running


def test_without_wandb_it_begins_again_from_its_own_verified_copy(alone, service):
    status, answer = alone.infer(example(alone))
    assert (status, answer["parameters"]) == (200, service.infer(example(service))[1]["parameters"])
    assert alone.ready["from_disk"] and not service.ready["from_disk"]


def test_a_request_that_has_begun_is_answered_before_it_ends(alone):
    body = json.dumps(example(alone)).encode()
    head = f"POST /v2/models/{USE_CASE}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", alone.port), timeout=20) as client:
        client.sendall(head.encode() + body[:100])
        time.sleep(0.1)
        alone.process.terminate()
        until(lambda: not listens(alone.port), "the end of new requests")
        client.sendall(body[100:])
        assert client.recv(12) == b"HTTP/1.1 200"
    assert alone.process.wait(60) == 0


def test_a_copy_that_was_changed_is_not_loaded(service, tmp_path):
    shutil.copytree(service.data, tmp_path / "kept")
    folder = Folder(tmp_path / "kept", USE_CASE)
    cached = folder.read()
    assert cached is not None and cached.description["version"] == service.ready["version"]
    cached.model.write_bytes(cached.model.read_bytes() + b"x")
    with pytest.raises(StepError) as stopped:
        folder.read()
    assert stopped.value.name == "copy_changed"
    (folder.path / "record.json").write_text("{")
    with pytest.raises(StepError) as stopped:
        folder.read()
    assert stopped.value.name == "copy_unreadable"
    assert Folder(tmp_path / "nothing", USE_CASE).read() is None
