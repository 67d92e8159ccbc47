"""
Compare a service's state with random histories of the ledger: six planted mismatches are found, and no others.

    pytest tests/modelgate/test_deployed.py
"""

from __future__ import annotations

import threading
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgate import frameworks
from modelgate.errors import StepError
from modelgate.promotion import deployed, ledger
from tests.fake_server import FakeServer, Request
from tests.modelgate.history import REGISTRY, History

NOW = ledger.parse_time("2026-11-23T10:00:00Z") + timedelta(seconds=600)  # ten minutes after every promotion
MOVES = st.lists(st.tuples(st.sampled_from(["promote", "race", "interrupted"]), st.integers(0, 5)), min_size=1)


def build_entries(moves):
    """Return the entries that these promotions leave, as read from the ledger."""
    history = History()
    history.promote(0)
    for move, to in moves:
        if to != history.production:
            getattr(history, move)(to)
    production = f"{REGISTRY}:v{history.production}"
    return ledger.chain(history.entries, production)


def answer_for(entry):
    """Return the state of a service that runs what this entry promoted."""
    to = entry.content["to"]
    description = {"version": to["name"], "digest": to["digest"], "sha256": "f" * 64, "ledger_sha256": entry.sha256}
    return {"use_case": "glyphs", "ready": True, "approved": True, "ledger_entry": f"v{entry.number}", **description}


def names(state, entries, stale_s=60.0):
    return [name for name, _ in deployed.list_differences(state, "glyphs", entries, REGISTRY, NOW, stale_s)]


@settings(max_examples=200, deadline=None)
@given(MOVES)
def test_a_service_that_runs_what_was_promoted_last_is_right_whatever_happened_before(moves):
    entries = build_entries(moves)
    assert names(answer_for(deployed.find_promotion(entries, REGISTRY)), entries) == []


@settings(max_examples=100, deadline=None)
@given(MOVES, st.data())
def test_a_service_that_runs_an_earlier_promotion_is_stale_after_the_stated_time(moves, data):
    entries = build_entries(moves)
    earlier = [entry for entry in entries if entry.applied][:-1]
    if earlier:
        state = answer_for(data.draw(st.sampled_from(earlier)))
        assert names(state, entries) == ["service_stale"]
        assert names(state, entries, stale_s=3600.0) == []


LAST = "2 was promoted last"
PLANTED = {
    "service_unreachable": None,
    "service_of_another_use_case": {"use_case": "letters"},
    "service_not_ready": {"ready": False, "problem": {"message": "W&B is gone"}},
    "service_unverified": {"ledger_sha256": "0" * 64},
    "service_of_other_version": {"version": f"{REGISTRY}:v5"},
    "service_of_other_digest": {"digest": "0" * 32},
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mismatch_is_found_by_name(name):
    entries = build_entries([("promote", 1), ("promote", 2)])
    state = answer_for(entries[-1])
    assert names(state, entries) == []
    change = PLANTED[name]
    assert names(None if change is None else state | change, entries) == [name]


def test_a_trial_and_a_promotion_that_did_not_take_effect_are_unverified():
    entries = build_entries([("promote", 1), ("interrupted", 2)])
    assert names(answer_for(entries[-1]), entries) == ["service_unverified"]
    assert names(answer_for(entries[1]) | {"approved": False}, entries) == ["service_unverified"]


def test_another_file_than_the_one_in_the_entry_is_found_though_the_digest_is_the_same():
    entry = build_entries([])[0]
    content = {**entry.content, "sha256": {"model": "a" * 64, "eval_rows": "b" * 64}}
    entries = ledger.chain([ledger.Entry(0, content, metadata={"entry": content})], content["to"]["name"])
    assert names(answer_for(entries[0]), entries) == ["service_of_other_digest"]
    assert names(answer_for(entries[0]) | {"sha256": "a" * 64}, entries) == []


@given(st.dictionaries(st.sampled_from(["use_case", "ready", "version", "problem", "ledger_sha256"]), st.integers()))
def test_whatever_a_service_says_is_a_finding_and_never_a_crash(state):
    assert names(state | {"use_case": "glyphs"}, build_entries([]))


def test_a_version_of_another_digest_than_its_entry_does_not_answer():
    """A registry that follows W&B's rules never has one."""
    entry = build_entries([])[0]
    version = SimpleNamespace(
        entity="org",
        project="wandb-registry-model",
        name="glyphs:v0",
        aliases=["production", ledger.get_seal(entry)],
        digest=entry.content["to"]["digest"],
    )
    deployed._require_sealed(version, entry)
    version.digest = "another"
    with pytest.raises(StepError) as stopped:
        deployed._require_sealed(version, entry)
    assert stopped.value.name == "version_changed"


@pytest.mark.parametrize("status", [200, 503])
def test_a_service_that_stops_within_its_answer_did_not_answer(status, monkeypatch):
    monkeypatch.setattr(deployed, "ANSWER_S", 0.2)
    ended = threading.Event()

    class Stops(Request):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b'{"ready": true')
            ended.wait(60)

    service = FakeServer(Stops)
    try:
        assert deployed.ask(service.url) is None
    finally:
        ended.set()
        service.close()


def test_the_file_that_counts_is_that_of_the_framework():
    """A version may also have a file of another version, which no one judged."""
    assert frameworks.find_model_file({"model.keras", "model.skops"}, "sklearn") == "model.skops"
    assert (
        frameworks.find_model_file({"model.skops"}, "keras") == "model.skops"
    )  # an entry from before the use case changed
