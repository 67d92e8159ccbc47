"""
Where the penguins come from, and that they pass the checks.

    pytest usecases/penguins
"""

from __future__ import annotations

import pytest

from modelgate.rows.dataset import NotEnoughRows
from modelgate.rows.table_checks import find_violations
from usecases.penguins import data


def test_the_rows_are_there_without_a_network_and_pass_the_checks():
    rows = data.load(211, 133)
    assert (len(rows.x_train), len(rows.x_eval)) == (211, 133)
    assert find_violations(rows, data) == []


def test_too_many_rows_is_said_with_both_numbers():
    with pytest.raises(NotEnoughRows, match=r"in all; asked for"):
        data.load(211, 10**6)
