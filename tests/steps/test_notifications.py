"""
Each ledger entry is announced once, even after a kill; the next run sends what could not be sent.

    pytest tests/steps/test_notifications.py

The receiver is real, on a port of this machine, and so are SDK and server; GitHub is the fake in github.py.
"""

from __future__ import annotations

import json
import os
import signal

import pytest
import wandb
from wandb.errors import CommError

from modelgate.promotion import ledger, notifications
from tests.receiver import PATH, SECRET, Receiver, is_signed
from tests.steps.github import DEPLOYMENTS, RUN, TOKEN, approved, deployments, evidence
from tests.steps.policies import ROLLBACK

ADA = ("--approver", "ada")
DISPATCH_TOKEN = "github_pat_TheTokenThatNobodyMayRead"


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setattr(notifications, "PAUSES_S", (0.0, 0.0))
    running = Receiver()
    for name, value in variables(running).items():
        monkeypatch.setenv(name, value)
    yield running
    running.close()


def variables(receiver):
    address = {"URL": receiver.address, "SECRET": SECRET, "ALLOW": "http private"}
    return {f"PROMOTION_WEBHOOK_{name}": value for name, value in address.items()}


def list_unsent(workspace):
    """Return the unsent messages that audit lists."""
    return [(item["entry"], item["channel"]) for item in workspace.step("audit")["not_told"]]


def killed(workspace, evidence, wandb_env, people, moment):
    """Run promote in a process that is killed as soon as it calls a function of `notifications`."""
    program = (
        "import os, signal, sys\n"
        "from modelgate.promotion import notifications\n"
        f"notifications.{moment} = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from steps import promote\n"
        "promote.main(sys.argv[1:])\n"
    )
    flags = ("--use-case", "glyphs", "--evidence", evidence, *ADA, "--collection", workspace.collection)
    env = {**os.environ, **wandb_env, "WANDB_PROJECT": workspace.collection}
    done = people.run(program, *flags, env=env)
    assert done.returncode == -signal.SIGKILL, done.stderr


# --- once per entry --------------------------------------------------------------------------------------------------


def test_a_promotion_is_told_once_with_what_the_ledger_says(workspace, receiver):
    answer = workspace.promoted(0)
    assert answer["notifications"] == [{"entry": "v0", "channel": "webhook", "told": True}]
    again = workspace.step("promote", "--evidence", answer_evidence(workspace), *ADA)
    assert "notifications" not in again.result
    (received,) = receiver.received
    (entry,) = workspace.entries
    assert is_signed(received) and received.path == PATH
    assert received.json["type"] == "model.promoted"
    assert received.json["data"] == {
        "id": received.id,
        "use_case": "glyphs",
        "from": None,
        "to": {
            "name": f"{workspace.registry}:v0",
            "digest": workspace.version(0).digest,
            "sha256": entry.content["sha256"]["model"],
            "url": answer["url"],
        },
        "rollback": False,
        "ledger": {"entry": "v0", "sha256": entry.sha256},
        "approver": "ada",
        "reason": "",
        "time": entry.content["time"],
    }
    assert list_unsent(workspace) == []


def answer_evidence(workspace):
    return workspace.entries[-1].content["evidence"]["name"]


def test_a_rollback_is_told_as_one(workspace, receiver):
    workspace.promoted(0)
    workspace.promoted(1, 0)
    workspace.step("promote", "--evidence", workspace.evidence(0, 1, policy=ROLLBACK), *ADA, "--reason", "bad labels")
    messages = [received.json["data"] for received in receiver.received]
    assert [(data["to"]["name"][-2:], data["rollback"]) for data in messages] == [
        ("v0", False),
        ("v1", False),
        ("v0", True),
    ]
    assert (messages[2]["from"]["name"], messages[2]["reason"]) == (f"{workspace.registry}:v1", "bad labels")
    assert len(set(receiver.ids)) == 3


def test_a_promotion_where_nothing_is_set_up_owes_nothing_later(workspace, receiver, monkeypatch):
    with monkeypatch.context() as without:
        without.delenv("PROMOTION_WEBHOOK_URL")
        assert "notifications" not in workspace.promoted(0).result
    workspace.promoted(1, 0)
    assert [received.json["data"]["ledger"]["entry"] for received in receiver.received] == ["v1"]


# --- a kill ----------------------------------------------------------------------------------------------------------


def test_killed_between_ledger_and_call_the_next_run_tells_it_once(workspace, receiver, wandb_env, people):
    killed(workspace, workspace.evidence(0), wandb_env, people, "send_owed")
    assert receiver.received == [] and "production" in workspace.version(0).aliases
    assert list_unsent(workspace) == [("v0", "webhook")]
    answer = workspace.promoted(1, 0)
    assert [item["entry"] for item in answer["notifications"]] == ["v0", "v1"]
    assert [received.json["data"]["ledger"]["entry"] for received in receiver.received] == ["v0", "v1"]
    workspace.step("promote", "--evidence", answer_evidence(workspace), *ADA)
    assert len(receiver.received) == 2 and list_unsent(workspace) == []


def test_killed_after_the_call_it_is_told_again_with_the_same_id(workspace, receiver, wandb_env, people):
    name = workspace.evidence(0)
    killed(workspace, name, wandb_env, people, "_write_receipt")
    assert len(receiver.received) == 1
    workspace.step("promote", "--evidence", name, *ADA)
    assert len(receiver.received) == 2 and len(set(receiver.ids)) == 1
    workspace.step("promote", "--evidence", name, *ADA)
    assert len(receiver.received) == 2


# --- what fails ------------------------------------------------------------------------------------------------------


def test_a_receiver_that_fails_is_asked_again_and_fails_no_promotion(workspace, receiver, capfd):
    receiver.answers = [500]
    answer = workspace.promoted(0)
    assert answer.exit == 0 and "production" in workspace.version(0).aliases
    problem = {"entry": "v0", "channel": "webhook", "told": False, "problem": "it answered 500"}
    assert answer["notifications"] == [problem]
    assert "message not sent: entry v0 by webhook: it answered 500" in capfd.readouterr().err
    assert len(receiver.ids) == 3 and len(set(receiver.ids)) == 1  # three tries of one message
    assert list_unsent(workspace) == [("v0", "webhook")]
    receiver.answers = [200]
    workspace.promoted(1, 0)
    assert [received.json["data"]["ledger"]["entry"] for received in receiver.received[3:]] == ["v0", "v1"]


def test_what_one_of_two_entries_still_owes_survives_the_receipt_of_the_other(workspace, receiver):
    receiver.answers = [404, 200]
    workspace.promoted(0)
    receiver.answers = [404, 200]
    answer = workspace.promoted(1, 0)
    assert [item["told"] for item in answer["notifications"]] == [False, True]
    assert list_unsent(workspace) == [("v0", "webhook")]
    assert [item["entry"] for item in workspace.promoted(2, 1)["notifications"]] == ["v0", "v2"]
    assert list_unsent(workspace) == []


def test_no_secret_is_in_any_output_or_file(workspace, receiver, server, capfd, tmp_path):
    receiver.answers = [500]
    answer = workspace.promoted(0)
    receiver.answers = [302]
    answer_2 = workspace.promoted(1, 0)
    receiver.answers = [200]
    answer_3 = workspace.promoted(2, 1)
    audited = workspace.step("audit", "--verify", "--html", tmp_path / "page.html")
    captured = capfd.readouterr()
    results = json.dumps([answer.result, answer_2.result, answer_3.result, audited.result])
    entries = json.dumps([entry.content for entry in workspace.entries])
    folders = (tmp_path, server.data)
    written = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(written) > 10
    for secret in (PATH, SECRET, SECRET.removeprefix("whsec_"), "ThePathThatNobodyMayRead"):
        assert secret not in captured.out + captured.err + results + entries
        assert not [path for path in written if secret.encode() in path.read_bytes()]


# --- whose word counts -----------------------------------------------------------------------------------------------


@pytest.fixture
def written_by(monkeypatch):
    """Set who wrote the receipts and the entries according to W&B: `written_by(receipts="eve")`."""

    def say(receipts="local", entries="local"):
        monkeypatch.setattr(ledger, "find_writer", lambda *_: entries)
        monkeypatch.setattr(ledger, "find_account", lambda *_: receipts)

    return say


def receipt(workspace, run_id=None, **changes):
    """Log a receipt that says that everything was sent, in the run made for it if no other is given."""
    content = {"through": 0, "sha256": workspace.entries[0].sha256, "owed": {}, "told": []} | changes
    with wandb.init(project=workspace.collection, id=run_id or ledger.compute_run_id(content, "notification")) as run:
        artifact = wandb.Artifact("glyphs_notifications", type="notification")
        with artifact.new_file("receipt.json", mode="w") as file:
            json.dump(content, file)
        run.log_artifact(artifact).wait()


def test_a_receipt_of_another_account_silences_nothing(workspace, receiver, written_by):
    """Anyone who can write to the project can write a receipt."""
    receiver.answers = [500]
    workspace.promoted(0)
    written_by(receipts="eve")
    receipt(workspace)
    assert list_unsent(workspace) == [("v0", "webhook")]
    written_by()
    assert list_unsent(workspace) == []  # only the account was wrong


def test_a_receipt_in_another_run_of_the_account_that_promotes_silences_nothing(workspace, receiver):
    """Anyone who can write to the project can continue a run of someone else."""
    receiver.answers = [500]
    workspace.promoted(0)
    receipt(workspace, run_id="another-run")
    assert list_unsent(workspace) == [("v0", "webhook")]


def test_what_is_no_receipt_of_this_ledger_silences_nothing(workspace, receiver):
    receiver.answers = [500]
    workspace.promoted(0)
    for changes in ({"sha256": "0" * 64}, {"through": 7}, {"through": "0"}, {"owed": []}, {"owed": {"0": 5}}):
        receipt(workspace, **changes)
    assert list_unsent(workspace) == [("v0", "webhook")]
    receipt(workspace)
    assert list_unsent(workspace) == []


def test_a_planted_entry_tells_no_one(workspace, receiver, written_by):
    receiver.answers = [500]
    workspace.promoted(0)
    written_by(entries="eve")
    assert list_unsent(workspace) == []


def test_without_receipts_everything_is_told_again_with_the_same_ids(workspace, receiver):
    workspace.promoted(0)
    wandb.Api().artifact(f"local/{workspace.collection}/glyphs_notifications:v0").delete(delete_aliases=True)
    workspace.promoted(1, 0)
    first, again, second = receiver.ids
    assert first == again != second


def test_a_writer_that_cannot_be_asked_for_puts_off_the_telling_and_loses_nothing(workspace, receiver, monkeypatch):
    receiver.answers = [500]
    workspace.promoted(0)
    receiver.answers = [200]
    receiver.received.clear()

    def writer(api, entry, known=ledger.find_writer):
        if entry.number == 0:
            raise CommError("502 Bad Gateway")
        return known(api, entry)

    with monkeypatch.context() as failing:
        failing.setattr(ledger, "find_writer", writer)
        answer = workspace.promoted(1, 0)
    assert answer.exit == 0 and "could not be looked up in W&B" in answer["not_told"]
    assert receiver.received == []
    assert [item["entry"] for item in workspace.promoted(2, 1)["notifications"]] == ["v0", "v1", "v2"]


def test_a_promotion_that_notes_late_what_it_told_has_nothing_told_again(workspace, receiver):
    """Two promotions send messages at once, and the earlier entry's receipt is written last."""
    workspace.promoted(0)
    workspace.promoted(1, 0)
    receipt(workspace)
    assert list_unsent(workspace) == []


# --- GitHub ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def on_github(github, monkeypatch):
    monkeypatch.setattr(notifications, "PAUSES_S", (0.0, 0.0))
    github.answers[RUN] = [approved("bob")]
    github.answers |= deployments()
    return github


def promoted_on_github(workspace):
    name = workspace.evidence(0, github=evidence()["github"])
    return name, workspace.step("promote", "--evidence", name, "--approval", "github")


def test_the_deployment_gets_page_digest_and_entry_and_no_second_status(workspace, on_github, monkeypatch):
    monkeypatch.setattr(notifications, "_write_receipt", lambda *_: None)  # as if killed before the receipt
    name, answer = promoted_on_github(workspace)
    (entry,) = workspace.entries
    ((path, body, token),) = on_github.posted
    assert (path, token) == (f"{DEPLOYMENTS}/8/statuses", f"Bearer {TOKEN}")
    digest = workspace.version(0).digest
    assert body["description"].startswith(f"digest {digest}, ledger entry v0 ({entry.sha256[:12]}), ")
    assert len(body["description"]) <= 140
    assert (body["state"], body["environment_url"]) == ("success", answer["url"])
    assert body["log_url"] == entry.content["workflow_run"]
    assert answer["notifications"] == [{"entry": "v0", "channel": "deployment", "told": True}]
    on_github.answers[f"{DEPLOYMENTS}/8/statuses"].append(body)
    assert workspace.step("promote", "--evidence", name, "--approval", "github")["notifications"][0]["told"]
    assert len(on_github.posted) == 1


def test_what_github_refuses_fails_no_promotion_and_shows_no_token(workspace, on_github, monkeypatch, capfd):
    monkeypatch.setenv("PROMOTION_DISPATCH_REPOSITORY", "team/consumer")
    monkeypatch.setenv("PROMOTION_DISPATCH_TOKEN", DISPATCH_TOKEN)
    on_github.refuses_posts = 403
    _, answer = promoted_on_github(workspace)
    assert answer.exit == 0 and "production" in workspace.version(0).aliases
    problems = [item["problem"] for item in answer["notifications"]]
    assert "answered 403 to POST /repos/team/models/deployments/8/statuses" in problems[0]
    assert "answered 403 to POST /repos/team/consumer/dispatches" in problems[1]
    assert list_unsent(workspace) == [("v0", "deployment"), ("v0", "dispatch")]
    captured = capfd.readouterr()
    texts = (captured.out, captured.err, json.dumps([answer.result, workspace.entries[0].content]))
    assert not [text for text in texts if DISPATCH_TOKEN in text or TOKEN in text]


# --- two models ------------------------------------------------------------------------------------------------------


def test_two_use_cases_in_one_project_do_not_silence_each_other(workspace, receiver, collection):
    """Their ledgers and receipts are separate, although they share a project."""
    receiver.answers = [500]
    workspace.promoted(0)
    other = {**workspace.entries[0].content, "reason": "of another use case"}
    with wandb.init(project=collection, id=ledger.compute_run_id(other)) as run:
        ledger.append(run, "cells", other)
    ledger_name = f"local/{collection}/cells_promotions"
    entries = ledger.read(wandb.Api(), ledger_name)
    receiver.answers = [200]
    outcomes = notifications.send_owed(wandb.Api(), [ledger_name], entries, workspace.registry, "cells", "production")
    assert [outcome.problem for outcome in outcomes] == [None]
    assert receiver.received[-1].json["data"]["use_case"] == "cells"
    assert notifications.list_owed(wandb.Api(), [ledger_name], entries, workspace.registry) == []
    assert list_unsent(workspace) == [("v0", "webhook")]
    assert receiver.ids[0] != receiver.ids[-1]
