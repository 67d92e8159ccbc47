"""
Write the figures of a `make bench` into docs/reference/performance.md.

    python -m benchmarks.page [FILE]

FILE: what `make bench` left in .modelgate/bench/; without one, the newest that has every measurement. Only the text
between the marks in the page is replaced.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import answers, browsing, containers, load, loop, rows, second, setup, start, upload
from benchmarks.environments import ROOT
from benchmarks.report import Report, to_markdown

MEASUREMENTS = {
    "setup": setup,
    "loop": loop,
    "second": second,
    "start": start,
    "upload": upload,
    "containers": containers,
    "rows": rows,
    "load": load,
    "browsing": browsing,
    "answers": answers,
}
KEPT = ROOT / ".modelgate" / "bench"
PAGE = ROOT / "docs" / "reference" / "performance.md"


def list_reports(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Report]:
    return [MEASUREMENTS[name].report(values) for name, values in samples.items() if values]


def keep(figures: Mapping[str, Any], path: Path | None, name: str) -> Path:
    """Write the figures as JSON, under this name in .modelgate/bench/ if no path is given; returns where."""
    if path is None:
        KEPT.parent.mkdir(mode=0o700, exist_ok=True)  # the runner keeps its key there
        path = KEPT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    return path


def render(record: Mapping[str, Any]) -> str:
    """Return the machine, and a table of each measurement."""
    machine = [f"- {name}: {value}" for name, value in record["machine"].items()]
    return "\n".join([*machine, *(to_markdown(report) for report in list_reports(record["samples"]))])


def replace_between(text: str, mark: str, fresh: str) -> str:
    """Return the text with the part between a pair of marks replaced."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    changed, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{fresh}\n{end}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"error: the page has not one pair of marks `{begin}` and `{end}`")
    return changed


def list_lacking(record: Mapping[str, Any]) -> list[str]:
    """Return the measurements that a file of `make bench` lacks; the page would lose their rows."""
    return [name for name in MEASUREMENTS if not record["samples"].get(name)]


def main() -> int:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else _find_newest()
    if path is None:
        print(f"error: there are no figures of everything in {KEPT}\nhint: `make bench` makes them", file=sys.stderr)
        return 2
    record = json.loads(path.read_text())
    if absent := list_lacking(record):
        print(f"error: {path} has no figures of {', '.join(absent)}\nhint: `make bench` makes all", file=sys.stderr)
        return 2
    PAGE.write_text(replace_between(PAGE.read_text(encoding="utf-8"), "bench", render(record)), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} has the figures of {path.name}")
    return 0


def _find_newest() -> Path | None:
    complete = [path for path in sorted(KEPT.glob("*.json")) if not list_lacking(json.loads(path.read_text()))]
    return complete[-1] if complete else None


if __name__ == "__main__":
    sys.exit(main())
