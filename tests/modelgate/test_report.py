"""
The first line of every report: how much better or worse, and what the rows can show.

    pytest tests/modelgate/test_report.py
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from markdown_it import MarkdownIt

from modelgate import predictions
from modelgate.gate import metrics, report, rules
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores
from modelgate.text import to_code, to_line, to_markdown

POLICY = Policy("no_worse", at_least=0.80, margin=0.005)


def sure(answers):
    return np.eye(10, dtype=np.float32)[answers]


def scores(regressed, improved, rows=1000, production=True):
    """Return scores: the candidate is wrong in `regressed` rows that production has right; `improved`: the reverse."""
    labels = np.arange(rows) % 10
    ours, theirs = labels.copy(), labels.copy()
    ours[:regressed] = (ours[:regressed] + 1 + np.arange(regressed) % 7) % 10
    theirs[rows - improved :] = (theirs[rows - improved :] + 1) % 10
    return Scores(labels, sure(ours), sure(theirs) if production else None, rows, ())


def headline(scored, policy=POLICY):
    outcomes = rules.judge(scored, policy)
    compared = predictions.describe_comparison(scored, policy, 0.0) if rules.is_sane(outcomes) else None
    value = metrics.compute_value(scored.targets, scored.candidate, policy)
    return report.write_headline(outcomes, compared, value, scored.rows, policy)


@pytest.mark.parametrize(
    ("regressed", "improved", "expected"),
    [
        (
            20,
            10,
            "pass: 1.0 point lower than production, and 1,000 rows show at least 0.1 points; the margin is 0.5 points",
        ),
        (40, 32, "pass: 0.8 points lower than production, within what 1,000 rows can tell; the margin is 0.5 points"),
        (10, 12, "pass: 0.2 points higher than production, within what 1,000 rows can tell"),
        (5, 30, "pass: 2.5 points higher than production, and 1,000 rows show at least 1.5 points"),
        (
            70,
            10,
            "fail: no_worse: 6.0 points lower than production, and 1,000 rows show at least 4.6 points; the margin is "
            "0.5 points",
        ),
        (12, 12, "pass: as accurate as production, within what 1,000 rows can tell"),
        (0, 0, "pass: as accurate as production, within what 1,000 rows can tell"),
    ],
)
def test_the_first_line_says_by_how_much_and_what_the_rows_can_tell(regressed, improved, expected):
    assert headline(scores(regressed, improved)) == expected


def test_a_drop_is_shown_by_the_bound_and_a_gain_by_the_test_that_the_gate_itself_uses():
    """Three rows against none: the bound calls it a drop; by McNemar's test it is chance with probability 1/8."""
    assert "show at least" in headline(scores(3, 0))
    assert headline(scores(0, 4)) == "pass: 0.4 points higher than production, within what 1,000 rows can tell"
    assert "show at least" in headline(scores(0, 5))
    better = replace(POLICY, name="better")
    assert [headline(scores(0, gain), better).split(":")[0] for gain in (4, 5)] == ["fail", "pass"]


def test_more_rows_can_tell_more():
    assert "within what 1,000 rows can tell" in headline(scores(40, 32))
    assert headline(scores(400, 320, 10_000)).endswith(
        "and 10,000 rows show at least 0.4 points; the margin is 0.5 points"
    )


def test_a_difference_below_a_tenth_of_a_point_is_not_nothing():
    assert headline(scores(404, 400, 10_000)) == (
        "pass: 0.04 points lower than production, within what 10,000 rows can tell; the margin is 0.5 points"
    )


def test_a_first_model_has_its_accuracy_in_the_first_line():
    assert headline(scores(15, 0, production=False)) == (
        "pass: nothing is in production yet; accuracy 0.9850 on 1,000 rows"
    )
    assert headline(scores(300, 0, production=False)) == (
        "fail: floor: accuracy 0.7000, at least 0.6752 with 95 % confidence; the floor is 0.8000; nothing is in "
        "production yet"
    )


def test_answers_that_cannot_be_judged_are_not_called_better_or_worse():
    scored = scores(0, 0)
    scored.candidate[3] = np.nan
    assert headline(scored) == (
        "fail: finite_scores: candidate answered 1 rows with NaN or infinity; these answers cannot be judged"
    )
    assert headline(replace(scores(0, 0), seen=(1,))) == (
        "fail: unseen_rows: 1 eval rows are training rows, the first 1; these answers cannot be judged"
    )


def test_a_failing_first_line_names_the_rule_that_refused_and_its_figure():
    """A model that is better than production and below the floor fails; that it is better is not the reason."""
    high = replace(POLICY, at_least=0.999)
    assert headline(scores(20, 30), high) == (
        "fail: floor: accuracy 0.9800, at least 0.9711 with 95 % confidence; the floor is 0.9990; 1.0 point higher "
        "than production, within what 1,000 rows can tell"
    )
    proof = replace(POLICY, name="non_inferior")
    assert headline(scores(20, 20), proof) == (
        "fail: non_inferior: the drop is at most 1.07 points with 95 % confidence, and 0.50 points are allowed; as "
        "accurate as production, within what 1,000 rows can tell"
    )
    better = replace(POLICY, name="better")
    assert headline(scores(0, 4), better).startswith("fail: better: 4 rows improved and 0 regressed; 0.4 points higher")
    classes = tuple(f"<b>{label}</b>" for label in range(10))
    renamed = replace(scores(0, 0), production=sure((np.arange(1000) + 1) % 10), classes=classes)
    assert headline(renamed).startswith(
        "fail: production_plausible: production has 0.0000 of these rows right, and 1.0000 with classes renamed; 100.0 "
    )
    lost = replace(scores(0, 0), slices={"island": (np.arange(1000) < 60).astype(int)}, groups={"island": ("a", "b")})
    lost.candidate[:60] = sure((np.arange(60) + 1 + np.arange(60) % 7) % 10)
    assert headline(lost, replace(POLICY, margin=0.2)).startswith(
        "fail: slices_no_worse: worse than production in island b (60 rows regressed, 0 improved); 6.0 points lower "
    )
    evil = replace(lost, groups={"island": ("a", "www.evil.example")})
    assert headline(evil, replace(POLICY, margin=0.2)).startswith("fail: slices_no_worse; 6.0 points lower than")


def test_going_back_is_not_measured_by_the_margin():
    back = replace(scores(70, 10), was_in_production=True)
    assert headline(back, replace(POLICY, name="rollback")) == (
        "pass: a rollback, 6.0 points lower than production, and 1,000 rows show at least 4.6 points"
    )


def test_mistakes_are_counted_and_the_most_frequent_comes_first():
    labels = np.array([0, 0, 1, 1, 2])
    assert metrics.count_mistakes(labels, sure(np.array([1, 1, 2, 1, 2]))) == [(0, 1, 2), (1, 2, 1)]


# --- words from outside ----------------------------------------------------------------------------------------------

EVIL = [
    "<img src=x onerror=alert(1)>",
    "[approve](https://evil.example)",
    "![](https://evil.example/a.png)",
    "a | b | c",
    "**pass** `code` ~~gone~~ \\",
    "@everyone www.evil.example https://evil.example",
    "x\n\n# pass: all is well",
]


def drawn(text):
    """Return the tags and the visible text of Markdown, as GitHub and the pages render it."""
    html = MarkdownIt("gfm-like", {"linkify": False}).render(text).replace("\u2060", "")
    return set(re.findall(r"<(\w+)", html)), unescape(re.sub(r"<[^>]+>", "", html)).strip()


@pytest.mark.parametrize("evil", EVIL)
def test_words_from_outside_are_shown_and_do_nothing_else(evil):
    tags, seen = drawn(f"x {to_markdown(evil)}")
    assert (tags, seen) == ({"p"}, f"x {to_line(evil)}")
    assert not re.search(r"(?<!\\):\/\/|(?i:www)\.", to_markdown(evil))  # GitHub turns these into links
    assert not re.search(r"@\w", to_markdown(evil))  # GitHub notifies these people
    tags, seen = drawn(f"- {to_code(evil)}")
    assert (tags, seen) == ({"ul", "li", "code"}, to_line(evil.replace("`", " ")))


@pytest.mark.parametrize("evil", EVIL)
def test_a_warning_is_code_and_only_the_address_at_its_end_a_link(evil):
    tags, seen = drawn(report._render_warning(f"Trained by {evil}: https://wandb.example/team/project/runs/1"))
    assert tags == {"ul", "li", "code", "a"}
    assert seen.endswith(f"{to_line(evil.replace('`', ' '))} (run)")
    assert "a" not in drawn(report._render_warning(f"Config, 1 changed: rate {evil}"))[0]


@pytest.mark.parametrize("evil", EVIL)
def test_a_cell_of_a_table_stays_a_cell(evil):
    tags, seen = drawn(report._render_table(["class", "rows"], [[evil, "1"], [report._render_code(evil), "2"]]))
    assert tags == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert len(seen.splitlines()) == len(
        drawn(report._render_table(["class", "rows"], [["x", "1"], ["x", "2"]]))[1].splitlines()
    )


@pytest.mark.parametrize(
    ("regressed", "improved", "at_least", "sentence"),
    [
        (20, 10, 0.8, "With this one, the promotions judged by accuracy so far add up to a drop of 1.0 point."),
        (10, 20, 0.8, "With this one, the promotions judged by accuracy so far add up to a gain of 1.0 point."),
        (
            10,
            20,
            0.999,
            "If this one were promoted, the promotions judged by accuracy so far would add up to a gain of",
        ),
    ],
)
def test_the_sum_of_all_drops_is_told_as_what_it_is_and_a_refused_model_is_not_counted(
    regressed, improved, at_least, sentence
):
    scored, policy = scores(regressed, improved), replace(POLICY, at_least=at_least, margin=0.02)
    verdict = "pass" if rules.passes_gate(rules.judge(scored, policy)) else "fail"
    compared = predictions.describe_comparison(scored, policy, 0.0)
    evidence = {"comparison": compared, "dataset": {"eval_rows": 1000}, "verdict": verdict}
    assert sentence in report._write_caveat(evidence, policy)
