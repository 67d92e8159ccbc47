"""Format the evaluation as Markdown for the person who decides: the verdict first, then the reasons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelgate.gate import comparison, metrics, rules, statistics
from modelgate.gate.metrics import Metric, metric_of
from modelgate.gate.policy import Policy
from modelgate.gate.rules import Outcome
from modelgate.gate.scores import REGRESSION, Scores
from modelgate.gate.wording import LABELS, change, drop, number, short
from modelgate.text import code, markdown

UNCHANGED = "unchanged: this model is already in production"
# With fewer rows, the report begins with what they can show.
FEW_ROWS = 300
# The more candidates the same rows have judged, the more likely it is that one of them passed by luck.
MANY_LOOKS = 10
_URL = re.compile(r"https?://[A-Za-z0-9.:_~%/-]{1,500}")
# What a comment on GitHub shows as it is. Names of classes and groups can be anything.
_PLAIN = re.compile(r"(?:[A-Za-z0-9 ,;%()]|(?<=[0-9])\.(?=[0-9])){1,120}")
MAX_GROUPS, WORST_ROWS, MAX_CELL_CHARS = 100, 10, 4000


def headline(
    outcomes: Sequence[Outcome],
    compared: Mapping[str, float | None] | None,
    value: float | None,
    rows: int,
    policy: Policy,
) -> str:
    """
    Return the first line of report, summary, question and comment: the first rule that refused, how much better or
    worse, and what the rows show.

    compared: from `predictions.comparison`; None if nothing is in production. value: the candidate's value of the
    metric.
    """
    refused = next((outcome for outcome in outcomes if outcome.blocking and not outcome.passed), None)
    verdict = "pass" if rules.passes(outcomes) else f"fail: {_refusal(refused)}" if refused else "fail: no rule"
    metric = metric_of(policy)
    if not rules.sane(outcomes):
        return f"{verdict}; these answers cannot be judged"
    if compared is None:
        first = "nothing is in production yet"
        return (
            f"{verdict}; {first}" if refused else f"{verdict}: {first}; {metric.title} {number(value)} on {rows:,} rows"
        )
    against = _against(metric, compared, rows)
    if refused and refused.rule != "no_worse":
        return f"{verdict}; {against}"
    worse = compared["drop"] or 0.0
    if value is not None and worse > 0 and policy.name in ("no_worse", "non_inferior"):
        production = value - worse if metric.error else value + worse
        against += f"; the margin is {short(metric, policy.allowed(production))}"
    return f"{verdict}: {against}"


def _against(metric: Metric, compared: Mapping[str, float | None], rows: int) -> str:
    """Return how much better or worse than production, and what the rows show."""
    by, shown = compared["drop"] or 0.0, compared["shown"]
    subject = "" if metric.name == "accuracy" else f"{metric.title} "
    if by:
        lower = (by > 0) != metric.error
        differs = f"{subject}{short(metric, abs(by))} {'lower' if lower else 'higher'} than production"
    else:
        differs = f"{subject}as in production" if subject else "as accurate as production"
    what = f"and {rows:,} rows show at least {short(metric, shown)}" if shown else f"within what {rows:,} rows can tell"
    return f"{differs}, {what}"


def _refusal(refused: Outcome) -> str:
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


def warnings(outcomes: Sequence[Outcome], scores: Scores, policy: Policy, looks: int | None) -> tuple[str, ...]:
    """Return what a person should know first: that there are few rows, or that they have judged often."""
    lines = []
    if scores.rows < FEW_ROWS and rules.sane(outcomes):
        lines.append(f"{scores.rows} rows show little: {'; '.join(_can_show(scores, policy))}.")
    if looks is not None and looks > MANY_LOOKS:
        lines.append(
            f"These eval rows have judged {looks} different candidates. The more they judge, the likelier one passes "
            "by luck. Take new rows."
        )
    return tuple(lines)


def _can_show(scores: Scores, policy: Policy) -> list[str]:
    """Return what so few rows can show: the value that reaches the floor, and the drops that may pass."""
    metric = metric_of(policy)
    value = comparison.estimate(scores, policy)
    most = policy.at_most is not None
    limit = policy.at_most if most else policy.at_least
    said = []
    if limit is not None:
        if metric.made_of == metrics.SHARE:
            needs = statistics.smallest_share(limit, scores.rows)
        else:
            needs = limit - (value.upper - value.value) if most else limit + (value.value - value.lower)
        said.append(f"to reach the {'limit' if most else 'floor'} of {limit:.4g}, a model needs about {needs:.4g}")
    if (compared := comparison.difference(scores, policy)) is not None:
        smallest = comparison.smallest_drop(scores, policy, compared)
        said.append(f"a {drop(metric)} of less than {short(metric, smallest)} may pass")
    return said


def report(evidence: Mapping[str, Any], outcomes: Sequence[Outcome], scores: Scores, policy: Policy) -> str:
    """Return the whole page."""
    parts = [
        f"# {markdown(evidence['headline'])}",
        "\n".join(_warning(line) for line in evidence["warnings"]),
        code(evidence["version"]["name"]),
        _sentence(evidence, outcomes),
        evidence["return"] and f"**{a_return(evidence['return'])}**",
        _comparison(evidence),
        _caveat(evidence, policy),
        _rules(outcomes),
    ]
    if complete(outcomes):
        parts += [_slices(scores, policy), _behaviour(scores, policy)]
        if scores.is_regression:
            parts += [_worst(scores), _groups(scores, policy)]
        else:
            parts += [_per_class(scores), _groups(scores, policy), _confusion(scores), _reliability(scores)]
    return "\n\n".join(filter(None, [*parts, _lineage(evidence)])) + "\n"


def complete(outcomes: Sequence[Outcome]) -> bool:
    """Return whether every row has a finite answer, so that tables are possible."""
    return all(outcome.passed for outcome in outcomes if outcome.rule in ("every_row_scored", "finite_scores"))


def unchanged(version: str, production: str) -> str:
    """Return the page for a candidate that is the model in production."""
    return (
        f"# {UNCHANGED}\n\n`{version}` is the same model as `{production}`, which is `production` now. "
        "There is nothing to decide.\n"
    )


def a_return(was: Mapping[str, Any]) -> str:
    """Say that the candidate was in production before, with text from the ledger in code quotes."""
    until = f" to {code(was['until'])}" if was["until"] else ""
    return (
        f"Rollback: this model was in production before, as {code(was['version'])}, by entry v{was['entry']} of the "
        f"ledger, from {code(was['since'])}{until}."
    )


def per_class(scores: Scores) -> list[list[Any]]:
    """Return for each class: class, rows, the fraction that the candidate gets right, and production's (None without
    one).
    """
    models = [scores.candidate, scores.production]
    answers = [None if rows is None else metrics.correct(scores.targets, rows) for rows in models]
    table: list[list[Any]] = []
    for label in range(scores.candidate.shape[1]):
        of_class = scores.targets == label
        rows = int(of_class.sum())
        fractions = [None if marks is None or rows == 0 else float(marks[of_class].mean()) for marks in answers]
        table.append([scores.class_name(label), rows, *fractions])
    return table


def per_group(scores: Scores, policy: Policy) -> list[tuple[str, int, float, float | None]]:
    """Return for each group of rows except the classes: name, rows, the fraction that each model gets right."""
    ours, theirs = metrics.both_correct(scores, policy)
    named = [
        (name, rows) for name, rows in rules.groups(scores) if scores.is_regression or not name.startswith("class ")
    ]
    return [
        (name, int(rows.sum()), float(ours[rows].mean()), None if theirs is None else float(theirs[rows].mean()))
        for name, rows in named[:MAX_GROUPS]
    ]


def worst_rows(scores: Scores) -> list[list[Any]]:
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


def _sentence(evidence: Mapping[str, Any], outcomes: Sequence[Outcome]) -> str:
    refused = [outcome.rule for outcome in outcomes if outcome.blocking and not outcome.passed]
    if refused:
        return f"Refused by {', '.join(f'`{rule}`' for rule in refused)}."
    against = evidence["production"]
    compared = f"compared with production, {markdown(against['name'])}" if against else "nothing is in production yet"
    return f"Every rule of the policy `{evidence['policy']['name']}` passed; {compared}."


def _comparison(evidence: Mapping[str, Any]) -> str:
    ours, theirs = evidence["metrics"]["candidate"], evidence["metrics"]["production"] or {}
    of_classes = () if evidence["task"] == REGRESSION else ("accuracy", "loss", "calibration_error")
    measured = [
        *((LABELS[key], ours[key], theirs.get(key)) for key in of_classes),
        *((_label(name), ours["other"][name], theirs.get("other", {}).get(name)) for name in sorted(ours["other"])),
        (LABELS["latency_ms"], ours["latency_ms"], theirs.get("latency_ms")),
    ]
    rows = [[label, number(value), number(other), change(value, other)] for label, value, other in measured]
    sizes = [f"{value['size_bytes']:,}" if value else "-" for value in (ours, theirs)]
    return _table(["", "candidate", "production", "change"], [*rows, [LABELS["size_bytes"], *sizes, "-"]])


def _label(name: str) -> str:
    metric = metrics.METRICS.get(name)
    return f"{metric.title if metric else name}{' (fraction)' if metric and metric.fraction else ''}"


def _caveat(evidence: Mapping[str, Any], policy: Policy) -> str:
    """Say what these rows could not have shown, because passing does not prove equality."""
    if not (compared := evidence["comparison"]):
        return ""
    metric = metric_of(policy)
    worse = drop(metric)
    needed = compared["rows_needed"] if policy.name == "non_inferior" else None
    return (
        f"On {evidence['dataset']['eval_rows']} rows like these, a {worse} of "
        f"{short(metric, compared['smallest_drop'])} or more is refused four times out of five. Less may pass. "
        + _sum_of_drops(metric, compared["drops_since_first"], evidence["verdict"])
    ) + (
        f" With {needed:,} rows, `non_inferior` passes a model as good as production four times out of five."
        if needed
        else ""
    )


def _sum_of_drops(metric: Metric, drops: float, verdict: str) -> str:
    """Say what all promotions cost or brought together, with this one, which may not become one."""
    change_of_all = drop(metric) if drops >= 0 else "fall" if metric.error else "gain"
    amount = f"a {change_of_all} of {short(metric, abs(drops))}"
    if verdict == "pass":
        return f"With this one, the promotions judged by {metric.title} so far add up to {amount}."
    return f"If this one were promoted, the promotions judged by {metric.title} so far would add up to {amount}."


def _rules(outcomes: Sequence[Outcome]) -> str:
    rows = [
        [
            _code(outcome.rule),
            "passed" if outcome.passed else _Markup("**refused**") if outcome.blocking else "shown only",
            outcome.reason,
            _method(outcome),
        ]
        for outcome in outcomes
    ]
    return "## Rules\n\n" + _table(["rule", "", "why", "method (exact or approximate)"], rows)


def _method(outcome: Outcome) -> str:
    """Return how the rule decides, and how often it errs."""
    if outcome.method is None:
        return ""
    measured = comparison.MEASURED.get(outcome.method)
    told = f"; in simulations it erred {measured} of the time instead of 5 %" if measured else ""
    return f"{outcome.method}: {outcome.level}{told}"


def moved_slices(scores: Scores, policy: Policy) -> list[tuple[str, int, int, int]]:
    """Return the slices in which a row regressed or improved, the worst first: name, rows, how many of each."""
    moved = [row for row in rules.slice_table(scores, policy) if row[2] or row[3]]
    return sorted(moved, key=lambda row: row[3] - row[2])


def _slices(scores: Scores, policy: Policy) -> str:
    rows = [[str(cell) for cell in row] for row in moved_slices(scores, policy)[:MAX_GROUPS]]
    if not rows:
        return ""
    return "## Slices, the worst first\n\n" + _table(["slice", "rows", "regressed", "improved"], rows)


def _right(scores: Scores) -> str:
    """Return the name of the fraction of right answers."""
    return "Rows within the tolerance" if scores.is_regression else "Accuracy"


def _behaviour(scores: Scores, policy: Policy) -> str:
    """Return the share of right answers for varied rows."""
    if not scores.varied:
        return ""
    rows = [
        [name, number(ours), number(theirs), change(ours, theirs)]
        for name, ours, theirs in rules.behaviour_table(scores, policy)
    ]
    heading = f"## {_right(scores)} under small changes\n\n"
    return heading + _table(["", "candidate", "production", "change"], rows)


def _groups(scores: Scores, policy: Policy) -> str:
    rows = [
        [name, str(count), number(ours), number(theirs), change(ours, theirs)]
        for name, count, ours, theirs in per_group(scores, policy)
    ]
    heading = f"## {_right(scores)} by group\n\n"
    return heading + _table(["group", "rows", "candidate", "production", "change"], rows) if rows else ""


def _worst(scores: Scores) -> str:
    rows = [
        [str(row), *("-" if value is None else f"{value:.6g}" for value in values)]
        for row, *values in worst_rows(scores)
    ]
    heading = "## The largest errors\n\n"
    return heading + _table(["row", "truth", "candidate", "error", "production"], rows)


def _reliability(scores: Scores) -> str:
    rows = [
        [f"up to {edge:.1f}", str(count), number(confidence), number(answered)]
        for edge, count, confidence, answered in metrics.reliability(scores.targets, scores.candidate)
    ]
    return "## How confident the candidate is, and how often it is right\n\n" + _table(
        ["confidence", "rows", "mean", "correct"], rows
    )


def _per_class(scores: Scores) -> str:
    rows = [
        [str(label), str(count), number(ours), number(theirs), change(ours, theirs)]
        for label, count, ours, theirs in per_class(scores)
    ]
    return "## Per class\n\n" + _table(["class", "rows", "candidate", "production", "change"], rows)


def _confusion(scores: Scores) -> str:
    counts = metrics.confusion(scores.targets, scores.candidate)
    names = [scores.class_name(label) for label in range(len(counts))]
    rows = [
        [_Markup(f"**{_cell(name)}**"), *(str(n) if n else "·" for n in row)]
        for name, row in zip(names, counts, strict=True)
    ]
    heading = "## Confusion of the candidate (rows: truth, columns: answer)\n\n"
    return heading + _table(["", *names], rows)


def _lineage(evidence: Mapping[str, Any]) -> str:
    named = {key: evidence[key] or {"name": "none", "digest": "-"} for key in ("version", "dataset", "production")}
    rows = [
        *([key, _code(value["name"]), _code(value["digest"])] for key, value in named.items()),
        ["commit", _code(evidence["commit"] or "not given"), ""],
        ["evaluation", _address(evidence["evaluation_run"]["url"]), ""],
    ]
    return "## What was judged\n\n" + _table(["", "name", "digest"], rows)


class _Markup(str):
    """A table cell that is already Markdown. Any other is text from outside."""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, [_Markup("---")] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text if isinstance(text, _Markup) else markdown(text, MAX_CELL_CHARS)


def _code(text: str) -> _Markup:
    """Return a cell with its bars escaped, because a bar would begin a new cell, even in code."""
    return _Markup(code(text).replace("|", "\\|"))


def _address(url: str) -> _Markup:
    """Return a link. An address that is not plain is shown as text."""
    return _Markup(url if _URL.fullmatch(url) else markdown(url))


def _warning(line: str) -> str:
    """Return a line as code, because parts of it are other people's text. The address of a run at its end becomes a
    link.
    """
    text, colon, address = line.rpartition(": ")
    if colon and _URL.fullmatch(address):
        return f"- {code(text, MAX_CELL_CHARS)} ([run]({address}))"
    return f"- {code(line, MAX_CELL_CHARS)}"
