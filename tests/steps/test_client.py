"""
W&B that is not there, or does not take the key: named before a step has begun anything.

    pytest tests/steps/test_client.py
"""

from __future__ import annotations

import socket
import threading

import pytest
import wandb
from wandb.errors import CommError

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
    """W&B's own answer for an account without an entity; the embedded server gives everybody one."""
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
    """Longer than a server takes that is started again, and longer than what the SDK's own check would wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        back = threading.Timer(6, listener.listen)
        back.start()
        client._require_host(f"http://127.0.0.1:{listener.getsockname()[1]}")
        back.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("waiting for W&B at http://127.0.0.1:") and "20 s at most" in line


def test_a_host_that_answers_at_once_is_not_said_to_be_waited_for(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client._require_host(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert capsys.readouterr().err == ""


class Failing:
    """W&B while it fails: what it says to the SDK at once, without the minutes in which the SDK tries again."""

    default_entity = "local"

    def artifact(self, _):
        raise CommError("502 Server Error: Bad Gateway")

    def init(self, **_):
        raise CommError("Run initialization has timed out after 90.0 sec.")


def test_a_version_that_cannot_be_asked_for_is_not_taken_for_absent():
    with pytest.raises(StepError) as stopped:
        client.production(Failing(), "local-org/wandb-registry-model/glyphs-dev")
    assert (stopped.value.name, stopped.value.exit_code) == ("wandb_failed", UNREACHABLE)


def test_a_run_that_does_not_start_in_time_is_not_called_refused(monkeypatch):
    monkeypatch.setattr(wandb, "init", Failing().init)
    with pytest.raises(StepError) as stopped, client.run(Failing(), "promote_model", "glyphs", {}):
        pass
    assert (stopped.value.name, stopped.value.exit_code) == ("wandb_failed", UNREACHABLE)
