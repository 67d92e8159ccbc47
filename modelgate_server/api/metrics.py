"""
Count what clients have requested since the server started: how often each operation was answered, and what was refused
because the server does not support it.

The counts are kept in memory. Clients may invent names, so the number of counted names is limited.
"""

import threading
from dataclasses import dataclass, replace

from modelgate_server.settings import MAX_METRIC_CHARS, MAX_METRICS
from modelgate_server.store.db import format_now


@dataclass(frozen=True)
class Count:
    """
    `refused` is the reason as the answer states it, empty for an operation that was answered; `client` is the last one.
    """

    operation: str
    refused: str
    client: str
    times: int
    first: str
    last: str


class Metrics:
    def __init__(self) -> None:
        self.since = format_now()
        self._counts: dict[tuple[str, str], Count] = {}
        self._lock = threading.Lock()

    def count_answer(self, operation: str, client: str) -> None:
        self._add(operation, "", client)

    def count_refusal(self, operation: str, reason: str, client: str) -> None:
        self._add(operation, reason[:MAX_METRIC_CHARS], client)

    def _add(self, operation: str, reason: str, client: str) -> None:
        key, moment = (operation[:MAX_METRIC_CHARS], reason), format_now()
        with self._lock:
            if key not in self._counts and len(self._counts) >= MAX_METRICS:
                return
            before = self._counts.get(key) or Count(*key, "", 0, moment, moment)
            self._counts[key] = replace(before, client=client[:MAX_METRIC_CHARS], times=before.times + 1, last=moment)

    def list_counts(self) -> list[Count]:
        """Return the counts by name, refused ones first."""
        with self._lock:
            return sorted(self._counts.values(), key=lambda count: (not count.refused, count.operation, count.refused))
