"""
Find what is wrong with a ledger: random histories are tampered with, and a model knows what was done.

    pytest tests/modelgate/test_verify.py
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate.promotion import ledger, verify
from modelgate.promotion.ledger import Entry
from modelgate.promotion.verify import Registered
from tests.modelgate.history import REGISTRY, History, named, of_project

VERSIONS = frozenset(f"{REGISTRY}:v{number}" for number in range(6))


def list_expected(history):
    """Return the findings of an untampered history: moves outside modelgate, an unfinished promotion."""
    expected = set()
    valid = [entry for entry in history.entries if not entry.void]
    for before, after in pairwise(valid):
        if after.content["from"] != before.content["to" if takes_effect(history, before, after) else "from"]:
            expected.add(("moved_outside", after.number))
    for entry, after in zip_longest(valid, valid[1:]):
        if takes_effect(history, entry, after) and not history.sealed(entry):  # someone moved the alias there by hand
            expected.add(("entry_not_sealed", entry.number))
    head, now = history.head, None if history.production is None else named(history.production)
    allowed = [None] if head is None else [head.content["to"]]
    if head and not takes_effect(history, head, None):
        expected.add(("promotion_unfinished", head.number))
        allowed.append(head.content["from"])
    if now not in allowed:
        expected.add(("moved_outside", None))
    return expected


def takes_effect(history, entry, after):
    if after is None:
        return history.sealed(entry) or entry.content["to"] == (
            history.production is not None and named(history.production)
        )
    return history.sealed(entry) or after.content["voids"] != entry.number


OPERATIONS = ["promote", "race", "interrupted", "outside"]
STEPS = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 5)), min_size=0, max_size=8)


def play(steps):
    history = History()
    for operation, to in steps:
        getattr(history, operation)(to)
    return history


def verify_history(history, entries=None):
    production = None if history.production is None else named(history.production)["name"]
    entries = history.entries if entries is None else entries
    registered = Registered(VERSIONS, tuple(history.seals), production)
    order, findings = verify.verify(ledger.chain(entries), registered)
    return order, {(finding.name, finding.entry) for finding in findings}


def edited(entry, **change):
    """Return the entry with other content, in its file and in the copy in its metadata."""
    content = {**entry.content, **change}
    return replace(entry, content=content, metadata={**entry.metadata, "entry": content})


def without(expected, numbers, order):
    """Return the findings that remain when these entries are gone or wrong: none about them or their neighbours."""
    valid = [entry.number for entry in order if not entry.void]
    lost = {
        "moved_outside": set(numbers) | {after for before, after in pairwise(valid) if before in numbers},
        "entry_not_sealed": set(numbers),
    }
    return {(name, number) for name, number in expected if number is None or number not in lost.get(name, ())}


def unsure(history, numbers):
    """Return the findings about unsealed entries that need the next entry, which is gone or wrong itself."""
    sealed = {seal.number for seal in history.seals}
    lost: set[int] = set()
    for entry in reversed([entry for entry in history.entries if not entry.void]):
        after = next((later for later in history.entries[entry.number + 1 :] if not later.void), None)
        if after and entry.number not in sealed and after.number in numbers | lost:
            lost.add(entry.number)
    return {(name, number) for name in ("entry_not_sealed", "moved_outside") for number in lost}


# --- the properties --------------------------------------------------------------------------------------------------


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_of_an_honest_history_nothing_is_said_but_what_happened(steps):
    history = play(steps)
    order, findings = verify_history(history)
    assert findings == list_expected(history)
    assert {entry.number for entry in order if entry.void} == history.raced


@given(STEPS, st.data())
@settings(max_examples=100, deadline=None)
def test_an_edited_entry_is_named(steps, data):
    history = play([*steps, ("promote", 0), ("promote", 1)])
    sealed = sorted({seal.number for seal in history.seals})
    number = data.draw(st.sampled_from(sealed))
    change = data.draw(st.sampled_from([{"approver": "mallory"}, {"to": named(5)}, {"reason": "x", "from": named(4)}]))
    entry = history.entries[number]
    if all(entry.content[key] == value for key, value in change.items()):
        return
    entries = [edited(entry, **change) if entry.number == number else entry for entry in history.entries]
    order, findings = verify_history(history, entries)
    expected = without(list_expected(history), {number}, history.entries) | {("entry_changed", number)}
    assert findings - unsure(history, {number}) == expected - unsure(history, {number})
    assert {entry.number for entry in order if entry.void} == history.raced


@given(STEPS, st.data())
@settings(max_examples=100, deadline=None)
def test_an_entry_whose_file_and_metadata_differ_is_named(steps, data):
    """This includes void and unfinished entries, which the registry does not know."""
    history = play([*steps, ("interrupted", 1)])
    number = data.draw(st.integers(0, len(history.entries) - 1))
    entries = list(history.entries)
    metadata = {**entries[number].metadata, "entry": {**entries[number].content, "approver": "mallory"}}
    entries[number] = replace(entries[number], metadata=metadata)
    _, findings = verify_history(history, entries)
    expected = without(list_expected(history), {number}, history.entries) | {("entry_changed", number)}
    assert findings - unsure(history, {number}) == expected - unsure(history, {number})


@given(STEPS, st.data())
@settings(max_examples=100, deadline=None)
def test_missing_and_cut_off_entries_are_named(steps, data):
    history = play([*steps, ("promote", 0), ("promote", 1)])
    gone = data.draw(st.sets(st.integers(0, len(history.entries) - 1), min_size=1, max_size=3))
    left = [entry for entry in history.entries if entry.number not in gone]
    last = max((entry.number for entry in left), default=-1)
    names = {(("entry_missing" if number < last else "ledger_cut_off"), number) for number in gone}
    order, findings = verify_history(history, left)
    assert findings - unsure(history, gone) == (
        without(list_expected(history), gone, history.entries) | names
    ) - unsure(history, gone)
    # An interrupted entry and one that lost a race look the same if the entry after them is gone.
    followed = {entry.content["previous"] for entry in left}
    known = {entry.number for entry in left if history.sealed(entry) or entry.sha256 in followed}
    void = {entry.number for entry in order if entry.void}
    assert not void & known
    assert {number for number in history.raced - gone if number < last} <= void


@given(STEPS, st.data())
@settings(max_examples=100, deadline=None)
def test_entries_that_changed_places_are_named(steps, data):
    history = play([*steps, ("promote", 0), ("promote", 1)])
    sealed = sorted({seal.number for seal in history.seals})
    first, other = data.draw(st.lists(st.sampled_from(sealed), min_size=2, max_size=2, unique=True))
    entries = list(history.entries)
    entries[first] = replace(history.entries[other], number=first)
    entries[other] = replace(history.entries[first], number=other)
    order, findings = verify_history(history, entries)
    tampered = {("entry_reordered", first), ("entry_reordered", other)}
    expected = without(list_expected(history), {first, other}, history.entries) | tampered
    assert findings - unsure(history, {first, other}) == expected - unsure(history, {first, other})
    assert [entry.sha256 for entry in order] == [entry.sha256 for entry in history.entries]
    assert {entry.number for entry in order if entry.void} == history.raced


@given(STEPS, st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_forged_entry_is_named(steps, follows):
    """Anyone who can write to the ledger's project adds an entry."""
    history = play([*steps, ("promote", 0), ("promote", 1)])
    expected = list_expected(history)
    forged = history.write(3, history.head.sha256 if follows else "f" * 64)
    name = "promotion_unfinished" if follows else "entry_orphaned"
    assert verify_history(history)[1] == expected | {(name, forged.number)}


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_a_forged_entry_for_what_is_in_production_is_named(steps):
    history = play([*steps, ("promote", 0), ("promote", 1)])
    expected = list_expected(history)
    forged = history.write(1, history.head.sha256)
    assert verify_history(history)[1] == expected | {("entry_not_sealed", forged.number)}


@given(STEPS, st.booleans())
@settings(max_examples=50, deadline=None)
def test_marks_decide_nothing(steps, applied):
    """Anyone who can edit metadata can add the marks of older ledgers, or remove them."""
    history = play([*steps, ("promote", 0), ("interrupted", 1)])
    marks = {"applied_at": "2026-11-23T10:00:01Z"} if applied else {"refused_at": "2026-11-23T10:00:01Z"}
    entries = [replace(entry, metadata={**entry.metadata, **marks}) for entry in history.entries]
    assert verify_history(history, entries)[1] == list_expected(history)


# --- who wrote it ----------------------------------------------------------------------------------------------------


def written(history, writers, promoters=None):
    registered = Registered(
        VERSIONS, tuple(history.seals), named(history.production)["name"], writers=writers, promoters=promoters
    )
    return {(finding.name, finding.entry) for finding in verify.verify(history.entries, registered)[1]}


@pytest.mark.parametrize(
    ("writers", "promoters", "wrong"),
    [
        ({0: "ada", 1: "ada"}, None, []),
        ({0: "ada", 1: "ada"}, frozenset({"ada", "bob"}), []),
        ({0: "ada", 1: "trainer"}, None, [1]),  # the entry says that ada wrote it
        ({0: "ada", 1: None}, None, [1]),  # the run of another entry
        ({0: "ada", 1: "ada"}, frozenset({"bob"}), [0, 1]),
    ],
)
def test_an_entry_that_another_account_wrote_is_named(writers, promoters, wrong):
    history = play([("promote", 0), ("promote", 1)])
    assert written(history, writers, promoters) == {("entry_of_other_account", number) for number in wrong}


def test_an_entry_of_another_registry_is_named():
    history = play([("promote", 0)])
    elsewhere = edited(history.promote(1), to={"name": "org/wandb-registry-evil/glyphs:v1", "digest": "1" * 32})
    history.entries[1] = elsewhere
    history.seals.pop()
    assert ("other_registry", 1) in verify_history(history)[1]


# --- one by one ------------------------------------------------------------------------------------------------------


def test_without_seals_the_hashes_still_name_a_changed_entry():
    """The promoted versions were deleted from the registry later."""
    history = play([("promote", 0), ("promote", 1), ("promote", 2)])
    history.seals.clear()
    entries = [edited(history.entries[0], approver="mallory"), *history.entries[1:]]
    registered = Registered(frozenset(), (), named(2)["name"])
    assert [(f.name, f.entry) for f in verify.verify(entries, registered)[1]] == [("entry_changed", 0)]


def test_a_seal_taken_away_by_hand_is_named():
    history = play([("promote", 0), ("promote", 1)])
    del history.seals[0]
    assert verify_history(history)[1] == {("entry_not_sealed", 0)}


def test_a_seal_on_a_version_that_was_deleted_is_not_missed():
    history = play([("promote", 0), ("promote", 1)])
    del history.seals[0]
    registered = Registered(VERSIONS - {named(0)["name"]}, tuple(history.seals), named(1)["name"])
    assert verify.verify(history.entries, registered)[1] == []


@pytest.mark.parametrize(
    ("key", "digest", "finding"),
    [
        ("to", None, "version_gone"),
        ("to", "f" * 32, "version_replaced"),
        ("dataset", None, "dataset_gone"),
        ("dataset", "f" * 32, "dataset_replaced"),
        ("evidence", None, "evidence_gone"),
        ("evidence", "f" * 32, "evidence_replaced"),
    ],
)
def test_what_an_entry_names_and_is_gone_or_something_else_is_named(key, digest, finding):
    history = play([("promote", 0), ("promote", 1), ("interrupted", 2)])
    content = history.entries[0].content
    digests = {content[part]["name"]: content[part]["digest"] for part in ("to", "dataset", "evidence")}
    name = content[key]["name"]
    numbers = {entry.number for entry in history.entries[:2] if entry.content[key]["name"] == name}
    registered = Registered(
        VERSIONS,
        tuple(history.seals),
        named(1)["name"],
        digests=digests | {name: digest},
        sha256={name: "c" * 64} if digest else {},
    )
    _, findings = verify.verify(history.entries, registered)
    named_findings = {(named_findings.name, named_findings.entry) for named_findings in findings} - {
        ("promotion_unfinished", 2)
    }
    assert named_findings == {(finding, number) for number in numbers}


def test_an_entry_that_names_a_version_that_never_was_has_no_effect():
    """Anyone who can write to the ledger's project adds it behind an honest one."""
    history = play([("promote", 0), ("promote", 1)])
    forged = history.write(3, history.head.sha256)
    registered = Registered(VERSIONS - {named(3)["name"]}, tuple(history.seals), named(1)["name"])
    order, findings = verify.verify(history.entries, registered)
    assert not order[forged.number].applied
    assert [(finding.name, finding.entry) for finding in findings] == [("promotion_unfinished", forged.number)]


def test_a_promotion_that_took_effect_cannot_be_passed_off_as_refused():
    """Anyone who can edit metadata can remove the mark and add the other one."""
    history = play([("promote", 0), ("promote", 1)])
    entry = history.entries[1]
    history.entries[1] = replace(entry, metadata={"entry": entry.content, "refused_at": "now"})
    assert verify_history(history)[1] == set()


def test_production_that_nobody_holds_is_named():
    history = play([("promote", 0)])
    history.production = None
    assert verify_history(history)[1] == {("production_gone", None)}


def test_production_without_any_ledger_is_outside():
    history = play([("outside", 3)])
    assert verify_history(history)[1] == {("moved_outside", None)}


@pytest.mark.parametrize(("to", "message"), [(0, "v0 named, but the ledger no longer does"), (4, "does not name")])
def test_an_outside_move_says_whether_the_ledger_ever_knew_the_version(to, message):
    history = play([("promote", 0), ("promote", 1), ("outside", to)])
    _, (finding,) = verify.verify(
        history.entries, Registered(VERSIONS, tuple(history.seals), named(history.production)["name"])
    )
    assert finding.name == "moved_outside"
    assert message in finding.message


def test_an_entry_that_says_nothing_is_named():
    history = play([("promote", 0)])
    history.entries.append(Entry(1, {"previous": "unreadable"}))
    assert verify_history(history)[1] == {("entry_unreadable", 1)}


@pytest.mark.parametrize(
    "change",
    [
        {"to": None},
        {"to": {"name": "x", "digest": "y"}},
        {"from": 5},
        {"approver": 1},
        {"time": None},
        {"time": "yesterday"},
        {"drop": "much"},
        {"drop": float("nan")},
        {"voids": -1},
        {"voids": True},
        {"continues": "0"},
        {"continues": 10**9},
        {"account": 5},
        {"previous": []},
    ],
)
def test_a_promotion_that_says_less_is_unreadable(change):
    content = play([("promote", 0)]).entries[0].content
    assert ledger.is_readable(content)
    assert not ledger.is_readable({**content, **change})
    assert not ledger.is_readable([content])


def test_a_promotion_after_a_loss_is_not_void():
    """If the first entry is gone, promote sees no head and starts a new chain."""
    history = play([("promote", 0), ("promote", 1)])
    entry = history.write(2, None)
    history.seal(entry)
    history.production = 2
    order, findings = verify_history(history, history.entries[1:])
    assert findings == {("entry_missing", 0)}
    assert [entry.void for entry in order] == [False, False]


# --- the bytes -------------------------------------------------------------------------------------------------------


def with_hashes(history, number, model="a" * 64, rows="b" * 64):
    hashes = {"model": model, "eval_rows": rows}
    history.entries[number] = edited(history.entries[number], sha256=hashes, sha256_recorded="at evaluation")


def find_changed_bytes(history, **now):
    """Return the findings about bytes if these versions' files are now this: a SHA-256, or the name of a refusal."""
    sha256 = {(named(0) if kind == "model" else of_project("dataset", 0))["name"]: value for kind, value in now.items()}
    findings = verify.verify(history.entries, Registered(VERSIONS, (), named(history.production)["name"], sha256))[1]
    return [(finding.name, finding.entry) for finding in findings if "bytes" in finding.name]


@pytest.mark.parametrize(
    ("now", "findings"),
    [
        ({"model": "a" * 64, "rows": "b" * 64}, []),
        ({"model": "c" * 64, "rows": "b" * 64}, [("model_bytes_changed", 0)]),
        ({"model": "a" * 64, "rows": "c" * 64}, [("rows_bytes_changed", 0)]),
        ({"model": "file_changed", "rows": "reference_entry"}, [("model_bytes_changed", 0), ("rows_bytes_changed", 0)]),
        ({}, []),  # both are gone: if it matters, other findings say so
    ],
)
def test_a_file_that_is_not_what_was_promoted_is_named(now, findings):
    history = play([("promote", 0)])
    with_hashes(history, 0)
    assert find_changed_bytes(history, **now) == findings


def test_of_an_entry_without_hashes_only_a_file_that_is_refused_is_named():
    """Entries of schema 1 have nothing to compare a good file with."""
    history = play([("promote", 0)])
    assert find_changed_bytes(history, model="c" * 64, rows="d" * 64) == []
    assert find_changed_bytes(history, model="file_changed") == [("model_bytes_changed", 0)]


def test_an_entry_that_was_interrupted_has_put_no_bytes_into_production():
    history = play([("promote", 1), ("interrupted", 0)])
    with_hashes(history, 1)
    assert find_changed_bytes(history, model="c" * 64) == []


@pytest.mark.parametrize("sha256", ["a", {"model": "a" * 64}, {"model": 1, "eval_rows": 2}, []])
def test_hashes_that_are_none_make_an_entry_unreadable(sha256):
    content = play([("promote", 0)]).entries[0].content
    assert not ledger.is_readable({**content, "sha256": sha256})


def test_a_seal_that_names_a_number_beyond_every_ledger_is_one_finding():
    history = History()
    history.promote(0)
    forged = verify.parse_seals(["promotion-v99999999-abcdef123456"], f"{REGISTRY}:v0")
    registered = Registered(VERSIONS, (*history.seals, *forged), named(0)["name"])
    _, findings = verify.verify(history.entries, registered)
    assert [finding.entry for finding in findings if finding.name == "ledger_cut_off"] == [99999999]
