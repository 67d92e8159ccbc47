"""
Send messages about a promotion, once per entry of the ledger.

An entry names the channels for its messages, so the next run of promote, and audit, know which messages a killed
promotion did not send. Receipts record what was sent: an artifact next to the ledger, which only the account that
promotes may write to. The newest receipt says up to which entry everything was sent, and what is still owed before it.

A message is sent first and recorded after that. If promote is killed in between, it is sent again with the same id, so
that the receiver can drop the second one. A failed message never fails a promotion.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgate.errors import UNREACHABLE, StepError
from modelgate.promotion import ledger
from modelgate.promotion.approval import job
from modelgate.promotion.ledger import Entry, Promoters
from modelgate.promotion.notifications import github, webhook
from modelgate.promotion.notifications.message import Message
from modelgate.promotion.notifications.untold import Untold
from modelgate.tracking import client, files
from modelgate.tracking.references import Reference

if TYPE_CHECKING:
    import wandb
    from wandb import Artifact

ARTIFACT_TYPE = "notification"
FILE = "receipt.json"
MAX_BYTES = 1_000_000
CHANNELS: Mapping[str, Callable[[Message], None]] = {
    "deployment": github.set_status,
    "dispatch": github.dispatch,
    "webhook": webhook.send,
}
PAUSES_S = (1.0, 4.0)  # before a message is sent again
ALL_S = 180.0  # for all messages of a run; the next run sends the rest
_LOOK_AT = 20  # receipts; those of an account that does not promote are skipped
_AT_ONCE = 2  # promotions that send messages at the same time


@dataclass(frozen=True)
class Owed:
    """A message to send: an entry and a channel."""

    entry: Entry
    channel: str


@dataclass(frozen=True)
class Outcome:
    """What became of a message. problem: why it was not sent; None if it was."""

    owed: Owed
    problem: str | None

    def as_json(self) -> dict[str, Any]:
        is_sent = self.problem is None
        return {"entry": f"v{self.owed.entry.number}", "channel": self.owed.channel, "told": is_sent} | (
            {} if is_sent else {"problem": self.problem}
        )


@dataclass(frozen=True)
class _Receipt:
    """Everything up to the entry `through` was sent, except what `owed` names: entry numbers to channels."""

    through: int = -1
    owed: Mapping[str, Sequence[str]] = field(default_factory=dict)


def list_channels() -> dict[str, Any]:
    """Return what an entry records about messages: the channels that are set up now, and the workflow run; empty
    without any.
    """
    on_github = job.is_on_github()
    channels = {
        "deployment": on_github,
        "dispatch": on_github and bool(os.environ.get(github.REPOSITORY)),
        "webhook": bool(os.environ.get(webhook.URL)),
    }
    enabled = [channel for channel, is_set_up in channels.items() if is_set_up]
    return {"notify": enabled, "workflow_run": github.find_workflow_run()} if enabled else {}


def list_owed(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], collection: str, accounts: Collection[str] = ()
) -> list[Owed]:
    """
    Return what was not sent yet, the oldest first.

    ledgers: from `ledger.find_names`. collection: in the registry whose admins may promote. accounts: others that may
    promote. Entries and receipts of anyone else do not count.
    """
    naming = [entry for entry in ledger.list_promotions(entries) if entry.content.get("notify")]
    if not naming:
        return []
    promoters = ledger.find_promoters(api, collection, accounts)
    receipt = _find_newest_receipt(api, ledgers, entries, promoters)
    unsent = [(entry, list(_list_owed_channels(entry, receipt))) for entry in naming]
    return [
        Owed(entry, channel)
        for entry, channels in unsent
        if channels and promoters.has_written(entry)
        for channel in channels
    ]


def send_owed(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], collection: str, use_case: str, environment: str
) -> list[Outcome]:
    """Send what is owed, and record what was sent. Raise StepError `not_told` if W&B cannot be asked what is owed."""
    try:
        items = list_owed(api, ledgers, entries, collection, [client.get_account(api)])
        outcomes = _send_owed(api, items, use_case, environment)
    except Exception as error:
        raise StepError(
            "not_told",
            f"the pending messages could not be looked up in W&B: {_describe_error(error)}",
            "the next promotion sends them",
        ) from None
    try:
        _write_receipt(api, ledgers, entries, use_case, outcomes)
    except Exception as error:
        problem = f"it was sent, but W&B could not record that: {_describe_error(error)}"
        return [replace(outcome, problem=outcome.problem or problem) for outcome in outcomes]
    return outcomes


def _send_owed(api: wandb.Api, items: Sequence[Owed], use_case: str, environment: str) -> list[Outcome]:
    deadline = time.monotonic() + ALL_S
    down: dict[str, str] = {}  # channels that do not answer, and why; the rest of their messages can wait
    outcomes = []
    for item in items:
        problem: str | None = down.get(item.channel)
        if problem is None:
            message = Message(use_case, item.entry, _find_page(api, item.entry), environment)
            problem, again = _send_with_retries(CHANNELS[item.channel], message, deadline)
            if problem and again:
                down[item.channel] = problem
        outcomes.append(Outcome(item, problem))
    return outcomes


def _write_receipt(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], use_case: str, outcomes: Sequence[Outcome]
) -> None:
    """Write the receipt of what was sent, if anything was. The rest stays owed."""
    if not any(outcome.problem is None for outcome in outcomes):
        return
    import wandb

    last = ledger.list_promotions(entries)[-1]
    left: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.problem is not None:
            left.setdefault(str(outcome.owed.entry.number), []).append(outcome.owed.channel)
    content = {"through": last.number, "sha256": last.sha256, "owed": left, "time": ledger.format_now()}
    content["told"] = [outcome.as_json() for outcome in outcomes if outcome.problem is None]
    _, project, name = _list_names(ledgers)[0].split("/")
    run_config, run_id = {"entry": last.version}, ledger.compute_run_id(content, ARTIFACT_TYPE)
    with client.start_run(api, "notify", project, use_case, run_config, run_id) as run:
        artifact = wandb.Artifact(name, type=ARTIFACT_TYPE)
        with artifact.new_file(FILE, mode="w", encoding="utf-8") as file:
            json.dump(content, file)
        client.log(run, artifact, ["latest"])


def _describe_error(error: Exception) -> str:
    """Return what may be printed about an error: its message if it is ours, otherwise its type, because the message may
    contain an address.
    """
    return str(error) if isinstance(error, StepError) else type(error).__name__


def _send_with_retries(send: Callable[[Message], None], message: Message, deadline: float) -> tuple[str | None, bool]:
    """Send the message. Return why it was not sent, or None; and whether a later try could help."""
    for pause in (*PAUSES_S, None):
        if time.monotonic() > deadline:
            return "there was no time left in this run", True
        try:
            send(message)
        except Untold as error:
            problem, again = error.reason, error.again
        except Exception as error:  # the promotion is done, whatever goes wrong here
            problem, again = _describe_error(error), isinstance(error, StepError) and error.exit_code == UNREACHABLE
        else:
            return None, False
        if not again or pause is None:
            break
        time.sleep(pause)
    return problem, again


def _find_page(api: wandb.Api, entry: Entry) -> str:
    """Return where W&B shows the version; empty if it is gone."""
    try:
        version = client.find(api, entry.content["to"]["name"])
        return client.get_page(version) if version else ""
    except StepError:
        return ""


# --- receipts --------------------------------------------------------------------------------------------------------


def _list_owed_channels(entry: Entry, receipt: _Receipt) -> Iterator[str]:
    for channel in entry.content["notify"]:
        left = receipt.owed.get(str(entry.number), ())
        if channel in CHANNELS and (entry.number > receipt.through or channel in left):
            yield channel


def _list_names(ledgers: Sequence[str]) -> list[str]:
    """Return where the receipts are, next to the ledger: `entity/project/<use_case>_notifications`."""
    return [f"{name.removesuffix('_promotions')}_notifications" for name in ledgers]


def _find_newest_receipt(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], promoters: Promoters
) -> _Receipt:
    """Return the receipt that goes furthest among the last few: of two simultaneous promotions, the earlier one may
    write last.
    """
    newest = islice(_read_receipts(api, ledgers, entries, promoters), _AT_ONCE)
    return max(newest, key=lambda receipt: receipt.through, default=_Receipt())


def _read_receipts(
    api: wandb.Api, ledgers: Sequence[str], entries: Sequence[Entry], promoters: Promoters
) -> Iterator[_Receipt]:
    """Return the receipts that count, newest first."""
    hashes = {entry.number: entry.sha256 for entry in entries}
    for name in _list_names(ledgers):
        for version in islice(client.list_versions(api, ARTIFACT_TYPE, name), _LOOK_AT):
            content = _read_receipt(version)
            if content is None or hashes.get(content["through"]) != content.get("sha256"):
                continue
            run_id = ledger.compute_run_id(content, ARTIFACT_TYPE)
            if promoters.has_logged(str(Reference.pin(version)), run_id):
                yield _Receipt(content["through"], content["owed"])


def _read_receipt(version: Artifact) -> dict[str, Any] | None:
    """Return the receipt in a version, if it is one."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            content = json.loads(files.fetch(version, FILE, Path(folder), MAX_BYTES).path.read_bytes())
    except (files.FileRefused, ValueError, RecursionError):
        return None
    if (
        not isinstance(content, dict)
        or not isinstance(content.get("owed"), dict)
        or type(content.get("through")) is not int
    ):
        return None
    return content if all(isinstance(channels, list) for channels in content["owed"].values()) else None
