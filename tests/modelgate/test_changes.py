"""
What a reviewer reads first: how the candidate's inputs differ from production's, and what is unusual about it.

    pytest tests/modelgate/test_changes.py
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelgate.promotion import changes
from modelgate.promotion.changes import Provenance
from modelgate.promotion.evidence import Named
from modelgate.tracking.lineage import Origin

CONFIG = {"epochs": 10, "seed": 0, "dataset": "team/project/glyphs_dataset:v0"}
KNOWN = ("epochs", "seed", "rate")
ORIGIN = Origin("train_model", "trainer", (), CONFIG, "https://wandb.example/team/project/runs/1")
ROWS = Named("team/project/glyphs_dataset:v0", "0" * 32)
MADE = Provenance(
    ("team/project/glyphs_dataset:v0 00000000",), ORIGIN, "a" * 40, {"train": "sha256:1"}, ROWS, "trainer"
)


def list_changes(**candidate):
    return changes.list_changes(replace(MADE, **candidate), MADE, KNOWN)


def config(**changed):
    return replace(ORIGIN, config=CONFIG | changed)


def test_what_was_made_as_production_was_says_so_and_by_whom():
    assert list_changes() == (
        "Made from the same inputs as production. Trained by trainer: https://wandb.example/team/project/runs/1",
    )


def test_the_first_candidate_is_called_that():
    (line,) = changes.list_changes(MADE, None, KNOWN)
    assert line.startswith("First version: nothing is in production yet. Trained by trainer: https://")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"commit": "b" * 40}, "code (aaaaaaaaaaaa to bbbbbbbbbbbb)"),
        (
            {"trained": ("team/project/glyphs_dataset:v1 11111111",)},
            "training rows (team/project/glyphs_dataset:v0 00000000 to team/project/glyphs_dataset:v1 11111111)",
        ),
        ({"images": {"train": "sha256:2"}}, "images and their locks (train)"),
    ],
)
def test_what_differs_is_in_the_first_line(change, says):
    (line,) = list_changes(**change)
    assert line.startswith(f"Differs from production in {says}. Trained by trainer: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"epochs": 20}, "Config, 1 changed: epochs 10 to 20."),
        ({"rate": 0.5, "epochs": 20}, "Config, 2 changed: epochs 10 to 20, rate nothing to 0.5."),
        ({"planted": 1}, "Config: 1 key that train does not set differs."),
    ],
)
def test_a_changed_config_is_a_line_of_its_own(change, says):
    first, line = list_changes(origin=config(**change))
    assert first.startswith("Differs from production in config. Trained by trainer: ")
    assert line == says


def test_planted_keys_push_no_real_change_out():
    """Anyone who can write to the project can edit the config of a run."""
    planted = {f"a{number}": "x" * 5000 for number in range(2000)}
    first, known, others = list_changes(origin=config(**planted, epochs=20, rate=": http://evil.example"))
    assert first.startswith("Differs from production in config. Trained by trainer: https://")
    assert known == "Config, 2 changed: epochs 10 to 20, rate nothing to :http://evil.example."
    assert others == "Config: 2,000 keys that train does not set differ."


def test_the_dataset_of_a_run_is_named_as_rows_and_not_as_config():
    assert list_changes(origin=config(dataset="team/project/glyphs_dataset:v1")) == list_changes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"origin": None}, "Lineage incomplete: W&B does not know which run logged the candidate."),
        (
            {"judged_on": Named("team/project/glyphs_dataset:v1", "1" * 32)},
            "Eval rows changed: production was judged on team/project/glyphs_dataset:v0 00000000, and this candidate "
            "on team/project/glyphs_dataset:v1 11111111.",
        ),
        ({"account": "mallory"}, "Evaluated by mallory, and production by trainer."),
    ],
)
def test_what_is_unusual_is_a_line_of_its_own(change, says):
    assert list_changes(**change)[1:] == (says,)


def test_what_nobody_knows_of_production_is_said():
    assert changes.list_changes(MADE, Provenance(), KNOWN)[1:] == (
        "Lineage incomplete: W&B does not know which run logged the model in production.",
        "Lineage incomplete: the evidence of the model in production cannot be read.",
    )


def test_text_from_outside_is_short_and_printable():
    evil = dict.fromkeys(KNOWN, "x\u202e" * 5000)
    for line in list_changes(origin=replace(ORIGIN, config=evil, account="m\x1b[2J" * 1000)):
        assert line.isprintable() and len(line) < 300
