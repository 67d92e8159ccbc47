"""
Write what to say about a model: the verdict first, then the reasons, with diagrams that GitHub renders.

Everything comes from `result.json` and `evidence.json`; the report is quoted and never parsed. For a fork, strangers
wrote these files, so the form of each value is checked before it becomes part of a text, a diagram or a link, and the
report is put between fences.
"""

from __future__ import annotations

import json
import re
from typing import Any

from forms import get_at, get_count, get_number, get_url, list_items, match_form

MARK = "<!-- modelgate{} -->"  # with the use case
SIGNS = {"pass": "✅", "fail": "⛔", "unchanged": "⚪"}
MAX_COMMENT = 65_000  # GitHub allows 65,536 characters
MAX_ROWS = 8
MAX_RULES = 20
MAX_WARNINGS, MAX_WARNING = 20, 600
# A label is `is 3 (5)`; narrow, so that it is not made smaller where there is little room.
SANKEY = {"prefix": "(", "suffix": ")", "width": 420}
SANKEY_HEIGHT, FLOW_HEIGHT = 60, 30
# How a rule can end, and its box.
COLOURS = {
    "passed": "fill:#dafbe1,stroke:#1a7f37",
    "shown only": "fill:#fff8c5,stroke:#9a6700",
    "refused": "fill:#ffebe9,stroke:#cf222e",
}
NAME = r"[\w.-]{1,128}/[\w.-]{1,128}/[\w.-]{1,128}:v[0-9]{1,9}"
RULE = r"[a-z_]{1,60}"
METRIC = r"[a-z][a-z0-9_]{0,39}"
SLICE = r"[\w .=:-]{1,60}"
CLASS = r"[\w .-]{1,40}"
# A dot only inside a number, a colon only before a blank, `_` only inside a word: GitHub makes a link of www.example,
# but not of a number.
SENTENCE = r"(?:[A-Za-z0-9 ,;%()]|(?<=[0-9])\.(?=[0-9])|(?<=[a-z])_(?=[a-z])|:(?= )){1,300}"


def write_page(use_case: str, result: dict[str, Any], evidence: dict[str, Any], report: str, variables: Any) -> str:
    """Return the whole comment on a model."""
    verdict = match_form(result.get("verdict"), "|".join(SIGNS))
    rules = group_rules(evidence)
    stranger = variables["FROM_STRANGER"] != "false"
    # The W&B of a stranger's run is gone, and its addresses may lead anywhere.
    links = [f"[workflow run]({variables['RUN_URL']})", *([] if stranger else list_links(result, evidence))]
    parts = [
        get_marker(use_case),
        (f"`{use_case}` " if use_case else "")
        + (write_first_line(result, verdict) or f"⚠️ **no verdict**: {describe_stop(variables['JOBS'])}"),
        variables["THEN"] if verdict == "pass" else write_refusals(evidence),
        write_warnings(evidence, stranger),
        " · ".join(links) + f" · commit `{re.sub(r'[^0-9a-f]', '', variables['SHA'])[:12]}`",
    ]
    if verdict:
        parts += [
            write_comparison(evidence),
            draw_gate(rules, verdict),
            write_slices(evidence),
            draw_confusion(evidence),
        ]
        parts.append(draw_lineage(result, evidence, verdict))
    text = "\n\n".join(filter(None, parts))
    return text + quote_report(report, MAX_COMMENT - len(text), stranger) + "\n"


def write_title(result: dict[str, Any], verdict: str | None, stranger: bool) -> str:
    """Return the check run's one line."""
    if verdict is None:
        return "no verdict"
    line = write_first_line(result, verdict).partition(" ")[2].replace("*", "")
    return f"the pull request's own code says {line}" if stranger else line


def get_marker(use_case: str) -> str:
    """Return the line that tells a comment of ours from any other, and what it is on."""
    return MARK.format(f" {use_case}" if use_case else "")


def write_first_line(result: dict[str, Any], verdict: str | None) -> str:
    """Return the headline that evaluate wrote, if it is a sentence about this verdict."""
    if verdict is None:
        return ""
    prefix, _, rest = (match_form(result.get("headline"), SENTENCE) or "").partition(": ")
    return f"{SIGNS[verdict]} **{verdict}**" + (f": {rest}" if prefix == verdict and rest else "")


def describe_stop(jobs: str) -> str:
    """Return where the workflow run stopped, from toJSON(needs)."""
    for name, job in json.loads(jobs or "{}").items():
        if job.get("result") not in ("success", "skipped"):
            ended = "was cancelled" if job.get("result") == "cancelled" else "failed"
            return f"`{name}` {ended}; its log in the workflow run says why"
    return "nothing was evaluated"


def write_warnings(evidence: dict[str, Any], stranger: bool) -> str:
    """
    Return what differs from production and what is unusual, one per line: as code, so GitHub makes no link of a name.
    """
    lines = get_at(evidence, "warnings")
    if not isinstance(lines, list):
        return ""
    shown = [write_warning(line, stranger) for line in lines[:MAX_WARNINGS] if isinstance(line, str)]
    # With a separate line above them; otherwise GitHub would join these and the refusals before them into one list.
    return "\n".join(["Note:", *filter(None, shown)]) if any(shown) else ""


def write_warning(line: str, stranger: bool) -> str:
    """One line; the address at its end becomes a link, if no stranger wrote it."""
    text, _, address = line.partition(": http")
    linked = None if stranger else get_url(f"http{address}")
    return f"- {to_code(text)}" + (f" ([run]({linked}))" if linked else "") if to_code(text) else ""


def to_code(text: str) -> str:
    """
    Return a text as code, of which GitHub makes no link, no mention and no markup; empty if nothing of it can be shown.
    """
    text = "".join(char for char in text[:MAX_WARNING] if char.isprintable() and char != "`").strip()
    return f"`{text}`" if text else ""


def write_comparison(evidence: dict[str, Any]) -> str:
    """
    Return the candidate next to production, if there is one: three columns, which a telephone shows without scrolling.
    """
    lines = ["| | candidate (change) | production |", "|---|---|---|"]
    other = get_at(evidence, "metrics", "candidate", "other")
    metrics = sorted(match_form(name, METRIC) or "" for name in other)[:MAX_ROWS] if isinstance(other, dict) else []
    for path in (("accuracy",), ("loss",), *(("other", name) for name in metrics if name)):
        ours, theirs = (get_number(get_at(evidence, "metrics", role, *path)) for role in ("candidate", "production"))
        if ours is not None and theirs is not None:
            label = path[-1].replace("_", " ")
            lines.append(f"| {label} | {ours:.4f} ({ours - theirs:+.4f}) | {theirs:.4f} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def list_links(result: dict[str, Any], evidence: dict[str, Any]) -> list[str]:
    """Version, evaluation and dataset in W&B."""
    run, version = get_url(get_at(evidence, "evaluation_run", "url")), get_url(result.get("url"))
    links = [f"[{word}]({address})" for word, address in (("version", version), ("evaluation", run)) if address]
    dataset = match_form(get_at(evidence, "dataset", "name"), NAME)
    if run and dataset and "/runs/" in run:
        entity, project, collection = dataset.split("/")
        name, _, version_number = collection.partition(":")
        host = run.rpartition("/runs/")[0].rsplit("/", 2)[0]
        links.append(f"[dataset]({host}/{entity}/{project}/artifacts/dataset/{name}/{version_number})")
    return links


def group_rules(evidence: dict[str, Any]) -> dict[str, list[str]]:
    """Return how a rule can end, to the names of those that did."""
    groups: dict[str, list[str]] = {outcome: [] for outcome in COLOURS}
    for rule in list_items(evidence, "rules")[:MAX_RULES]:
        name, passed, blocking = match_form(rule.get("rule"), RULE), rule.get("passed"), rule.get("blocking")
        if name and isinstance(passed, bool) and isinstance(blocking, bool):
            groups["passed" if passed else "refused" if blocking else "shown only"].append(name)
    return groups


def write_refusals(evidence: dict[str, Any]) -> str:
    """Return each rule that refused, with its reason."""
    lines = []
    for rule in list_items(evidence, "rules")[:MAX_RULES]:
        name, reason = match_form(rule.get("rule"), RULE), rule.get("reason")
        if name and rule.get("passed") is False and rule.get("blocking") is True:
            lines.append(f"- `{name}`: {to_code(reason) if isinstance(reason, str) else ''}".rstrip(": "))
    return "\n".join(["Refused by:", *lines]) if lines else ""


def draw_gate(rules: dict[str, list[str]], verdict: str) -> str:
    """Return the rules by how they ended, one box for each end: a picture as narrow as a telephone can show."""
    ends = [outcome for outcome in COLOURS if rules[outcome]]
    if not ends:
        return ""
    boxes = [f'  r{i}["<b>{outcome}</b><br/>{"<br/>".join(rules[outcome])}"]:::c{i}' for i, outcome in enumerate(ends)]
    lines = ["```mermaid", "flowchart TB", *boxes, f'  v{{"{verdict}"}}']
    lines.append("  " + " --> ".join([*(f"r{i}" for i in range(len(ends))), "v"]))
    lines += [f"  classDef c{i} {COLOURS[outcome]},color:#1f2328" for i, outcome in enumerate(ends)]
    return "**The gate**\n\n" + "\n".join([*lines, "```"])


def write_slices(evidence: dict[str, Any]) -> str:
    """Return the slices that moved most, as a table. Names are code, so that GitHub makes no link of one."""
    lines = []
    for item in list_items(evidence, "slices"):
        rows, regressed, improved = (get_count(item.get(key)) for key in ("rows", "regressed", "improved"))
        if (name := match_form(item.get("name"), SLICE)) and None not in (rows, regressed, improved):
            lines.append(f"| `{name}` | {regressed} of {rows} | {improved} of {rows} |")
    if not lines:
        return ""
    head = ["| slice | regressed | improved |", "|---|---|---|"]
    explanation = "regressed: rows that production gets right and the candidate gets wrong; improved: the opposite"
    return f"**Slices that changed** ({explanation})\n\n" + "\n".join([*head, *lines[:MAX_ROWS]])


def draw_confusion(evidence: dict[str, Any]) -> str:
    """Return which class is taken for which, the most frequent first: truth on the left, answer on the right."""
    flows = []
    for item in list_items(evidence, "confusion"):
        truth, answer = (match_form(item.get(key), CLASS) for key in ("truth", "answer"))
        if truth and answer and (rows := get_count(item.get("rows"))):
            flows.append((rows, f"is {truth},taken for {answer},{rows}"))
    if not flows:
        return ""
    drawn = [flow for _, flow in sorted(flows, key=lambda flow: -flow[0])[:MAX_ROWS]]
    form = json.dumps({"sankey": SANKEY | {"height": SANKEY_HEIGHT + FLOW_HEIGHT * len(drawn)}})
    lines = ["```mermaid", f"%%{{init: {form}}}%%", "sankey-beta", "", *drawn]
    return "**The most frequent mistakes** (in rows)\n\n" + "\n".join([*lines, "```"])


def draw_lineage(result: dict[str, Any], evidence: dict[str, Any], verdict: str) -> str:
    """From the dataset to the evidence that waits for approval."""
    names = {key: match_form(get_at(evidence, key, "name"), NAME) for key in ("dataset", "version", "production")}
    judged = match_form(result.get("evidence"), NAME)
    if not (names["dataset"] and names["version"] and judged):
        return ""
    short = {key: name.rpartition("/")[2] for key, name in names.items() if name}
    lines = [
        "```mermaid",
        "flowchart TB",
        f'  d[("dataset<br/>{short["dataset"]}")] --> m["candidate<br/>{short["version"]}"]',
        f'  m --> e["evidence<br/>{judged.rpartition("/")[2]}"]',
        "  d --> e",
    ]
    if production := short.get("production"):
        lines.append(f'  p["production<br/>{production}"] --> e')
    lines += [f'  e --> v{{"{verdict}"}}', "```"]
    return "**Where it comes from**\n\n" + "\n".join(lines)


def quote_report(report: str, room: int, from_stranger: bool) -> str:
    """Return the whole report, folded; a stranger's goes between fences that no line of it can close."""
    if not report:
        return ""
    before, after = "\n\n<details><summary>The whole report</summary>\n\n", "\n\n</details>"
    if from_stranger:
        fence = "~" * (1 + max([2, *map(len, re.findall(r"~+", report))]))
        before, after = f"{before}{fence}text\n", f"\n{fence}{after}"
    room -= len(before) + len(after) + 100
    if len(report) > room:
        report = report[:room].rpartition("\n")[0] + "\n\n(truncated here; the workflow run has all of it)"
    return before + report.strip("\n") + after
