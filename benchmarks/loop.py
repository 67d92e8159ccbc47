"""Measure the pipeline, from the first step to the promotion, against the walkthrough without W&B."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.project import ROOT, Project, copy_use_case
from benchmarks.report import Line, Report, compute_ratio, expect_at_most, format_values, get_column
from benchmarks.timing import Failed, run_timed
from modelgate import config
from tests import own

AT_MOST = 2.0  # times the bare walkthrough's seconds
STEPS = ("build", "train", "link", "evaluate", "promote")
_SUMMARY_LINE = re.compile(rf"^({'|'.join(STEPS)}) +([0-9.]+) ", re.MULTILINE)


def sample(project: Project, ours_first: bool) -> dict[str, Any]:
    """Measure both sides once: seconds, accuracies (fraction), and each step's seconds as the runner prints them."""
    sides = [_run_loop, _run_bare] if ours_first else [_run_bare, _run_loop]
    return {"use_case": copy_use_case()} | {key: value for side in sides for key, value in side(project).items()}


def _run_loop(project: Project) -> dict[str, Any]:
    done = project.run()
    steps = {name: float(seconds) for name, seconds in _SUMMARY_LINE.findall(done.output)}
    return {"loop": done.seconds, "loop_accuracy": project.answer("evaluate")["accuracy"], **steps}


def _run_bare(project: Project) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bare_walkthrough", "--use-case", copy_use_case()]
    done = run_timed(command, project.env, ROOT)
    accuracy = re.search(r"^accuracy ([0-9.]+)$", done.output, re.MULTILINE)
    if accuracy is None:
        raise Failed(f"the bare walkthrough printed no accuracy:\n{done.output}")
    return {"bare": done.seconds, "bare_accuracy": float(accuracy[1])}


def report(samples: Sequence[Mapping[str, Any]]) -> Report:
    name = samples[0]["use_case"]
    if name == own.USE_CASE:
        own.install()
    settings = config.load(name)
    title = (
        f"The loop against the bare walkthrough: {name}, {settings.build.rows:,} + "
        f"{settings.build.eval_rows:,} rows, {settings.train['epochs']} epochs, one thread"
    )
    loop, bare = get_column(samples, "loop"), get_column(samples, "bare")
    inside = [sum(sample[step] for step in STEPS) for sample in samples]
    lines = [
        Line("bare walkthrough", format_values(bare) + _format_accuracy(samples, "bare")),
        Line("the loop", format_values(loop) + _format_accuracy(samples, "loop")),
        expect_at_most("loop / bare", compute_ratio(loop, bare), AT_MOST, "x", 2),
        *(Line(f"  of the loop: {step}", format_values(get_column(samples, step))) for step in STEPS),
        Line("  of the loop: runner, server", format_values([a - b for a, b in zip(loop, inside, strict=True)])),
    ]
    return Report(title, lines)


def _format_accuracy(samples: Sequence[Mapping[str, Any]], side: str) -> str:
    values = sorted({f"{accuracy:.6f}" for accuracy in get_column(samples, f"{side}_accuracy")})
    return f", accuracy {', '.join(values)}"
