"""
A pytest plugin that takes the gate's rules out, one at a time, and wants the test that is named after it to go red.

All is done in one process: the rules of each kind are looked up when a model is judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelgate.gate import rules

KINDS = ("SANITY", "LEAKS", "SUPPORT", "QUALITY")
BY_POLICY = ("HISTORY", "COMPARISON")
failed: list[str] = []


def names() -> list[str]:
    """Every rule of the gate."""
    some = [getattr(rules, kind) for kind in KINDS]
    some += [of_policy for kind in BY_POLICY for of_policy in getattr(rules, kind).values()]
    return sorted({rule.__name__ for of_kind in some for rule in of_kind})


@contextmanager
def taken_out(name: str) -> Iterator[None]:
    """The gate does not have this rule."""

    def without(some: tuple[rules.Rule, ...]) -> tuple[rules.Rule, ...]:
        return tuple(rule for rule in some if rule.__name__ != name)

    with pytest.MonkeyPatch.context() as patch:
        for kind in KINDS:
            patch.setattr(rules, kind, without(getattr(rules, kind)))
        for kind in BY_POLICY:
            patch.setattr(rules, kind, {policy: without(some) for policy, some in getattr(rules, kind).items()})
        yield


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        failed.append(report.nodeid)


def goes_red(item: pytest.Item) -> bool:
    failed.clear()
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return bool(failed)


def pytest_runtestloop(session: pytest.Session) -> bool:
    for name in names():
        own = [item for item in session.items if item.name.startswith(f"test_{name}_refuses")]
        with_it = sum(map(goes_red, own))
        with taken_out(name):
            without_it = sum(map(goes_red, own))
        print(f"{name}: {with_it} red with it, {without_it} without")
    session.testsfailed = 0
    return True
