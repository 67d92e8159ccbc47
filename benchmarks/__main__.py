"""
Measure what the project claims, paired in one run.

    python -m benchmarks [setup|loop|second|start|upload|containers|rows|load|browsing|answers] [--repeat N] [--out F]

Exits 0 everything was measured and every target was met, 1 a target was missed, 2 wrong use or a measurement failed,
3 MLflow or a container engine is not available: its rows are left out.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import answers, browsing, containers, load, loop, machine, page, rows, second, setup, start, upload
from benchmarks.environments import Unavailable, make_mlflow_python
from benchmarks.project import Project
from benchmarks.report import is_met, to_text
from benchmarks.timing import Failed

DONE, MISSED, FAILED, UNREACHABLE = 0, 1, 2, 3


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("only", nargs="?", choices=page.MEASUREMENTS, help="measure only this (default: everything)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="repetitions (default: %(default)s)")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the file for the figures as JSON (default: .modelgate/bench/<time>.json)",
    )
    args = parser.parse_args(argv)
    if args.repeat < 1:
        parser.error("--repeat must be at least 1")
    return args


def measure(names: Sequence[str], repeat: int, mlflow: Path | None) -> dict[str, list[dict[str, Any]]]:
    """Return every sample of every measurement, by its name. The sides of a comparison take turns going first."""
    samples: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="modelgate-bench-") as folder:
        files = upload.prepare(Path(folder)) if "upload" in names else None
        home = setup.prepare(Path(folder)) if "setup" in names else None
        machine.warm_up()
        for number in range(repeat):
            log(f"repetition {number + 1} of {repeat}")
            ours_first = number % 2 == 0
            project = copy_in(folder)
            if home is not None:
                samples["setup"].append(setup.sample(home))
            if "loop" in names:
                samples["loop"].append(loop.sample(project, ours_first))
            if "second" in names:
                samples["second"].append(second.sample(project))
            if "containers" in names:
                samples["containers"].append(containers.sample(copy_in(folder), copy_in(folder), ours_first))
            if "start" in names:
                samples["start"].append(start.sample())
            if "answers" in names:
                samples["answers"].append(answers.sample(project))
            if files is not None:
                samples["upload"].append(upload.sample(files, mlflow, ours_first))
        if "rows" in names:
            log("a table of a million rows, once: it takes some minutes")
            samples["rows"].append(rows.sample(copy_in(folder)))
        if "browsing" in names:
            samples["browsing"].append(browsing.sample())
        if "load" in names:
            log("one server under load, once: it takes some minutes")
            samples["load"].append(load.sample())
    return samples


def copy_in(folder: str) -> Project:
    """Return a copy of the project, removed only together with `folder`: see upload.py."""
    return Project(Path(tempfile.mkdtemp(dir=folder)))


def log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def keep_figures(figures: Mapping[str, Any], out: Path | None) -> None:
    """Write the figures to --out, or to a file named after the time, and print where."""
    name = f"{time.strftime('%Y-%m-%dT%H%M%SZ', time.gmtime())}.json"
    print(f"\nThe figures are in {page.keep(figures, out, name)}")


def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    # If a signal ends it, it still ends the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [args.only] if args.only else list(page.MEASUREMENTS)
    python, left_out = None, []
    if "upload" in names:
        try:
            python = make_mlflow_python()
        except Unavailable as error:
            left_out.append(f"the upload to MLflow, because {error}")
    if "containers" in names:
        try:
            containers.prepare()
        except Unavailable as error:
            names.remove("containers")
            left_out.append(f"the containers, because {error}")
        except Failed as error:
            log(f"error: {error}")
            return FAILED
    for message in left_out:
        log(f"\nERROR: LEFT OUT: {message}\n")
    facts = machine.read_facts()
    try:
        samples = measure(names, args.repeat, python)
    except Failed as error:
        log(f"error: {error}")
        return FAILED

    # Everything below is the answer; the output before went to standard error.
    print("\n".join(f"{name:<12}{value}" for name, value in facts.items()))
    print(f"{'repetitions':<12}{args.repeat}, interleaved, of the load 1; medians, and ranges in parentheses")
    reports = page.list_reports(samples)
    print("\n".join(to_text(report) for report in reports))
    for message in left_out:
        print(f"\nLEFT OUT: {message}")
    keep_figures({"machine": facts, "samples": samples}, args.out)
    if left_out:
        return UNREACHABLE
    return DONE if is_met(reports) else MISSED


if __name__ == "__main__":
    sys.exit(main())
