"""Check an approval as promote does, or return the name under which it is refused."""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.promotion.approval import ways
from modelgate.promotion.approval.approver import Model
from tests.steps.github import TOKEN, evidence


def model(environment="production", self_approval=False):
    return Model("glyphs", environment, self_approval)


def check_approval(method="github", of=None, **changes):
    ways.check_flags(None, method)
    return ways.check(None, method, of or evidence(), model(**changes))


def refused(method="github", **arguments):
    with pytest.raises(StepError) as stopped:
        check_approval(method, **arguments)
    message = f"{stopped.value} {stopped.value.hint}"
    assert TOKEN not in message
    assert message.isprintable() and len(message) < 600, message
    return stopped.value.name
