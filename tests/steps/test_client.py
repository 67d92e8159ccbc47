"""
If W&B is not reachable or rejects the key, a step says so before it begins anything.

    pytest tests/steps/test_client.py
"""

from __future__ import annotations

import socket
import threading

import pytest
import wandb
from wandb.errors import CommError
from wandb.proto.wandb_api_pb2 import ApiErrorResponse
from wandb.sdk.lib.service.service_connection import WandbApiFailedError

from modelgate.errors import UNREACHABLE, WRONG_USE, StepError
from modelgate.tracking import client


@pytest.mark.parametrize("key", ["0" * 40, None], ids=["nobody's", "none"])
def test_a_key_that_w_and_b_does_not_take(step, monkeypatch, key):
    monkeypatch.delenv("WANDB_API_KEY")
    if key:
        monkeypatch.setenv("WANDB_API_KEY", key)
    with pytest.raises(StepError) as stopped:
        step("audit")
    assert (stopped.value.name, stopped.value.exit_code) == ("key_refused", WRONG_USE)


def test_a_key_that_names_nobody(step, monkeypatch):
    """This is W&B's answer for an account without an entity; the embedded server gives every account one."""
    monkeypatch.setattr(wandb.Api, "default_entity", None)
    with pytest.raises(StepError) as stopped:
        step("audit")
    assert (stopped.value.name, stopped.value.exit_code) == ("key_refused", WRONG_USE)


def test_a_host_that_is_not_there(step, monkeypatch):
    monkeypatch.setattr(client, "REACH_TIMEOUT_S", 0.2)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{probe.getsockname()[1]}")
        with pytest.raises(StepError) as stopped:
            step("audit")
    assert (stopped.value.name, stopped.value.exit_code) == ("wandb_unreachable", UNREACHABLE)


def test_a_host_that_comes_back_after_six_seconds_is_waited_for_and_said(capsys):
    """This is longer than a restart of the server, and longer than the SDK's own check would wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        back = threading.Timer(6, listener.listen)
        back.start()
        client._require_host(f"http://127.0.0.1:{listener.getsockname()[1]}")
        back.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waiting for W&B at http://127.0.0.1:") and "at most 20 s" in line


def test_a_host_that_answers_at_once_is_not_said_to_be_waited_for(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client._require_host(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert capsys.readouterr().err == ""


class Failing:
    """W&B while it fails: the SDK gets the error at once, without minutes of retries."""

    default_entity = "local"

    def artifact(self, _):
        raise CommError("502 Server Error: Bad Gateway")

    def init(self, **_):
        raise CommError("Run initialization has timed out after 90.0 sec.")


def test_a_version_that_cannot_be_asked_for_is_not_taken_for_absent():
    with pytest.raises(StepError) as stopped:
        client.find_production(Failing(), "local-org/wandb-registry-model/glyphs-dev")
    assert (stopped.value.name, stopped.value.exit_code) == ("wandb_failed", UNREACHABLE)


def loading(error):
    """Wrap an error as the SDK does while it loads a registry."""
    wrapped = ValueError("Failed to load registry 'model' in organization 'local-org'.")
    wrapped.__cause__ = error
    return wrapped


def registry_and_admins(error, monkeypatch):
    """Return the result of an error of the SDK about a registry."""

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(Failing, "registry", refuse, raising=False)
    return [
        lambda: client.find_registry(Failing(), "wandb-registry-model"),
        lambda: client.list_admins(Failing(), "local-org/wandb-registry-model/glyphs-dev"),
    ]


BAD_GATEWAY = WandbApiFailedError("502 Bad Gateway", ApiErrorResponse(message="Bad Gateway", http_status=502))


@pytest.mark.parametrize(
    "error",
    [
        BAD_GATEWAY,
        loading(BAD_GATEWAY),
        CommError("Bad Gateway", BAD_GATEWAY),
        WandbApiFailedError("no answer within 10 s"),
        RuntimeError("api.registry() is not enabled on this wandb server version."),
    ],
)
def test_a_registry_that_cannot_be_asked_for_is_not_taken_for_absent(monkeypatch, error):
    for ask in registry_and_admins(error, monkeypatch):
        with pytest.raises(StepError) as stopped:
            ask()
        assert (stopped.value.name, stopped.value.exit_code) == ("wandb_failed", UNREACHABLE)


REFUSED = WandbApiFailedError("permission denied", ApiErrorResponse(message="permission denied", http_status=403))


@pytest.mark.parametrize("error", [REFUSED, loading(REFUSED), ValueError("No organizations found for entity.")])
def test_a_registry_that_this_key_may_not_see_is_none(monkeypatch, error):
    registry, admins = (ask() for ask in registry_and_admins(error, monkeypatch))
    assert (registry, admins) == (None, frozenset())


def test_a_registry_that_is_not_there_is_none(step):
    api = wandb.Api()
    assert client.find_registry(api, "wandb-registry-nowhere") is None
    assert client.list_admins(api, "local-org/wandb-registry-nowhere/glyphs-dev") == frozenset()
    assert client.find_registry(api, "wandb-registry-model") == "local-org/wandb-registry-model"
    assert client.find_registry(api, "model-registry") == "local/model-registry"


def test_a_run_that_does_not_start_in_time_is_not_called_refused(monkeypatch):
    monkeypatch.setattr(wandb, "init", Failing().init)
    with pytest.raises(StepError) as stopped, client.start_run(Failing(), "promote_model", "p", "glyphs", {}):
        pass
    assert (stopped.value.name, stopped.value.exit_code) == ("wandb_failed", UNREACHABLE)
