"""
Where the lines come from, and that they pass the checks.

    pytest usecases/topics
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from modelgate.rows.dataset import NotEnoughRows
from modelgate.rows.text_checks import find_violations
from usecases.topics import data

pytestmark = pytest.mark.skipif(
    find_spec("chatterbot_corpus") is None, reason="make setup USE_CASE=topics installs the package that has the rows"
)


def test_the_rows_are_there_without_a_network_and_pass_the_checks():
    rows = data.load(977, 400)
    assert (len(rows.x_train), len(rows.x_eval)) == (977, 400)
    assert find_violations(rows, data) == []


def test_too_many_rows_is_said_with_both_numbers():
    with pytest.raises(NotEnoughRows, match=r"in all; asked for"):
        data.load(977, 10**6)
