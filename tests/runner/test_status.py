"""What `python -m runner status` prints: what is in production, what waits, and which W&B was asked.

python -m pytest tests/runner/test_status.py
"""

from __future__ import annotations

import re

from .conftest import VERSION, Checkout

PROMOTED = {"to": {"name": VERSION}, "approver": "ada", "time": "2026-11-23T14:00:00Z", "state": "applied"}


def test_status_tells_what_is_in_production_and_what_waits(checkout: Checkout) -> None:
    assert "Nothing has run here yet" in checkout.runner("status")[1]
    checkout.runner("run", "--use-case", "glyphs")
    code, output = checkout.runner("status")
    assert code == 0
    assert "production of glyphs: nothing yet" in output
    assert f"waits for an approval: {VERSION}" in output
    assert "verdict pass" in output
    assert f"last on port {checkout.port()}" in output
    assert "audit says this on standard error" not in output
    checkout.runner("approve", APPROVE="ada")
    unsent = {"not_told": [{"entry": "v3", "channel": "webhook"}]}
    checkout.behave(audit={"result": {"registry": {"production": VERSION}, "entries": [PROMOTED]} | unsent})
    output = checkout.runner("status")[1]
    assert f"production of glyphs: {VERSION}, approved by ada at 2026-11-23T14:00:00Z" in output
    assert "message not sent yet: entry v3 through webhook; the next promotion sends it" in output
    assert "waits for an approval: nothing" in output
    assert checkout.everything_ended()


def test_status_says_why_the_last_run_stopped_and_offers_only_what_can_succeed(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    first = {"name": "no_previous_version", "message": "there is none before it", "hint": "h"}
    checkout.behave(evaluate={"error": first, "exit": 2})
    assert checkout.runner("rollback", APPROVE="ada")[0] == 2
    last = checkout.runner("status")[1].splitlines()[-2]
    assert re.sub("at 2.* UTC", "at T", last) == (
        "last run: rollback of glyphs, started at T, stopped at evaluate: there is none before it"
    )
    checkout.behave(train={"error": {"name": "x", "message": "no memory", "hint": ""}, "exit": 1})
    checkout.runner("run", "--use-case", "glyphs")
    output = checkout.runner("status")[1]
    assert "UTC, stopped at train: no memory   (to try again: make run USE_CASE=glyphs)\n" in output


def test_status_names_what_the_registry_says_now_and_that_the_ledger_does_not_know_it(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    moved = VERSION.replace("v3", "v1")
    checkout.behave(audit={"result": {"registry": {"production": moved}, "entries": [PROMOTED]}})
    code, output = checkout.runner("status")
    assert code == 0
    assert f"production of glyphs: {moved}, moved by hand: the last promotion was of glyphs-dev:v3" in output
    checkout.behave(audit={"result": {"registry": {"production": moved}, "entries": []}})
    assert f"production of glyphs: {moved}, moved by hand: the ledger has no promotion" in checkout.runner("status")[1]


def test_status_that_cannot_ask_says_so_and_what_was_seen_last(checkout: Checkout) -> None:
    checkout.runner("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.behave(audit={"error": {"name": "x", "message": "the disk is full", "hint": "free some"}, "exit": 3})
    code, output = checkout.runner("status")
    assert code == 3
    assert f"production of glyphs: {VERSION}, when last seen at 2" in output
    assert "not asked now" in output and "W&B could not be reached: the disk is full\nhint: free some\n" in output
    checkout.behave(server={"says": "no space left", "exit": 2})
    code, output = checkout.runner("status")
    assert (code, f"production of glyphs: {VERSION}, when last seen at 2" in output) == (3, True)


def test_status_of_ones_own_wandb_is_asked_there_alone(checkout: Checkout) -> None:
    own = {"WANDB": "own", "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "k"}
    checkout.runner("run", "--use-case", "glyphs", "--yes", APPROVE="ada", **own)
    code, output = checkout.runner("status")
    assert code == 0
    assert f"{VERSION}, when last seen in the W&B at http://127.0.0.1:9 at 2" in output
    assert "make status WANDB=own asks it" in output
    checkout.behave(audit={"result": {"registry": {"production": VERSION}, "entries": [PROMOTED]}})
    code, output = checkout.runner("status", **own)
    assert (code, "approved by ada at 2026-11-23" in output) == (0, True)
    assert checkout.call("audit")["env"]["WANDB_BASE_URL"] == "http://127.0.0.1:9"
    assert "server" not in [call["name"] for call in checkout.calls()]


def test_status_beside_a_run_asks_the_server_that_is_running(checkout: Checkout) -> None:
    checkout.behave(train={"until": "asked"})
    runner = checkout.start("run", "--use-case", "glyphs", APPROVE="ada")
    checkout.wait_for("train")
    code, output = checkout.runner("status")
    assert code == 0
    assert "is running" in output and f"server: http://127.0.0.1:{checkout.port()}" in output
    checkout.say("asked")
    assert runner.wait(120) == 0
    assert len(checkout.pids("server")) == 1
