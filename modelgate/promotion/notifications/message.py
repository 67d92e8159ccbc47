"""Build the message about a promotion: one message per entry of the ledger, as JSON and in the formats
of Slack and Teams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelgate.promotion.ledger import Entry
from modelgate.text import shorten_name, to_line

EVENT = "model-promoted"
_PAGE = re.compile(r"https?://[\w.:/?&=%~#+-]{1,500}", re.ASCII)


@dataclass(frozen=True)
class Message:
    """
    A promotion to send. page: where W&B shows the version, or nothing. environment: the one on GitHub.

    Its id comes from the entry's hash, so the same promotion always has the same id.
    """

    use_case: str
    entry: Entry
    page: str
    environment: str

    @property
    def id(self) -> str:
        return f"promotion_{self.entry.sha256[:32]}"

    @property
    def link(self) -> str:
        """Return the page if it is an address that can be part of a text; empty otherwise."""
        return self.page if _PAGE.fullmatch(self.page) else ""

    def as_json(self) -> dict[str, Any]:
        """Return the message with nine keys: GitHub accepts at most ten in the payload of a `repository_dispatch`."""
        content = self.entry.content
        return {
            "id": self.id,
            "use_case": self.use_case,
            "from": content["from"],
            "to": {**content["to"], "sha256": (content.get("sha256") or {}).get("model"), "url": self.link},
            "rollback": self.is_rollback,
            "ledger": {"entry": f"v{self.entry.number}", "sha256": self.entry.sha256},
            "approver": to_line(content["approver"]),
            "reason": to_line(content["reason"]),
            "time": content["time"],
        }

    @property
    def is_rollback(self) -> bool:
        policy = self.entry.content.get("policy")
        return isinstance(policy, dict) and policy.get("name") == "rollback"

    def format_lines(self) -> list[str]:
        """Return the same for people."""
        content = self.entry.content
        before = f", in place of {content['from']['name'].rpartition(':')[2]}" if content["from"] else ""
        action = "rolled back to" if self.is_rollback else "promoted"
        lines = [
            f"{self.use_case}: {action} {shorten_name(content['to']['name'])}{before}",
            f"approved by {content['approver']}, ledger entry v{self.entry.number}, digest {content['to']['digest']}",
        ]
        return [to_line(line) for line in (*lines, content["reason"]) if line]


def to_event(message: Message) -> dict[str, Any]:
    """Return it in the format of Standard Webhooks."""
    return {"type": EVENT.replace("-", "."), "timestamp": message.entry.content["time"], "data": message.as_json()}


def to_slack(message: Message) -> dict[str, Any]:
    """Return it for an incoming webhook of Slack. With these three characters escaped, a text cannot mention anyone or
    link anywhere.
    """
    text = "\n".join(message.format_lines())
    for char, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(char, name)
    return {"text": f"{text}\n<{message.link}|the version in W&amp;B>" if message.link else text}


def to_teams(message: Message) -> dict[str, Any]:
    """Return it for a webhook of Teams: an Adaptive Card, whose text runs do not support Markdown."""
    runs = [[{"type": "TextRun", "text": line}] for line in message.format_lines()]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "RichTextBlock", "inlines": run} for run in runs],
    }
    if message.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "The version in W&B", "url": message.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
    return {"type": "message", "attachments": [attachment]}


TEMPLATES: Mapping[str, Callable[[Message], dict[str, Any]]] = {"": to_event, "slack": to_slack, "teams": to_teams}
