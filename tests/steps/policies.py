"""Policies of the tests' use case, as evidence has them."""

from __future__ import annotations

from dataclasses import replace

from modelgate.promotion import evidence as form
from tests.steps.workspace import POLICY

ROLLBACK = vars(form.record_policy(replace(POLICY, name="rollback")))
