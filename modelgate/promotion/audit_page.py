"""
Render the ledger as one HTML page to publish: no script, no external resource, and all text from outside escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from modelgate.gate import metrics, wording
from modelgate.promotion.ledger import Entry, get_metric, is_readable
from modelgate.promotion.verify import Finding
from modelgate.text import to_line

HOW = {
    "name": "named on the command line",
    "browser": "by the button in the browser",
    "github": "as a required reviewer on GitHub",
    "merge": "by a review of the merged pull request",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #dde2ea; --page: #f5f7fa; --card: #fff;
  --good: #1a7f4b; --bad: #b3261e; --wait: #a15c00; --none: #8a94a3; --link: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b5; --line: #2d3643; --page: #12161c;
  --card: #1a2029; --good: #4cc38a; --bad: #ff8a80; --wait: #f0b35a; --none: #6d7888; --link: #7fb1ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.75rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.05rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.25rem; }
.top { display: flex; flex-wrap: wrap; gap: .25rem 1rem; justify-content: space-between; align-items: baseline; }
.tag { display: inline-block; border: 1px solid currentColor; border-radius: 99px; padding: 0 .6rem; font-size: .8rem;
  white-space: nowrap; }
.applied, .good { color: var(--good); } .unfinished { color: var(--wait); }
.void { color: var(--none); }
.bad { color: var(--bad); } .findings { border-color: var(--bad); } .findings ul { margin: 0; padding-left: 1.2rem; }
.findings li { overflow-wrap: anywhere; }
.now h3 { font-size: 1.3rem; }
ol { list-style: none; margin: 0; padding: 0 0 0 1.4rem; border-left: 2px solid var(--line); }
ol > li { position: relative; margin: 0 0 1rem; }
ol > li::before { content: ""; position: absolute; left: calc(-1.4rem - 7px); top: 1.3rem; width: 12px; height: 12px;
  border-radius: 50%; background: currentColor; border: 2px solid var(--page); }
ol .card { color: var(--ink); }
li.void .card { opacity: .75; }
blockquote { margin: .5rem 0; padding-left: .8rem; border-left: 3px solid var(--line); color: var(--soft);
  overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .75rem 0; }
.figures b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: .85rem; }
.lineage { display: flex; flex-wrap: wrap; gap: .25rem .5rem; font-size: .9rem; margin-top: .75rem; }
.lineage span + span::before { content: "\\2192"; color: var(--soft); margin-right: .5rem; }
code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere; }
a { color: var(--link); }
"""


@dataclass(frozen=True)
class Linked:
    """What now has the name of a version in an entry: where W&B shows it, its digest, and its metadata."""

    url: str
    digest: str
    metadata: Mapping[str, Any]


def write_page(
    use_case: str, now: datetime, entries: Sequence[Entry], findings: Sequence[Finding], links: Mapping[str, Linked]
) -> str:
    """Return the whole page. now: when W&B was asked. links: by the name of the version; a deleted version has none."""
    current = next((entry for entry in reversed(entries) if not entry.void and entry.applied), None)
    timeline = (
        "".join(_write_entry(entry, links) for entry in reversed(entries)) or "<li>Nothing has been promoted yet.</li>"
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="referrer" content="no-referrer">
<title>{_escape(use_case)}: promotions</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<div class="top">
<h1>{_escape(use_case)}: promotions</h1><span class="soft">as of {_write_time(now.isoformat())}</span>
</div>
<p class="soft">What was promoted, on what evidence, and who approved it.</p>
{_write_findings(findings, len(entries))}
<h2>In production, according to the ledger</h2>
{_write_current(current, links)}
<h2>History, newest first</h2>
<ol>{timeline}</ol>
</main>
</body>
</html>
"""


def _write_findings(findings: Sequence[Finding], entries: int) -> str:
    if not findings:
        count = "1 entry" if entries == 1 else f"{entries} entries"
        return f'<p class="good">Verified: {count}; the chain of their hashes and the registry agree.</p>'
    items = "".join(
        f'<li><b class="bad">{_escape(finding.name)}</b> {_escape(finding.message)}</li>' for finding in findings
    )
    return f'<h2 class="bad">Findings</h2><div class="card findings"><ul>{items}</ul></div>'


def _write_current(entry: Entry | None, links: Mapping[str, Linked]) -> str:
    if entry is None:
        return '<div class="card">Nothing.</div>'
    content = entry.content
    return (
        f'<div class="card now"><div class="top"><h3>{_link_version(content["to"]["name"], links)}</h3>'
        f'<span class="soft">entry v{entry.number}, {_write_time(content["time"])}</span></div>'
        f"{_write_figures(entry, links)}<p>{_describe_approval(content)}</p></div>"
    )


def _write_entry(entry: Entry, links: Mapping[str, Linked]) -> str:
    content = entry.content
    if not is_readable(content):
        return f'<li class="void"><div class="card"><h3>v{entry.number}</h3><p>Not a promotion.</p></div></li>'
    before = _link_version(content["from"]["name"], links) if content["from"] else "nothing"
    quotes = (("reason", "Why"), ("comment", "The reviewer"))
    paragraphs = [
        f"<blockquote>{label}: {_escape(content[key])}</blockquote>" for key, label in quotes if content.get(key)
    ]
    parts = [("dataset", "dataset"), ("model", "model"), ("to", "registry version"), ("evidence", "evidence")]
    lineage = "".join(f"<span>{_link_version(content[key]['name'], links, label)}</span>" for key, label in parts)
    run = _link(content.get("run_url"), "promoting run")
    follows = (content["previous"] or "the beginning")[:13]
    return (
        f'<li class="{entry.state}"><div class="card"><div class="top">'
        f"<h3>{before} &rarr; {_link_version(content['to']['name'], links)}</h3>"
        f'<span class="tag {entry.state}">{entry.state}</span></div>'
        f'<p class="soft">entry v{entry.number}, {_write_time(content["time"])}</p>'
        f"<p>{_describe_approval(content)}</p>{''.join(paragraphs)}{_write_figures(entry, links)}"
        f'<p class="lineage">{lineage}<span>{run}</span></p>'
        f'<p class="soft"><code>{_escape(follows)} &rarr; {entry.sha256[:13]}</code>'
        f"{_commit(content)}</p></div></li>"
    )


def _describe_approval(content: Mapping[str, Any]) -> str:
    method = HOW.get(str(content.get("approval")), "")
    url = content.get("approval_url")
    return f"Approved by <b>{_escape(content['approver'])}</b> {_link(url, method) if url else method}".rstrip()


def _write_figures(entry: Entry, links: Mapping[str, Linked]) -> str:
    """Return the policy's metric of the version and of the one that it replaced, from the evidence."""
    reference = entry.content["evidence"]
    evidence = links.get(reference["name"])
    of_both = evidence.metadata.get("metrics") if evidence and evidence.digest == reference["digest"] else None
    title = to_line(metrics.get_title(get_metric(entry)), 40)
    figures = []
    for side, label in (("candidate", title), ("production", f"{title} of the previous one")):
        values = of_both.get(side) if isinstance(of_both, Mapping) else None
        value = metrics.get_value(values, get_metric(entry)) if isinstance(values, Mapping) else None
        if value is not None:
            figures.append((wording.format_number(value), label))
    policy = entry.content.get("policy")
    if isinstance(policy, Mapping) and policy.get("name"):
        figures.append((to_line(policy["name"], 40), "policy"))
    shown = "".join(f"<div><b>{_escape(value)}</b><span>{_escape(label)}</span></div>" for value, label in figures)
    return f'<div class="figures">{shown}</div>'


def _commit(content: Mapping[str, Any]) -> str:
    return f", commit <code>{_escape(str(content['commit'])[:12])}</code>" if content.get("commit") else ""


def _link_version(name: str, links: Mapping[str, Linked], label: str | None = None) -> str:
    shown = label or name.split("/")[-1]
    title = f' title="{_escape(name)}"'
    if name not in links:
        return f"<span{title}>{_escape(shown)}</span>" + (" (gone)" if label else "")
    return _link(links[name].url, shown, title)


def _link(url: object, label: str, title: str = "") -> str:
    """Return a link if the address is a web address; otherwise only its label."""
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        return _escape(label)
    return f'<a rel="noreferrer" href="{escape(url, quote=True)}"{title}>{_escape(label)}</a>'


def _write_time(text: str) -> str:
    return f"<time>{_escape(text.replace('T', ' ').replace('+00:00', ' UTC').replace('Z', ' UTC'))}</time>"


def _escape(text: object) -> str:
    return escape(to_line(text), quote=True)
