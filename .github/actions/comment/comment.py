"""
Write the one comment of a pull request: the verdict first, then what it rests on, with pictures that GitHub draws.

Beside action.yml, which passes its inputs as variables. Needs Python alone.

The numbers and names come from what evaluate wrote, which in a fork's case strangers wrote: each is held to the form it
must have before it is part of a picture or a link, and the report itself is quoted.
"""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

MARK = "<!-- modelgate -->"
AUTHOR = "github-actions[bot]"
VERDICTS = {
    "pass": "✅ **pass**",
    "fail": "⛔ **fail**",
    "unchanged": "⚪ **unchanged**: this is the model that production already is",
}
MAX_COMMENT = 65_000  # GitHub takes 65,536 characters
MAX_FILE = 1_000_000
MAX_ROWS = 8
MAX_RULES = 20
# A label is `is 3 (5)`; narrow, so that it is not made smaller where there is little room.
SANKEY = {"prefix": "(", "suffix": ")", "width": 420, "height": 300}
# How a rule ends, in the report's words, and its box.
COLOURS = {
    "passed": "fill:#dafbe1,stroke:#1a7f37",
    "shown only": "fill:#fff8c5,stroke:#9a6700",
    "refused": "fill:#ffebe9,stroke:#cf222e",
}
COUNT = r"[0-9]{1,8}"  # str.isdigit() takes "²" too, which int() does not
NAME = r"[\w.-]{1,128}/[\w.-]{1,128}/[\w.-]{1,128}:v\d{1,9}"


def main() -> int:
    given = os.environ
    folder = Path(given["FOLDER"])
    number = given["PULL_REQUEST"] or of_fork(given["HEAD"], given["SHA"])
    if not number:
        print("there is no open pull request of this commit; nothing to say")
        return 0
    text = page(read(folder / "result.json"), read(folder / "report.md"), given)
    written = write(int(number), text)
    print(f"{written} the comment of #{int(number)}")
    return 0


def read(path: Path) -> str:
    """The beginning of a file that strangers wrote: of whatever size, and no link, which could lead to any other."""
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MAX_FILE).decode(errors="replace")


# --- the page --------------------------------------------------------------------------------------------------------


def page(result_text: str, report: str, given: Any) -> str:
    """The whole comment."""
    try:
        result = json.loads(result_text or "{}")
    except (ValueError, RecursionError):
        result = {}
    result = result if isinstance(result, dict) else {}
    verdict = VERDICTS.get(str(result.get("verdict")), f"⚠️ **no verdict**: {stopped(given['JOBS'])}")
    tables = tables_of(report)
    rules = rules_of(tables)
    stranger = given["FROM_STRANGER"] != "false"
    # A stranger's run had a W&B of its own, whose pages are gone; and its addresses may lead anywhere.
    links = [f"[workflow run]({given['RUN_URL']})", *([] if stranger else links_of(result, tables))]
    parts = [
        MARK,
        f"{verdict}{against_production(result)}",
        given["THEN"] if result.get("verdict") == "pass" else refused_by(rules),
        " · ".join(links) + f" · commit `{re.sub(r'[^0-9a-f]', '', given['SHA'])[:12]}`",
        comparison(result),
        gate_picture(rules, str(result.get("verdict"))),
        slices(tables),
        confusion_picture(tables),
        lineage_picture(result, tables),
    ]
    text = "\n\n".join(filter(None, parts))
    return text + quoted(report, MAX_COMMENT - len(text), stranger) + "\n"


def stopped(jobs: str) -> str:
    """Where the workflow run stopped, from toJSON(needs)."""
    ended = {name: job.get("result") for name, job in json.loads(jobs or "{}").items()}
    bad = [name for name, how in ended.items() if how not in ("success", "skipped")]
    return f"`{bad[0]}` did not end well" if bad else "nothing was evaluated"


def against_production(result: dict[str, Any]) -> str:
    ours, theirs = (number_of(result.get(key)) for key in ("accuracy", "production_accuracy"))
    if ours is None:
        return ""
    if theirs is None:
        return f", accuracy {ours:.4f}; nothing is in production yet"
    return f", accuracy {ours:.4f} against {theirs:.4f} in production ({ours - theirs:+.4f})"


def comparison(result: dict[str, Any]) -> str:
    """The candidate beside production, where there is one."""
    lines = ["| | candidate | production | change |", "|---|---|---|---|"]
    for key in ("accuracy", "loss"):
        ours, theirs = (number_of(result.get(name)) for name in (key, f"production_{key}"))
        if ours is None or theirs is None:
            return ""
        lines.append(f"| {key} | {ours:.4f} | {theirs:.4f} | {ours - theirs:+.4f} |")
    return "\n".join(lines)


def number_of(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9
    return float(value) if good else None  # type: ignore[arg-type]


def links_of(result: dict[str, Any], tables: dict[str, list[list[str]]]) -> list[str]:
    """Version, evaluation and dataset in W&B."""
    run, version = (url_of(result.get(key)) for key in ("run_url", "url"))
    found = [f"[{word}]({url})" for word, url in (("version", version), ("evaluation", run)) if url]
    dataset = judged(tables).get("dataset")
    if run and dataset and "/runs/" in run:
        entity, project, collection = dataset.split("/")
        name, _, number = collection.partition(":")
        host = run.rpartition("/runs/")[0].rsplit("/", 2)[0]
        found.append(f"[dataset]({host}/{entity}/{project}/artifacts/dataset/{name}/{number})")
    return found


def url_of(value: object) -> str | None:
    """An address that can be part of a Markdown link, and of nothing else."""
    good = isinstance(value, str) and re.fullmatch(r"https?://[\w.:/?&=%~#+-]{1,500}", value)
    return str(value) if good else None


# --- what the report's tables say ------------------------------------------------------------------------------------


def tables_of(report: str) -> dict[str, list[list[str]]]:
    """Heading to the rows of the table below it, the head left out."""
    tables: dict[str, list[list[str]]] = {}
    heading = ""
    for line in report.splitlines():
        if line.startswith("## "):
            heading = line[3:].partition(",")[0].partition(" of the ")[0].strip()
        elif line.startswith("|"):
            cells = [cell.strip().strip("`*").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            tables.setdefault(heading, []).append(cells)
    return {heading: rows[2:] for heading, rows in tables.items() if heading}


def judged(tables: dict[str, list[list[str]]]) -> dict[str, str]:
    """What was judged, by its kind: names in the form that W&B gives them."""
    rows = [row for row in tables.get("What was judged", []) if len(row) >= 2]
    return {kind: name for kind, name, *_ in rows if re.fullmatch(NAME, name)}


def rules_of(tables: dict[str, list[list[str]]]) -> dict[str, list[str]]:
    """How a rule can end, to the names of those that did."""
    rows = [row for row in tables.get("Rules", []) if len(row) == 3 and re.fullmatch(r"[a-z_]{1,60}", row[0])]
    return {how: [name for name, end, _ in rows[:MAX_RULES] if end == how] for how in COLOURS}


def refused_by(rules: dict[str, list[str]]) -> str:
    return f"Refused by {', '.join(f'`{name}`' for name in rules['refused'])}." if rules["refused"] else ""


def gate_picture(rules: dict[str, list[str]], verdict: str) -> str:
    """The rules by how they ended, one box for each end: a picture as narrow as a telephone can show."""
    ends = [how for how in COLOURS if rules[how]]
    if not ends or verdict not in VERDICTS:
        return ""
    boxes = [f'  r{i}["<b>{how}</b><br/>{"<br/>".join(rules[how])}"]:::c{i}' for i, how in enumerate(ends)]
    lines = ["```mermaid", "flowchart TB", *boxes, f'  v{{"{verdict}"}}']
    lines.append("  " + " --> ".join([*(f"r{i}" for i in range(len(ends))), "v"]))
    lines += [f"  classDef c{i} {COLOURS[how]},color:#1f2328" for i, how in enumerate(ends)]
    return "**The gate**\n\n" + "\n".join([*lines, "```"])


def slices(tables: dict[str, list[list[str]]]) -> str:
    """The slices that moved most, as a table."""
    rows = [row for row in tables.get("Slices", []) if len(row) == 4 and re.fullmatch(r"[\w .=:-]{1,60}", row[0])]
    rows = [row for row in rows if all(re.fullmatch(COUNT, cell) for cell in row[1:])][:MAX_ROWS]
    if not rows:
        return ""
    head = ["| slice | rows | regressed | improved |", "|---|---|---|---|"]
    lines = [*head, *(f"| {' | '.join(row)} |" for row in rows)]
    words = "regressed: rows that production has right and the candidate has wrong; improved: the other way round"
    return f"**Slices that moved** ({words})\n\n" + "\n".join(lines)


def confusion_picture(tables: dict[str, list[list[str]]]) -> str:
    """What is taken for what, the most frequent first: truth on the left, answer on the right."""
    wrong = []
    for truth, *counts in filter(None, tables.get("Confusion", [])):
        for answer, count in enumerate(counts):
            if re.fullmatch(COUNT, count) and re.fullmatch(COUNT, truth) and int(truth) != answer:
                wrong.append((int(count), int(truth), answer))
    if not wrong:
        return ""
    wrong = sorted(wrong, reverse=True)[:MAX_ROWS]
    lines = ["```mermaid", f"%%{{init: {json.dumps({'sankey': SANKEY})}}}%%", "sankey-beta", ""]
    lines += [f"is {truth},taken for {answer},{count}" for count, truth, answer in wrong]
    return "**What is taken for what** (in rows, the most frequent)\n\n" + "\n".join([*lines, "```"])


def lineage_picture(result: dict[str, Any], tables: dict[str, list[list[str]]]) -> str:
    """From the dataset to what stands for approval."""
    names = judged(tables)
    evidence, verdict = str(result.get("evidence")), str(result.get("verdict"))
    if not {"dataset", "version"} <= names.keys() or not re.fullmatch(NAME, evidence) or verdict not in VERDICTS:
        return ""
    short = {kind: name.rpartition("/")[2] for kind, name in names.items()}
    lines = [
        "```mermaid",
        "flowchart TB",
        f'  d[("dataset<br/>{short["dataset"]}")] --> m["candidate<br/>{short["version"]}"]',
        f'  m --> e["evidence<br/>{evidence.rpartition("/")[2]}"]',
        "  d --> e",
    ]
    if production := short.get("production"):
        lines.append(f'  p["production<br/>{production}"] --> e')
    lines += [f'  e --> v{{"{verdict}"}}', "```"]
    return "**Where it comes from**\n\n" + "\n".join(lines)


def quoted(report: str, room: int, from_stranger: bool) -> str:
    """The whole report, folded; a stranger's between fences that no line of it can close."""
    if not report:
        return ""
    before, after = "\n\n<details><summary>The whole report</summary>\n\n", "\n\n</details>"
    if from_stranger:
        fence = "~" * (1 + max([2, *map(len, re.findall(r"~+", report))]))
        before, after = f"{before}{fence}text\n", f"\n{fence}{after}"
    room -= len(before) + len(after) + 100
    if len(report) > room:
        report = report[:room].rpartition("\n")[0] + "\n\n(cut off here; the whole of it is in the workflow run)"
    return before + report.strip("\n") + after


# --- GitHub ----------------------------------------------------------------------------------------------------------


def of_fork(head: str, sha: str) -> str:
    """The number of the open pull request from `owner:branch` whose last commit was judged; empty without one."""
    query = urllib.parse.urlencode({"head": head, "state": "open", "per_page": 100})
    pulls = ask("GET", f"pulls?{query}")
    return next((str(pull["number"]) for pull in pulls if pull["head"]["sha"] == sha), "")


def write(number: int, text: str) -> str:
    """Update our comment, or make it."""
    page_number = 1
    while comments := ask("GET", f"issues/{number}/comments?per_page=100&page={page_number}"):
        for comment in comments:
            if comment["user"]["login"] == AUTHOR and comment["body"].startswith(MARK):
                if comment["body"] != text:
                    ask("PATCH", f"issues/comments/{comment['id']}", {"body": text})
                return "updated"
        page_number += 1
    ask("POST", f"issues/{number}/comments", {"body": text})
    return "wrote"


def ask(method: str, path: str, body: Any = None) -> Any:
    base, repository = os.environ["GITHUB_API_URL"], os.environ["GITHUB_REPOSITORY"]
    request = urllib.request.Request(  # noqa: S310 - GitHub sets the address
        f"{base}/repos/{repository}/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}",
            "Content-Type": "application/json",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.loads(answer.read() or "null")


if __name__ == "__main__":
    sys.exit(main())
