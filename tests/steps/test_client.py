"""
W&B that is not there, or does not take the key: named before a step has begun anything.

    pytest tests/steps/test_client.py
"""

from __future__ import annotations

import socket

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
