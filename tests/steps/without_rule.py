"""A pytest plugin that takes one rule, named by WITHOUT_RULE, out of the gate before the tests are collected."""

from __future__ import annotations

import os

from steps.common import gate

name = os.environ["WITHOUT_RULE"]


def without(rules: tuple[gate.Rule, ...]) -> tuple[gate.Rule, ...]:
    return tuple(rule for rule in rules if rule.__name__ != name)


gate.SANITY, gate.QUALITY = without(gate.SANITY), without(gate.QUALITY)
gate.COMPARISON = {policy: without(rules) for policy, rules in gate.COMPARISON.items()}
