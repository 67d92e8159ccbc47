"""Filters in MongoDB's words.

pytest tests/server/store/test_filters.py
"""

import json
import math
import time
from typing import Any

import pytest

from modelgate_server.errors import Invalid
from modelgate_server.store import filters

ROWS: list[dict[str, Any]] = [
    {"name": "a", "n": 1, "tags": ["x"], "at": "2026-01-01T00:00:00Z"},
    {"name": "b", "n": 2, "tags": ["x", "y"], "at": "2026-02-01T00:00:00Z"},
    {"name": "c", "n": None, "tags": [], "at": "2026-03-01T00:00:00Z"},
]


def value_of(row: dict[str, Any], name: str) -> Any:
    if name not in row:
        raise Invalid(f'no field "{name}"')
    return row[name]


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ({}, "abc"),
        ({"name": "a"}, "a"),
        ({"n": {"$gt": 1}}, "b"),
        ({"n": {"$gte": 1, "$lt": 2}}, "a"),
        ({"n": {"$exists": False}}, "c"),
        ({"tags": "y"}, "b"),
        ({"tags": {"$in": ["x", "z"]}}, "ab"),
        ({"tags": {"$nin": ["x"]}}, "c"),
        ({"tags": {"$ne": "y"}}, "ac"),
        ({"$or": [{"name": "a"}, {"n": 2}]}, "ab"),
        ({"$nor": [{"name": "a"}, {"n": 2}]}, "c"),
        ({"$and": [{"tags": "x"}, {"$not": {"name": "a"}}]}, "b"),
        ({"name": {"$not": {"$regex": "^[ab]$"}}}, "c"),
        ({"name": {"$contains": "c"}}, "c"),
        ({"at": {"$gt": "2026-01-15"}}, "bc"),
        ({"at": "2026-02-01T00:00:00+00:00"}, "b"),
    ],
)
def test_a_filter_selects(condition: dict[str, Any], names: str) -> None:
    assert "".join(row["name"] for row in filters.select(ROWS, condition, value_of)) == names


@pytest.mark.parametrize(
    "condition",
    [
        {"shoe": 1},
        {"$where": "1"},
        {"n": {"$where": "1"}},
        {"$or": 1},
        {"n": {"$in": 1}},
        {"name": {"$regex": "("}},
        {"name": {"$regex": "a" * 300}},
        {"name": {"$regex": "(?=a)"}},  # what cannot be matched in linear time
        {"name": {"$regex": "(a{100}){100}"}},
        {"name": {"$regex": "\ud800"}},
        {"name": {"$regex": 5}},
    ],
)
def test_a_filter_that_is_none_is_refused(condition: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        filters.select(ROWS, condition, value_of)


def test_a_filter_nested_without_end_is_refused() -> None:
    condition: dict[str, Any] = {"name": "a"}
    for _ in range(100):
        condition = {"$not": condition}
    with pytest.raises(Invalid, match="nested"):
        filters.select(ROWS, condition, value_of)


@pytest.mark.parametrize("pattern", ["(a+)+$", "^(a|a)*$", "(.*)*x", "a*" * 60 + "x"])
def test_no_pattern_holds_the_server_up(pattern: str) -> None:
    began = time.monotonic()
    rows = [{"name": "a" * 100_000 + "b"}] * 20
    assert filters.select(rows, {"name": {"$regex": pattern}}, value_of) == []
    assert time.monotonic() - began < 30  # Python's own engine would not end


def test_a_pattern_looks_also_into_what_is_no_text() -> None:
    assert filters.select([{"name": "\ud800b"}], {"name": {"$regex": "b$"}}, value_of)


def order(by: str | None = None, *, backwards: bool = False) -> filters.Order[dict[str, Any]]:
    return filters.Order(lambda row: [row["name"]], backwards=backwards, by=by, value_of=value_of)


def test_order_goes_both_ways() -> None:
    assert [row["name"] for row in order("-at").sort(ROWS)] == ["c", "b", "a"]
    assert [row["name"] for row in order("+n").sort(ROWS)] == ["c", "a", "b"]
    assert [row["name"] for row in order(backwards=True).sort(ROWS)] == ["c", "b", "a"]
    huge = [{"n": 10**400, "name": "a"}, {"n": 1.5, "name": "b"}, {"n": math.nan, "name": "c"}]
    assert order("+n").sort(huge)[:2] == [huge[1], huge[0]]


@pytest.mark.parametrize("by", [None, "+n", "-n", "+at", "-name", "+tags"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_place_is_kept_when_items_go_and_others_come(by: str | None, backwards: bool) -> None:
    rows = [{"name": f"r{i:02}", "n": [None, 1, 2.5, "x"][i % 4], "at": None, "tags": []} for i in range(40)]
    ways = order(by, backwards=backwards)
    ordered = ways.sort(rows)
    for i in range(len(ordered)):
        place = json.loads(json.dumps(ways.compute_place(ordered[i])))
        assert ways.count_until(ordered, place) == i + 1
        gone = [row for row in ordered if row not in ordered[max(0, i - 5) : i + 1]]
        assert gone[ways.count_until(gone, place) :] == ordered[i + 1 :]


@pytest.mark.parametrize("place", [None, 1, "", [], [[]], [[], []], [[1], ["a"]], [[], [1]], [["a"], ["b"]], {}])
def test_a_place_of_another_list_is_refused(place: Any) -> None:
    with pytest.raises(Invalid, match="cursor"):
        order().count_until(ROWS, place)
