"""A pytest plugin that takes one rule, named by WITHOUT_RULE, out of the gate before the tests are collected."""

from __future__ import annotations

import os

from modelgate.gate import rules

name = os.environ["WITHOUT_RULE"]


def without(rules: tuple[rules.Rule, ...]) -> tuple[rules.Rule, ...]:
    return tuple(rule for rule in rules if rule.__name__ != name)


rules.LEAKS = without(rules.LEAKS)
rules.SANITY, rules.SUPPORT, rules.QUALITY = map(without, (rules.SANITY, rules.SUPPORT, rules.QUALITY))
rules.HISTORY = {policy: without(some) for policy, some in rules.HISTORY.items()}
rules.COMPARISON = {policy: without(some) for policy, some in rules.COMPARISON.items()}
