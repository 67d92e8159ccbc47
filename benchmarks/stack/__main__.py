"""
Measure the HTTP servers and GraphQL libraries that the server could be built on.

    python -m benchmarks.stack [--repeat N] [--requests N] [--out FILE]

In an environment of their own, `.venv-stack/`, made on first use from the hashed lock next to this file. There is no
target: it is what the choice was made on. Exits 0 measured, 2 wrong use or a measurement failed, 3 they could not be
installed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine, page
from benchmarks.environments import ROOT, STACK, Unavailable
from benchmarks.report import column, shown
from benchmarks.stack.graphql_libraries import LIBRARIES
from benchmarks.timing import Failed, environment, timed

DONE, FAILED, UNREACHABLE = 0, 2, 3
REPEATS_OF_A_QUERY = 20
Samples = dict[str, list[dict[str, float]]]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (default: %(default)s)")
    parser.add_argument("--requests", type=int, default=8_000, metavar="N", help="PUTs a server (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON (default: .modelgate/bench/stack-<time>.json)")
    return parser.parse_args(argv)


def measure(python: Path, repeat: int, requests: int) -> tuple[Samples, Samples]:
    """Samples of each HTTP server and of each GraphQL library, taken in turns."""
    servers: Samples = {}
    libraries: Samples = {}
    with tempfile.TemporaryDirectory(prefix="modelgate-stack-") as folder:
        env = environment(Path(folder))

        def answer(module: str, *words: str) -> Any:
            return json.loads(timed([str(python), "-m", f"benchmarks.stack.{module}", *words], env, ROOT).output)

        for _ in range(repeat):
            for name, sample in answer("http_servers", str(requests)).items():
                servers.setdefault(name, []).append(sample)
            for name in LIBRARIES:
                libraries.setdefault(name, []).append(answer("graphql_libraries", name, str(REPEATS_OF_A_QUERY)))
    return servers, libraries


def table(servers: Samples, libraries: Samples, facts: Mapping[str, Any]) -> str:
    """Markdown, for docs/performance.md."""
    lines = [*(f"- {name}: {value}" for name, value in facts.items()), ""]
    lines += [
        "| HTTP server, one worker | small PUTs | processor time of one | memory | start |",
        "|---|---|---|---|---|",
    ]
    for name, taken in servers.items():
        figures = [shown(column(taken, "rate"), "/s", 0), shown(column(taken, "processor"), "ms", 3)]
        figures.append(shown(column(taken, "memory"), "MiB", 0))
        lines.append(_row(name, *figures, shown(column(taken, "started"), "s", 2)))
    lines += [
        "",
        "| GraphQL library | 1,000 upload addresses | small query | memory | start |",
        "|---|---|---|---|---|",
    ]
    for name, taken in libraries.items():
        figures = [shown(column(taken, "large"), "ms"), shown(column(taken, "small"), "ms", 2)]
        figures += [shown(column(taken, "memory"), "MiB", 0), shown(column(taken, "started"), "s", 2)]
        lines.append(_row(name, *figures))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        python = STACK.python()
        facts = machine.facts() | {"versions": ", ".join(STACK.pinned())}
        servers, libraries = measure(python, args.repeat, args.requests)
    except Unavailable as error:
        print(f"error: {error}", file=sys.stderr)
        return UNREACHABLE
    except Failed as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    rendered = table(servers, libraries, facts)
    kept = {"machine": facts, "servers": servers, "libraries": libraries, "table": rendered}
    name = f"stack-{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}.json"
    print(f"{rendered}\n\nThe figures are in {page.keep(kept, args.out, name)}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
