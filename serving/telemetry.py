"""Report to the operator of the service: metrics in Prometheus's format, and log lines as JSON objects."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

LOGGER = logging.getLogger("serving")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def create(kind: Any, name: str, text: str, labels: tuple[str, ...] = (), **more: Any) -> Any:
            return kind(f"modelgate_{name}", text, labels, registry=self.registry, **more)

        self.requests = create(Counter, "requests", "Requests by route and status", ("route", "status"))
        self.seconds = create(Histogram, "request_seconds", "How long requests took", ("route",), buckets=_SECONDS)
        self.rows = create(Counter, "rows", "Rows that were answered")
        self.swaps = create(Counter, "swaps", "How often a version replaced another")
        self.running = create(
            Gauge, "running_info", "The version that answers, as labels", ("version", "ledger_entry", "sha256")
        )
        self.problem = create(Gauge, "problem", "1 for the problem that keeps a version from being loaded", ("name",))
        self.asked = create(Gauge, "wandb_answered_timestamp_seconds", "When W&B last answered")

    def set_running(self, description: Mapping[str, Any]) -> None:
        """Record that a version answers from now on."""
        self.running.clear()
        self.running.labels(description["version"], description["ledger_entry"], description["sha256"]).set(1)

    def has_problem(self, name: str | None) -> None:
        """Record why the version in production cannot be loaded; None if it is loaded."""
        self.problem.clear()
        if name:
            self.problem.labels(name).set(1)

    def render(self) -> bytes:
        """Return all metrics in the format of a collector."""
        return generate_latest(self.registry)


class _Lines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(entry, default=str)


def log_as_json() -> None:
    """Write all logs of this process, including uvicorn's own, as such lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOGGER.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)


def log(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Write a log line. error: an exception whose traceback belongs to it."""
    LOGGER.log(level, event, extra={"fields": fields}, exc_info=error)
