"""The evaluation as Markdown, for the person who decides: the verdict first, then the reasons for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgate.gate import metrics, rules
from modelgate.gate.rules import Outcome
from modelgate.gate.scores import Scores
from modelgate.text import one_line

UNCHANGED = "unchanged: this is the model that production already is"


def headline(
    outcomes: Sequence[Outcome], comparison: Mapping[str, float] | None, accuracy: float | None, rows: int
) -> str:
    """
    The first line of report, summary, question and comment: better or worse by how much, and what the rows can tell.

    comparison: of `predictions.comparison`; None when nothing is in production. accuracy: the candidate's.
    """
    verdict = "pass" if rules.passes(outcomes) else "fail"
    if not rules.sane(outcomes):
        return f"{verdict}: these answers cannot be judged"
    if comparison is None:
        return f"{verdict}: nothing is in production yet; accuracy {_number(accuracy)} on {rows:,} rows"
    drop, shown = comparison["drop"], comparison["shown"]
    against = f"{_points(abs(drop))} {'lower' if drop > 0 else 'higher'} than" if drop else "as accurate as"
    what = f"and {rows:,} rows show at least {_points(shown)}" if shown else f"within what {rows:,} rows can tell"
    return f"{verdict}: {against} production, {what}"


def report(evidence: Mapping[str, Any], outcomes: Sequence[Outcome], scores: Scores) -> str:
    """The whole page."""
    parts = [
        f"# {evidence['headline']}",
        f"`{evidence['version']['name']}`",
        _sentence(evidence, outcomes),
        evidence["return"] and f"**{a_return(evidence['return'])}**",
        _comparison(evidence),
        _caveat(evidence),
        _rules(outcomes),
    ]
    if complete(outcomes):
        parts += [_slices(scores), _behaviour(scores), _per_class(scores), _confusion(scores), _reliability(scores)]
    return "\n\n".join(filter(None, [*parts, _lineage(evidence)])) + "\n"


def complete(outcomes: Sequence[Outcome]) -> bool:
    """Whether there is a finite answer to every row, so that tables can be made of them."""
    return all(outcome.passed for outcome in outcomes if outcome.rule in ("every_row_scored", "finite_scores"))


def unchanged(version: str, production: str) -> str:
    """The page for a candidate that is the very model in production."""
    return (
        f"# {UNCHANGED}\n\n`{version}` is the same model as `{production}`, which is `production` now. "
        "There is nothing to decide.\n"
    )


def a_return(was: Mapping[str, Any]) -> str:
    """That the candidate is a model that was in production before; the words of the ledger in code quotes."""
    until = f" to {_quoted(was['until'])}" if was["until"] else ""
    return (
        f"A return: this model was production before, as {_quoted(was['version'])}, by entry v{was['entry']} of the "
        f"ledger, from {_quoted(was['since'])}{until}."
    )


def per_class(scores: Scores) -> list[list[Any]]:
    """For each class: class, rows, the fraction that the candidate has right, and production (None without one)."""
    models = [scores.candidate, scores.production]
    answers = [None if rows is None else metrics.correct(scores.labels, rows) for rows in models]
    table: list[list[Any]] = []
    for label in range(scores.candidate.shape[1]):
        of_class = scores.labels == label
        rows = int(of_class.sum())
        fractions = [None if marks is None or rows == 0 else float(marks[of_class].mean()) for marks in answers]
        table.append([label, rows, *fractions])
    return table


def _sentence(evidence: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    refused = [outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed]
    if refused:
        return f"Refused by {', '.join(f'`{rule}`' for rule in refused)}."
    against = evidence["production"]
    compared = f"compared with production, {against['name']}" if against else "nothing is in production yet"
    return f"Every rule of the policy `{evidence['policy']['name']}` passed; {compared}."


def _comparison(evidence: Mapping[str, Any]) -> str:
    ours, theirs = evidence["metrics"]["candidate"], evidence["metrics"]["production"] or {}
    rows = [
        [label, _number(ours[key]), _number(theirs.get(key)), _change(ours[key], theirs.get(key))]
        for label, key in (
            ("accuracy (fraction)", "accuracy"),
            ("loss (nats per row)", "loss"),
            ("calibration error (fraction)", "calibration_error"),
            ("latency (ms per row)", "latency_ms"),
        )
    ]
    sizes = [f"{value['size_bytes']:,}" if value else "-" for value in (ours, theirs)]
    return _table(["", "candidate", "production", "change"], [*rows, ["size (bytes)", *sizes, "-"]])


def _caveat(evidence: Mapping[str, Any]) -> str:
    """Passing is no proof of equality: what these rows could not have shown."""
    if not (compared := evidence["comparison"]):
        return ""
    return (
        f"On {evidence['dataset']['eval_rows']} rows like these, a drop of {_points(compared['smallest_drop'])} or "
        f"more is refused four times in five; a smaller one may pass. All promotions since the first, this one "
        f"included, add up to a drop of {_points(compared['drops_since_first'])}."
    )


def _rules(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            f"`{outcome.rule}`",
            "passed" if outcome.passed else "**refused**" if outcome.blocking else "shown only",
            outcome.reason,
        ]
        for outcome in outcomes
    ]
    return "## Rules\n\n" + _table(["rule", "", "why"], rows)


def moved_slices(scores: Scores) -> list[tuple[str, int, int, int]]:
    """The slices in which a row regressed or improved, the worst first: name, rows, how many of each."""
    moved = [row for row in rules.slice_table(scores) if row[2] or row[3]]
    return sorted(moved, key=lambda row: row[3] - row[2])


def _slices(scores: Scores) -> str:
    rows = [[str(cell) for cell in row] for row in moved_slices(scores)]
    if not rows:
        return ""
    return "## Slices, the worst first\n\n" + _table(["slice", "rows", "regressed", "improved"], rows)


def _behaviour(scores: Scores) -> str:
    """Accuracy on rows that were varied."""
    if not scores.varied:
        return ""
    rows = [
        [name, _number(ours), _number(theirs), _change(ours, theirs)]
        for name, ours, theirs in rules.behaviour_table(scores)
    ]
    return "## Accuracy under small changes\n\n" + _table(["", "candidate", "production", "change"], rows)


def _reliability(scores: Scores) -> str:
    rows = [
        [f"up to {edge:.1f}", str(count), _number(confidence), _number(answered)]
        for edge, count, confidence, answered in metrics.reliability(scores.labels, scores.candidate)
    ]
    return "## How sure the candidate is, and how right\n\n" + _table(["confidence", "rows", "mean", "correct"], rows)


def _per_class(scores: Scores) -> str:
    rows = [
        [str(label), str(count), _number(ours), _number(theirs), _change(ours, theirs)]
        for label, count, ours, theirs in per_class(scores)
    ]
    return "## Per class\n\n" + _table(["class", "rows", "candidate", "production", "change"], rows)


def _confusion(scores: Scores) -> str:
    counts = metrics.confusion(scores.labels, scores.candidate)
    rows = [[f"**{label}**", *(str(n) if n else "·" for n in row)] for label, row in enumerate(counts)]
    heading = "## Confusion of the candidate (rows: truth, columns: answer)\n\n"
    return heading + _table(["", *(str(label) for label in range(len(counts)))], rows)


def _lineage(evidence: Mapping[str, Any]) -> str:
    named = {key: evidence[key] or {"name": "none", "digest": "-"} for key in ("version", "dataset", "production")}
    rows = [
        *([key, f"`{value['name']}`", f"`{value['digest']}`"] for key, value in named.items()),
        ["commit", f"`{evidence['commit'] or 'not given'}`", ""],
        ["evaluation", evidence["evaluation_run"]["url"], ""],
    ]
    return "## What was judged\n\n" + _table(["", "name", "digest"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _quoted(text: str) -> str:
    return f"`{one_line(text).replace('`', ' ')}`"


def _points(fraction: float) -> str:
    points = 100 * fraction
    number = f"{points:.1f}" if abs(points) >= 0.1 or not points else f"{points:.1g}"
    return f"{number} point{'' if number == '1.0' else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None or not np.isfinite(value) else f"{value:.4f}"


def _change(ours: float | None, theirs: float | None) -> str:
    return "-" if ours is None or theirs is None else f"{ours - theirs:+.4f}"
