"""Which names an approver may have. Promote has the same rule and the same test: tests/steps/approval/test_flags.py.

python -m pytest tests/runner/test_approval.py
"""

from __future__ import annotations

import pytest

from runner import approval
from runner.errors import WrongUse
from tests.approvers import NAMES, NO_NAMES


@pytest.mark.parametrize("name", NAMES)
def test_people_logins_and_addresses_are_names(name: str) -> None:
    assert approval.require_name(f" {name}\n") == name.replace("\u200c", " ")
    assert approval.require_name(name).isprintable()


@pytest.mark.parametrize("text", ["", " ", *NO_NAMES])
def test_a_line_for_a_shell_is_not_a_name(text: str) -> None:
    with pytest.raises(WrongUse, match="is not a person's name"):
        approval.require_name(text)
