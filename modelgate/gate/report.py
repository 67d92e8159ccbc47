"""Format the evaluation as Markdown for the person who decides: the verdict first, then the reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgate.gate import comparison, metrics, rules, statistics
from modelgate.gate.metrics import Metric, get_metric
from modelgate.gate.policy import Policy
from modelgate.gate.rules import Outcome
from modelgate.gate.scores import REGRESSION, Scores
from modelgate.gate.wording import LABELS, change, drop, format_number, format_short
from modelgate.text import to_code, to_markdown

UNCHANGED = "unchanged: this model is already in production"
# With fewer rows, the report begins with what they can show.
FEW_ROWS = 300
# The more candidates the same rows have judged, the more likely it is that one of them passed by luck.
MANY_LOOKS = 10
_URL = re.compile(r"https?://[A-Za-z0-9.:_~%/-]{1,500}")
# What a comment on GitHub shows as it is. Names of classes and groups can be anything.
_PLAIN = re.compile(r"(?:[A-Za-z0-9 ,;%()]|(?<=[0-9])\.(?=[0-9])){1,120}")
MAX_GROUPS, WORST_ROWS, MAX_CELL_CHARS = 100, 10, 4000


def write_headline(
    outcomes: Sequence[Outcome],
    compared: Mapping[str, float | None] | None,
    value: float | None,
    rows: int,
    policy: Policy,
) -> str:
    """
    Return the first line of report, summary, question and comment: the first rule that refused, how much better or
    worse, and what the rows show.

    compared: from `predictions.describe_comparison`; None if nothing is in production. value: the candidate's value of
    the metric.
    """
    refused = next((outcome for outcome in outcomes if outcome.blocking and not outcome.passed), None)
    verdict = (
        "pass" if rules.passes_gate(outcomes) else f"fail: {_describe_refusal(refused)}" if refused else "fail: no rule"
    )
    metric = get_metric(policy)
    if not rules.is_sane(outcomes):
        return f"{verdict}; these answers cannot be judged"
    if compared is None:
        first = "nothing is in production yet"
        return (
            f"{verdict}; {first}"
            if refused
            else f"{verdict}: {first}; {metric.title} {format_number(value)} on {rows:,} rows"
        )
    against = _describe_difference(metric, compared, rows)
    if policy.name == "rollback":
        against = f"a rollback, {against}"
    if refused and refused.rule != "no_worse":
        return f"{verdict}; {against}"
    worse = compared["drop"] or 0.0
    if value is not None and worse > 0 and policy.name in ("no_worse", "non_inferior"):
        production = value - worse if metric.error else value + worse
        against += f"; the margin is {format_short(metric, policy.compute_margin(production))}"
    return f"{verdict}: {against}"


def _describe_difference(metric: Metric, compared: Mapping[str, float | None], rows: int) -> str:
    """Return how much better or worse than production, and what the rows show."""
    by, shown = compared["drop"] or 0.0, compared["shown"]
    subject = "" if metric.name == "accuracy" else f"{metric.title} "
    if by:
        lower = (by > 0) != metric.error
        differs = f"{subject}{format_short(metric, abs(by))} {'lower' if lower else 'higher'} than production"
    else:
        differs = f"{subject}as in production" if subject else "as accurate as production"
    conclusion = (
        f"and {rows:,} rows show at least {format_short(metric, shown)}"
        if shown
        else f"within what {rows:,} rows can tell"
    )
    return f"{differs}, {conclusion}"


def _describe_refusal(refused: Outcome) -> str:
    """Return the rule that refused, with the first figure of its reason if that is made of plain words alone."""
    clauses = refused.reason.split("; ")
    if refused.rule == "no_worse":  # the rest of the line has it
        return refused.rule
    if refused.rule == "floor":
        figure = refused.reason
    else:
        figure = clauses[1] if refused.rule == "non_inferior" else clauses[0].partition(": ")[0]
    listed = re.split(r"(?<=\)), ", figure)[0]  # of several slices, the first
    plain = [text for text in (listed, listed.partition(" (")[0]) if _PLAIN.fullmatch(text)]
    return f"{refused.rule}: {plain[0]}" if plain else refused.rule


def list_warnings(outcomes: Sequence[Outcome], scores: Scores, policy: Policy, looks: int | None) -> tuple[str, ...]:
    """Return what a person should know first: that there are few rows, or that they have judged often."""
    lines = []
    if scores.rows < FEW_ROWS and rules.is_sane(outcomes):
        lines.append(f"{scores.rows} rows show little: {'; '.join(_can_show(scores, policy))}.")
    if looks is not None and looks > MANY_LOOKS:
        lines.append(
            f"These eval rows have judged {looks} different candidates. The more they judge, the likelier one passes "
            "by luck. Take new rows."
        )
    return tuple(lines)


def _can_show(scores: Scores, policy: Policy) -> list[str]:
    """Return what so few rows can show: the value that reaches the floor, and the drops that may pass."""
    metric = get_metric(policy)
    value = comparison.estimate(scores, policy)
    most = policy.at_most is not None
    limit = policy.at_most if most else policy.at_least
    parts = []
    if limit is not None:
        if metric.made_of == metrics.SHARE:
            needs = statistics.find_smallest_share(limit, scores.rows)
        else:
            needs = limit - (value.upper - value.value) if most else limit + (value.value - value.lower)
        parts.append(f"to reach the {'limit' if most else 'floor'} of {limit:.4g}, a model needs about {needs:.4g}")
    if (compared := comparison.compute_difference(scores, policy)) is not None:
        smallest = comparison.find_smallest_drop(scores, policy, compared)
        parts.append(f"a {drop(metric)} of less than {format_short(metric, smallest)} may pass")
    return parts


def report(evidence: Mapping[str, Any], outcomes: Sequence[Outcome], scores: Scores, policy: Policy) -> str:
    """Return the whole page."""
    parts = [
        f"# {to_markdown(evidence['headline'])}",
        "\n".join(_render_warning(line) for line in evidence["warnings"]),
        to_code(evidence["version"]["name"]),
        _write_sentence(evidence, outcomes),
        evidence["return"] and f"**{describe_return(evidence['return'])}**",
        _write_comparison(evidence),
        _write_caveat(evidence, policy),
        _write_rules(outcomes),
    ]
    if complete(outcomes):
        parts += [_write_slices(scores, policy), _write_behaviour(scores, policy)]
        if scores.is_regression:
            parts += [_write_worst(scores), _write_groups(scores, policy)]
        else:
            parts += [
                _write_classes(scores),
                _write_groups(scores, policy),
                _write_confusion(scores),
                _write_reliability(scores),
            ]
    return "\n\n".join(filter(None, [*parts, _write_lineage(evidence)])) + "\n"


def complete(outcomes: Sequence[Outcome]) -> bool:
    """Return whether every row has a finite answer, so that tables are possible."""
    return all(outcome.passed for outcome in outcomes if outcome.rule in ("every_row_scored", "finite_scores"))


def write_unchanged(version: str, production: str) -> str:
    """Return the page for a candidate that is the model in production."""
    return (
        f"# {UNCHANGED}\n\n`{version}` is the same model as `{production}`, which is `production` now. "
        "There is nothing to decide.\n"
    )


def describe_return(was: Mapping[str, Any]) -> str:
    """Say that the candidate was in production before, with text from the ledger in code quotes."""
    until = f" to {to_code(was['until'])}" if was["until"] else ""
    return (
        f"Rollback: this model was in production before, as {to_code(was['version'])}, by entry v{was['entry']} of the "
        f"ledger, from {to_code(was['since'])}{until}."
    )


def measure_classes(scores: Scores) -> list[list[Any]]:
    """Return for each class: class, rows, the fraction that the candidate gets right, and production's (None without
    one).
    """
    models = [scores.candidate, scores.production]
    answers = [None if rows is None else metrics.mark_correct(scores.targets, rows) for rows in models]
    table: list[list[Any]] = []
    for label in range(scores.candidate.shape[1]):
        of_class = scores.targets == label
        rows = int(of_class.sum())
        fractions = [None if marks is None or rows == 0 else float(marks[of_class].mean()) for marks in answers]
        table.append([scores.get_class_name(label), rows, *fractions])
    return table


def measure_groups(scores: Scores, policy: Policy) -> list[tuple[str, int, float, float | None]]:
    """Return for each group of rows except the classes: name, rows, the fraction that each model gets right."""
    ours, theirs = metrics.mark_both_correct(scores, policy)
    masks = [
        (name, rows)
        for name, rows in rules.list_groups(scores)
        if scores.is_regression or not name.startswith("class ")
    ]
    return [
        (name, int(rows.sum()), float(ours[rows].mean()), None if theirs is None else float(theirs[rows].mean()))
        for name, rows in masks[:MAX_GROUPS]
    ]


def list_worst_rows(scores: Scores) -> list[list[Any]]:
    """Return the rows of a regression with the largest errors: row, target, answer, error, and production's answer."""
    off = scores.candidate - scores.targets
    worst = np.argsort(-np.abs(off), kind="stable")[:WORST_ROWS]
    theirs = scores.production
    return [
        [
            int(row),
            float(scores.targets[row]),
            float(scores.candidate[row]),
            float(off[row]),
            None if theirs is None else float(theirs[row]),
        ]
        for row in worst
    ]


def _write_sentence(evidence: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    refused = [outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed]
    if refused:
        return f"Refused by {', '.join(f'`{rule}`' for rule in refused)}."
    against = evidence["production"]
    compared = (
        f"compared with production, {to_markdown(against['name'])}" if against else "nothing is in production yet"
    )
    return f"Every rule of the policy `{evidence['policy']['name']}` passed; {compared}."


def _write_comparison(evidence: Mapping[str, Any]) -> str:
    ours, theirs = evidence["metrics"]["candidate"], evidence["metrics"]["production"] or {}
    of_classes = () if evidence["task"] == REGRESSION else ("accuracy", "loss", "calibration_error")
    measured = [
        *((LABELS[key], ours[key], theirs.get(key)) for key in of_classes),
        *((_label(name), ours["other"][name], theirs.get("other", {}).get(name)) for name in sorted(ours["other"])),
        (LABELS["latency_ms"], ours["latency_ms"], theirs.get("latency_ms")),
    ]
    rows = [
        [label, format_number(value), format_number(other), change(value, other)] for label, value, other in measured
    ]
    sizes = [f"{value['size_bytes']:,}" if value else "-" for value in (ours, theirs)]
    return _render_table(["", "candidate", "production", "change"], [*rows, [LABELS["size_bytes"], *sizes, "-"]])


def _label(name: str) -> str:
    metric = metrics.METRICS.get(name)
    return f"{metric.title if metric else name}{' (fraction)' if metric and metric.fraction else ''}"


def _write_caveat(evidence: Mapping[str, Any], policy: Policy) -> str:
    """Say what these rows could not have shown, because passing does not prove equality."""
    if not (compared := evidence["comparison"]):
        return ""
    metric = get_metric(policy)
    worse = drop(metric)
    needed = compared["rows_needed"] if policy.name == "non_inferior" else None
    return (
        f"On {evidence['dataset']['eval_rows']} rows like these, a {worse} of "
        f"{format_short(metric, compared['smallest_drop'])} or more is refused four times out of five. Less may pass. "
        + _sum_of_drops(metric, compared["drops_since_first"], evidence["verdict"])
    ) + (
        f" With {needed:,} rows, `non_inferior` passes a model as good as production four times out of five."
        if needed
        else ""
    )


def _sum_of_drops(metric: Metric, drops: float, verdict: str) -> str:
    """Say what all promotions cost or brought together, with this one, which may not become one."""
    change_of_all = drop(metric) if drops >= 0 else "fall" if metric.error else "gain"
    amount = f"a {change_of_all} of {format_short(metric, abs(drops))}"
    if verdict == "pass":
        return f"With this one, the promotions judged by {metric.title} so far add up to {amount}."
    return f"If this one were promoted, the promotions judged by {metric.title} so far would add up to {amount}."


def _write_rules(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            _render_code(outcome.rule),
            "passed" if outcome.passed else _Markup("**refused**") if outcome.blocking else "shown only",
            outcome.reason,
            _describe_method(outcome),
        ]
        for outcome in outcomes
    ]
    return "## Rules\n\n" + _render_table(["rule", "", "why", "method (exact or approximate)"], rows)


def _describe_method(outcome: Outcome) -> str:
    """Return how the rule decides, and how often it errs."""
    if outcome.method is None:
        return ""
    measured = comparison.MEASURED.get(outcome.method)
    measured_rate = f"; in simulations it erred {measured} of the time instead of 5 %" if measured else ""
    return f"{outcome.method}: {outcome.level}{measured_rate}"


def list_moved_slices(scores: Scores, policy: Policy) -> list[tuple[str, int, int, int]]:
    """Return the slices in which a row regressed or improved, the worst first: name, rows, how many of each."""
    moved = [row for row in rules.measure_slices(scores, policy) if row[2] or row[3]]
    return sorted(moved, key=lambda row: row[3] - row[2])


def _write_slices(scores: Scores, policy: Policy) -> str:
    rows = [[str(cell) for cell in row] for row in list_moved_slices(scores, policy)[:MAX_GROUPS]]
    if not rows:
        return ""
    return "## Slices, the worst first\n\n" + _render_table(["slice", "rows", "regressed", "improved"], rows)


def _name_right(scores: Scores) -> str:
    """Return the name of the fraction of right answers."""
    return "Rows within the tolerance" if scores.is_regression else "Accuracy"


def _write_behaviour(scores: Scores, policy: Policy) -> str:
    """Return the share of right answers for varied rows."""
    if not scores.varied:
        return ""
    rows = [
        [name, format_number(ours), format_number(theirs), change(ours, theirs)]
        for name, ours, theirs in rules.measure_behaviour(scores, policy)
    ]
    heading = f"## {_name_right(scores)} under small changes\n\n"
    return heading + _render_table(["", "candidate", "production", "change"], rows)


def _write_groups(scores: Scores, policy: Policy) -> str:
    rows = [
        [name, str(count), format_number(ours), format_number(theirs), change(ours, theirs)]
        for name, count, ours, theirs in measure_groups(scores, policy)
    ]
    heading = f"## {_name_right(scores)} by group\n\n"
    return heading + _render_table(["group", "rows", "candidate", "production", "change"], rows) if rows else ""


def _write_worst(scores: Scores) -> str:
    rows = [
        [str(row), *("-" if value is None else f"{value:.6g}" for value in values)]
        for row, *values in list_worst_rows(scores)
    ]
    heading = "## The largest errors\n\n"
    return heading + _render_table(["row", "truth", "candidate", "error", "production"], rows)


def _write_reliability(scores: Scores) -> str:
    rows = [
        [f"up to {edge:.1f}", str(count), format_number(confidence), format_number(answered)]
        for edge, count, confidence, answered in metrics.bin_reliability(scores.targets, scores.candidate)
    ]
    return "## How confident the candidate is, and how often it is right\n\n" + _render_table(
        ["confidence", "rows", "mean", "correct"], rows
    )


def _write_classes(scores: Scores) -> str:
    rows = [
        [str(label), str(count), format_number(ours), format_number(theirs), change(ours, theirs)]
        for label, count, ours, theirs in measure_classes(scores)
    ]
    return "## Per class\n\n" + _render_table(["class", "rows", "candidate", "production", "change"], rows)


def _write_confusion(scores: Scores) -> str:
    counts = metrics.count_confusion(scores.targets, scores.candidate)
    names = [scores.get_class_name(label) for label in range(len(counts))]
    rows = [
        [_Markup(f"**{_render_cell(name)}**"), *(str(n) if n else "·" for n in row)]
        for name, row in zip(names, counts, strict=True)
    ]
    heading = "## Confusion of the candidate (rows: truth, columns: answer)\n\n"
    return heading + _render_table(["", *names], rows)


def _write_lineage(evidence: Mapping[str, Any]) -> str:
    sources = {key: evidence[key] or {"name": "none", "digest": "-"} for key in ("version", "dataset", "production")}
    rows = [
        *([key, _render_code(value["name"]), _render_code(value["digest"])] for key, value in sources.items()),
        ["commit", _render_code(evidence["commit"] or "not given"), ""],
        ["evaluation", _render_link(evidence["evaluation_run"]["url"]), ""],
    ]
    return "## What was judged\n\n" + _render_table(["", "name", "digest"], rows)


class _Markup(str):
    """A table cell that is already Markdown. Any other is text from outside."""


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, [_Markup("---")] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_render_cell, line))} |" for line in lines)


def _render_cell(text: str) -> str:
    return text if isinstance(text, _Markup) else to_markdown(text, MAX_CELL_CHARS)


def _render_code(text: str) -> _Markup:
    """Return a cell with its bars escaped, because a bar would begin a new cell, even in code."""
    return _Markup(to_code(text).replace("|", "\\|"))


def _render_link(url: str) -> _Markup:
    """Return a link. An address that is not plain is shown as text."""
    return _Markup(url if _URL.fullmatch(url) else to_markdown(url))


def _render_warning(line: str) -> str:
    """Return a line as code, because parts of it are other people's text. The address of a run at its end becomes a
    link.
    """
    text, colon, address = line.rpartition(": ")
    if colon and _URL.fullmatch(address):
        return f"- {to_code(text, MAX_CELL_CHARS)} ([run]({address}))"
    return f"- {to_code(line, MAX_CELL_CHARS)}"
