"""
The ledger's chain, without W&B: which entries are valid and which are void.

    pytest tests/modelgate/test_ledger.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelgate.promotion import ledger, verify
from modelgate.promotion.ledger import Entry


def entry(number, previous, approver="ada"):
    return Entry(number, {"previous": previous and previous.sha256, "approver": approver})


def test_entries_that_follow_each_other_hold():
    first = entry(0, None)
    second = entry(1, first)
    assert [item.void for item in ledger.chain([second, first])] == [False, False]


def test_the_first_entry_on_a_predecessor_wins():
    first = entry(0, None)
    winner, loser = entry(1, first, "ada"), entry(2, first, "bob")
    chain = ledger.chain([first, winner, loser])
    assert [item.void for item in chain] == [False, False, True]
    assert ledger.find_head(chain).content["approver"] == "ada"


def test_an_entry_on_a_void_one_is_void():
    first = entry(0, None)
    loser = entry(2, first, "bob")
    assert [item.void for item in ledger.chain([first, entry(1, first), loser, entry(3, loser)])][3]


def test_a_changed_entry_voids_what_follows():
    first = entry(0, None)
    second = entry(1, first)
    forged = Entry(0, {**first.content, "approver": "mallory"})
    assert [item.void for item in ledger.chain([forged, second])] == [False, True]


def test_a_ledger_from_before_schema_2_of_the_evidence_is_read_and_verified():
    """Two promotions as the code of that time wrote them; its policies have a `floor_accuracy`."""
    stored = Path(__file__).with_name("ledger_schema_1")
    contents = [json.loads((stored / f"entry-v{number}.json").read_text()) for number in (0, 1)]
    assert all(ledger.is_readable(content) for content in contents)
    metadata = [{"entry": content, "applied_at": content["time"]} for content in contents]
    entries = [Entry(number, contents[number], True, metadata=metadata[number]) for number in (0, 1)]
    assert [item.void for item in ledger.chain(entries)] == [False, False]
    assert ledger.sum_drops(entries, "accuracy") == pytest.approx(5 / 497)
    assert ledger.sum_drops(entries, "log_loss") == 0
    versions = [content["to"]["name"] for content in contents]
    seals = [
        seal for number in (0, 1) for seal in verify.parse_seals([ledger.get_seal(entries[number])], versions[number])
    ]
    registered = verify.Registered(frozenset(versions), tuple(seals), versions[1])
    assert verify.verify(entries, registered) == (entries, [])


def test_an_empty_ledger_has_no_head():
    assert ledger.find_head([]) is None


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert Entry(0, {"a": 1, "b": 2}).sha256 == Entry(5, {"b": 2, "a": 1}).sha256


def test_drops_of_different_metrics_are_not_added_up():
    """A share that fell by a point, and an error that rose by five meters."""
    drops = [("accuracy", 0.01), ("mean_absolute_error", 5.0), ("accuracy", 0.02), (None, 0.04)]
    entries = [
        Entry(number, {"metric": metric, "drop": drop}, applied=True) for number, (metric, drop) in enumerate(drops)
    ]
    assert ledger.sum_drops(entries, "accuracy") == pytest.approx(0.07)
    assert ledger.sum_drops(entries, "mean_absolute_error") == 5


@pytest.mark.parametrize(
    ("before", "production", "by_promoter", "took_effect"),
    [
        ("v0", None, True, True),  # the bad version was deleted
        ("v0", "v2", True, True),
        (None, None, True, True),
        ("v0", "v0", True, False),  # the alias never left
        ("v0", None, False, False),
    ],
)
def test_an_entry_whose_version_is_gone_took_effect_if_it_can_have(before, production, by_promoter, took_effect):
    entry = Entry(0, {"from": before and {"name": before}})
    assert ledger.has_outlived(entry, production, by_promoter=by_promoter) is took_effect


def test_an_entry_that_says_no_run_after_one_that_does_is_by_no_one():
    """Since schema 4 the run's id is computed from the entry; an older entry may come before it, but not after."""
    first, second = entry(0, None), None
    second = Entry(1, {"previous": first.sha256, "nonce": "5"})
    assert [item.unbound for item in ledger.chain([first, second, entry(2, second)])] == [False, False, True]


def test_the_run_of_an_entry_follows_from_all_that_it_says_but_its_page():
    content = entry(0, None).content
    assert ledger.compute_run_id(content) == ledger.compute_run_id({**content, "run_url": "https://wandb.ai/x"})
    assert ledger.compute_run_id(content) != ledger.compute_run_id({**content, "approver": "the board"})


@pytest.mark.parametrize(
    "change",
    [
        {"drop": 10**400},
        {"drop": float("nan")},
        {"drop": 1.7e308},  # two of them are infinite
        {"to": {"name": "team/registry/x:v" + "9" * 5000, "digest": "d"}},
        {"to": {"name": "team/registry/" + "x" * 5000 + ":v1", "digest": "d"}},
        {"dataset": {"name": "a\ud800/b/x:v1", "digest": "d"}},
        {"dataset": {"name": "a\n/b/x:v1", "digest": "d"}},
        {"more": json.loads("[" * 200 + "]" * 200)},  # Python may not be able to write again what it read
    ],
    ids=["drop", "no number", "sum of drops", "number", "name", "surrogate", "control", "nesting"],
)
def test_what_a_reader_would_stumble_over_is_no_entry(change):
    stored = Path(__file__).with_name("ledger_schema_1") / "entry-v0.json"
    output = ledger.to_text({**json.loads(stored.read_text()), **change}).encode()
    assert ledger.parse_entry("team/p/x:v0", output, {}).content == {"previous": "unreadable"}
