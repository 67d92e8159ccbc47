"""
Measure how often the gate is wrong, for docs/explanation/gate.md: from stored answers of twenty trainings, from
generated rows whose truth is known, and from trainings on redrawn rows.

    python -m benchmarks.gate                five minutes of one core
    python -m benchmarks.gate --draws 200    sooner, and less exact

Null: two models that are equally good; each refusal is a mistake. Retraining noise: two trainings that differ by their
seed, or by the rows that they were drawn. Planted drops: models that are worse on purpose.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gate_populations as populations
from benchmarks import gate_trainings
from benchmarks.gate_populations import CASES, list_refusing
from modelgate.gate import metrics, rules, statistics
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Pair, Scores

STORED = Path(__file__).parents[1] / "tests" / "modelgate" / "retrained_mnist.npz"
MARGIN = 0.005
POLICY = Policy("no_worse", at_least=0.90, margin=MARGIN)
SWAPS = 2000
DROPS = (0.01, 0.02, 0.03, 0.05)
PLANTS = 400
EDGE_ROWS = (133, 300, 1000)
RESAMPLED = 20  # models; each is a candidate against every other one


@dataclass(frozen=True)
class Trainings:
    """labels, ink: (N,). answers: (trainings, 1 + variations, N), the first of them to the rows as they are."""

    labels: Any
    ink: Any
    answers: Any

    @classmethod
    def load(cls, path: Path = STORED) -> Trainings:
        """Return the twenty trainings that `benchmarks.retrained` wrote."""
        with np.load(path) as arrays:
            return cls(*(arrays[name].astype(np.int64) for name in ("labels", "ink", "answers")))

    def list_pairs(self) -> Iterator[tuple[Any, Any]]:
        """Return every pair: each training as the candidate, against every other one in production."""
        for candidate in range(len(self.answers)):
            for production in range(len(self.answers)):
                if candidate != production:
                    yield self.answers[candidate], self.answers[production]

    def build_scores(self, candidate: Any, production: Any) -> Scores:
        """Return the two sets of answers as the gate sees them."""
        sure = np.eye(int(self.labels.max()) + 1, dtype=np.float32)
        varied = {f"variation {n}": Pair(candidate[n], production[n]) for n in range(1, len(candidate))}
        rows = len(self.labels)
        answers = sure[candidate[0]], sure[production[0]]
        return Scores(self.labels, *answers, rows, seen=(), slices={"ink": self.ink}, varied=varied)


def simulate_null(trainings: Trainings, swaps: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Return what refuses models whose answers were swapped, row by row and with all variations of a row together."""
    rng = np.random.default_rng(seed)
    pairs = list(trainings.list_pairs())
    refusals = []
    for _ in range(swaps):
        ours, theirs = pairs[rng.integers(len(pairs))]
        swapped = rng.random(len(trainings.labels)) < 0.5
        candidate, production = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        refusals.append(list_refusing(trainings.build_scores(candidate, production), POLICY))
    return refusals


def compare_retrained(trainings: Trainings) -> list[tuple[str, ...]]:
    """Return what refuses trainings that differ by their seed alone."""
    return [list_refusing(trainings.build_scores(*pair), POLICY) for pair in trainings.list_pairs()]


def plant_drop(trainings: Trainings, drop: float, plants: int, seed: int = 0) -> tuple[float, float]:
    """
    Return how often a candidate that is truly worse by `drop` is refused, and what the stated power predicts: two
    fractions.

    The candidate is one of a swapped pair, equally good by construction; then rows that it had right are made wrong.
    """
    rng = np.random.default_rng(seed)
    pairs = list(trainings.list_pairs())
    rows, caught, power = len(trainings.labels), 0, 0.0
    for _ in range(plants):
        ours, theirs = pairs[rng.integers(len(pairs))]
        swapped = rng.random(rows) < 0.5
        candidate, production = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        right = np.flatnonzero(candidate[0] == trainings.labels)
        indices = rng.choice(right, rng.binomial(rows, drop), replace=False)
        candidate = candidate.copy()
        candidate[0, indices] = (candidate[0, indices] + 1 + indices % 9) % 10
        churn = ((ours[0] == trainings.labels) != (theirs[0] == trainings.labels)).mean()
        caught += not rules.no_worse(trainings.build_scores(candidate, production), POLICY).passed
        power += statistics.compute_power(drop, float(churn), rows, MARGIN)
    return caught / plants, power / plants


def format_line(name: str, refusals: list[tuple[str, ...]]) -> str:
    """Return one row of the table: how many were refused, out of how many, and by which rules."""
    refused = [rules for rules in refusals if rules]
    rules = ", ".join(f"`{rule}` {count}" for rule, count in Counter(r for rules in refused for r in rules).items())
    return (
        f"| {name} | {len(refusals)} | {len(refused)} | {100 * len(refused) / len(refusals):.1f} % | {rules or '-'} |"
    )


def compare_resampled(task: gate_trainings.Task, models: int) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield for each policy of a task which rules refuse models that learned from redrawn rows, in pairs."""
    answers = gate_trainings.retrain(task, models)
    pairs = [(ours, theirs) for ours in answers for theirs in answers if ours is not theirs]
    for policy in task.policies:
        name = f"{task.name}; {metrics.get_metric(policy).title}"
        yield name, [list_refusing(task.build_scores(*pair), policy) for pair in pairs]


def print_trainings() -> None:
    trainings = Trainings.load()
    accuracy = [(answers[0] == trainings.labels).mean() for answers in trainings.answers]
    print(f"{len(accuracy)} trainings, {len(trainings.labels)} rows, ", end="")
    print(f"accuracy {min(accuracy):.3f} to {max(accuracy):.3f}\n")
    print("| candidates that should pass | pairs | refused | | by |\n| --- | --- | --- | --- | --- |")
    print(format_line("null: answers swapped by a fair coin", simulate_null(trainings, SWAPS)))
    print(format_line("retraining noise: another seed", compare_retrained(trainings)))
    print("\n| planted drop | refused by `no_worse` | stated power |\n| --- | --- | --- |")
    for drop in DROPS:
        caught, power = plant_drop(trainings, drop, PLANTS)
        print(f"| {100 * drop:.0f} points | {100 * caught:.0f} % | {100 * power:.0f} % |")


def print_populations(draws: int) -> None:
    print("\n| at the edge of a limit, where 5 % are allowed | rows | floor reached | `no_worse` refuses |", end="")
    print(" `better` passes | `non_inferior` passes |\n| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        for rows in EDGE_ROWS:
            if is_enough(case, rows):
                rates = populations.simulate_edge(case, rows, draws)
                percent = (f"{100 * rate:.1f} %" for rate in (rates.reached, rates.refused, rates.better, rates.shown))
                print(f"| {case.name} | {rows} | {' | '.join(percent)} |", flush=True)
    print("\n| as good as production, 1,000 rows | draws | refused | | by |\n| --- | --- | --- | --- | --- |")
    for case in CASES:
        print(format_line(case.name, populations.simulate_null(case, 1000, draws)), flush=True)
    print("\n| planted, 1,000 rows | drop | refused by `no_worse` | stated power |\n| --- | --- | --- | --- |")
    for case in CASES:
        drop, caught, power = populations.plant_drop(case, 1000, draws)
        print(f"| {case.name} | {drop:.4f} | {100 * caught:.0f} % | {100 * power:.0f} % |", flush=True)


def is_enough(case: populations.Case, rows: int) -> bool:
    """Return whether the gate compares by the metric at all on so few rows."""
    random = np.random.default_rng(0)
    return all(rules.enough_rows(case.build_scores(random, rows, 0.0), case.policy).passed for _ in range(20))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often is the gate wrong?")
    parser.add_argument("--draws", type=int, default=SWAPS, help="of made-up rows, for each metric (default: 2000)")
    draws = parser.parse_args(argv).draws
    print_trainings()
    print_populations(draws)
    print(
        "\n| trained again on rows drawn with replacement | pairs | refused | | by |\n| --- | --- | --- | --- | --- |"
    )
    for make in gate_trainings.ALL:
        for name, refusals in compare_resampled(make(), RESAMPLED):
            print(format_line(name, refusals), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
