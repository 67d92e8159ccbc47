"""The loop, from the first step to the promotion, against the walkthrough with no W&B."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import usecases
from benchmarks.project import ROOT, Project, use_case
from benchmarks.timing import Failed, column, judged, shown, timed

AT_MOST = 3.0  # times the bare walkthrough's seconds
STEPS = ("build", "train", "link", "evaluate", "promote")
_SUMMARY_LINE = re.compile(rf"^({'|'.join(STEPS)}) +([0-9.]+) ", re.MULTILINE)


def sample(project: Project, ours_first: bool) -> dict[str, Any]:
    """Both sides once: seconds, accuracies (fraction), and the seconds of each step as the runner prints them."""
    sides = [_loop, _bare] if ours_first else [_bare, _loop]
    return {key: value for side in sides for key, value in side(project).items()}


def _loop(project: Project) -> dict[str, Any]:
    done = project.run()
    steps = {name: float(seconds) for name, seconds in _SUMMARY_LINE.findall(done.output)}
    return {"loop": done.seconds, "loop_accuracy": project.answer("evaluate")["accuracy"], **steps}


def _bare(project: Project) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bare_walkthrough", "--use-case", use_case()]
    done = timed(command, project.env, ROOT)
    accuracy = re.search(r"^accuracy ([0-9.]+)$", done.output, re.MULTILINE)
    if accuracy is None:
        raise Failed(f"the bare walkthrough printed no accuracy:\n{done.output}")
    return {"bare": done.seconds, "bare_accuracy": float(accuracy[1])}


def show(samples: Sequence[Mapping[str, Any]]) -> bool:
    config = usecases.config(use_case())
    print(
        f"\nThe loop against the bare walkthrough: {use_case()}, {config['build']['rows']:,} + "
        f"{config['build']['eval_rows']:,} rows, {config['train']['epochs']} epochs, one thread"
    )
    for side, words in (("bare", "bare walkthrough"), ("loop", "the loop")):
        accuracies = sorted({f"{accuracy:.6f}" for accuracy in column(samples, f"{side}_accuracy")})
        print(f"  {words:<18}{shown(column(samples, side)):<26}accuracy {', '.join(accuracies)}")
    ratios = [loop / bare for loop, bare in zip(column(samples, "loop"), column(samples, "bare"), strict=True)]
    met = statistics.median(ratios) <= AT_MOST
    print(f"  {'loop / bare':<18}{shown(ratios, 'x', 2):<26}{judged(met, f'at most {AT_MOST:g}')}")
    print("  of the loop:")
    for step in STEPS:
        print(f"    {step:<16}{shown(column(samples, step))}")
    inside = [sum(sample[step] for step in STEPS) for sample in samples]
    around = [whole - part for whole, part in zip(column(samples, "loop"), inside, strict=True)]
    print(f"    {'runner, server':<16}{shown(around)}")
    return met
