"""
How often is the gate wrong? The figures of docs/gate.md, from stored answers of twenty trainings.

    python -m benchmarks.gate

Null: two models whose answers are swapped row by row by a fair coin are equally good; each refusal is a mistake.
Retraining noise: two trainings that differ by their seed alone. Planted drops: rows that are made wrong on purpose.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelgate.gate import rules, statistics
from modelgate.gate.rules import Policy
from modelgate.gate.scores import Scores, Varied

STORED = Path(__file__).parents[1] / "tests" / "modelgate" / "retrained_mnist.npz"
POLICY = Policy("no_worse", floor_accuracy=0.90, margin=0.005)
SWAPS = 2000
DROPS = (0.01, 0.02, 0.03, 0.05)
PLANTS = 400


@dataclass(frozen=True)
class Trainings:
    """labels, ink: (N,). answers: (trainings, 1 + variations, N), the first of them to the rows as they are."""

    labels: Any
    ink: Any
    answers: Any

    @classmethod
    def stored(cls, path: Path = STORED) -> Trainings:
        """The twenty trainings that `benchmarks.retrained` wrote."""
        with np.load(path) as arrays:
            return cls(*(arrays[name].astype(np.int64) for name in ("labels", "ink", "answers")))

    def pairs(self) -> Iterator[tuple[Any, Any]]:
        """Each training as the candidate, against each other one in production."""
        for candidate in range(len(self.answers)):
            for production in range(len(self.answers)):
                if candidate != production:
                    yield self.answers[candidate], self.answers[production]

    def scores(self, candidate: Any, production: Any) -> Scores:
        """The two sets of answers as the gate sees them."""
        sure = np.eye(int(self.labels.max()) + 1, dtype=np.float32)
        varied = {f"variation {n}": Varied(candidate[n], production[n]) for n in range(1, len(candidate))}
        rows = len(self.labels)
        answers = sure[candidate[0]], sure[production[0]]
        return Scores(self.labels, *answers, rows, seen=(), slices={"ink": self.ink}, varied=varied)


def refused_by(scores: Scores) -> tuple[str, ...]:
    """The rules that refuse."""
    return tuple(outcome.rule for outcome in rules.judge(scores, POLICY) if outcome.blocking and not outcome.passed)


def null(trainings: Trainings, swaps: int, seed: int = 0) -> list[tuple[str, ...]]:
    """What refuses models whose answers were swapped, row by row and with all variations of a row together."""
    rng = np.random.default_rng(seed)
    pairs = list(trainings.pairs())
    refusals = []
    for _ in range(swaps):
        ours, theirs = pairs[rng.integers(len(pairs))]
        swapped = rng.random(len(trainings.labels)) < 0.5
        candidate, production = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        refusals.append(refused_by(trainings.scores(candidate, production)))
    return refusals


def retraining(trainings: Trainings) -> list[tuple[str, ...]]:
    """What refuses trainings that differ by their seed alone."""
    return [refused_by(trainings.scores(*pair)) for pair in trainings.pairs()]


def planted(trainings: Trainings, drop: float, plants: int, seed: int = 0) -> tuple[float, float]:
    """
    How often a candidate is refused that is truly worse by `drop`, and how often the stated power says, both fractions.

    The candidate is a swapped pair's, equally good by construction, with rows made wrong that it had right.
    """
    rng = np.random.default_rng(seed)
    pairs = list(trainings.pairs())
    rows, caught, stated = len(trainings.labels), 0, 0.0
    for _ in range(plants):
        ours, theirs = pairs[rng.integers(len(pairs))]
        swapped = rng.random(rows) < 0.5
        candidate, production = np.where(swapped, theirs, ours), np.where(swapped, ours, theirs)
        right = np.flatnonzero(candidate[0] == trainings.labels)
        spoiled = rng.choice(right, rng.binomial(rows, drop), replace=False)
        candidate = candidate.copy()
        candidate[0, spoiled] = (candidate[0, spoiled] + 1 + spoiled % 9) % 10
        churn = ((ours[0] == trainings.labels) != (theirs[0] == trainings.labels)).mean()
        passed, _ = rules.no_worse(trainings.scores(candidate, production), POLICY)
        caught += not passed
        stated += statistics.power(drop, float(churn), rows, POLICY.margin)
    return caught / plants, stated / plants


def line(name: str, refusals: list[tuple[str, ...]]) -> str:
    """One row of the table: how many of how many were refused, and by which rules."""
    refused = [rules for rules in refusals if rules]
    rules = ", ".join(f"`{rule}` {count}" for rule, count in Counter(r for rules in refused for r in rules).items())
    return (
        f"| {name} | {len(refusals)} | {len(refused)} | {100 * len(refused) / len(refusals):.1f} % | {rules or '-'} |"
    )


def main() -> int:
    trainings = Trainings.stored()
    accuracy = [(answers[0] == trainings.labels).mean() for answers in trainings.answers]
    print(f"{len(accuracy)} trainings, {len(trainings.labels)} rows, ", end="")
    print(f"accuracy {min(accuracy):.3f} to {max(accuracy):.3f}\n")
    print("| candidates that should pass | pairs | refused | | by |\n| --- | --- | --- | --- | --- |")
    print(line("null: answers swapped by a fair coin", null(trainings, SWAPS)))
    print(line("retraining noise: another seed", retraining(trainings)))
    print("\n| planted drop | refused by `no_worse` | stated power |\n| --- | --- | --- |")
    for drop in DROPS:
        caught, stated = planted(trainings, drop, PLANTS)
        print(f"| {100 * drop:.0f} points | {100 * caught:.0f} % | {100 * stated:.0f} % |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
