"""Ask for an approval, or for the name under which it is refused, as promote does."""

from __future__ import annotations

import pytest

from modelgate.errors import StepError
from modelgate.promotion import approval
from tests.steps.github import TOKEN, evidence


def model(environment="production", self_approval=False):
    return approval.Model("glyphs", environment, self_approval)


def asked(how="github", of=None, **changes):
    approval.check_flags(None, how)
    return approval.check(None, how, of or evidence(), model(**changes))


def refused(how="github", **arguments):
    with pytest.raises(StepError) as stopped:
        asked(how, **arguments)
    said = f"{stopped.value} {stopped.value.hint}"
    assert TOKEN not in said
    assert said.isprintable() and len(said) < 600, said
    return stopped.value.name
