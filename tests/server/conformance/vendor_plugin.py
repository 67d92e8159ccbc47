"""
Loaded by pytest into a run of W&B's own tests, which it leaves as they are: it tells them where the server is, and
writes down what became of each test. It lies next to a copy of them and imports nothing of this project.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.system_tests import backend_fixtures  # type: ignore[import-not-found]


class Address(backend_fixtures.LocalWandbBackendAddress):
    @property
    def base_url(self) -> str:
        return os.environ["CONFORMANCE_SERVER"]

    @property
    def fixture_service_url(self) -> str:
        return os.environ["CONFORMANCE_FIXTURES"]


def connect(name: str = "") -> Address:
    host, _, port = os.environ["CONFORMANCE_SERVER"].removeprefix("http://").partition(":")
    return Address(host, int(port), 0)


backend_fixtures.connect_to_local_wandb_backend = connect


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _note(report.nodeid, report.outcome, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _note(report.nodeid, "failed", report.longrepr)


def _note(test: str, outcome: str, cause: Any) -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # the worker's reports come to the controller
    if isinstance(cause, tuple):  # a skipped test's file, line and reason
        text = cause[2]
    else:
        crash = getattr(cause, "reprcrash", None)
        text = crash.message if crash else str(cause or "")
    with Path(os.environ["CONFORMANCE_RESULTS"]).open("a") as results:
        results.write(json.dumps({"test": test, "outcome": outcome, "cause": text}) + "\n")
