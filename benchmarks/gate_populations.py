"""
Generate populations of rows with two models whose true difference is known, one for each task.

Rows are drawn as often as wanted, so that how often the gate is wrong at the very edge of a limit can be counted: the
limit is set to what the models are truly worth, by a million rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from modelgate.gate import comparison, metrics, rules, statistics
from modelgate.gate.policy import Policy
from modelgate.gate.scores import Scores

TRUTH_ROWS = 1_000_000


@dataclass(frozen=True)
class Population:
    """
    draw: takes a generator, a number of rows and how much worse the candidate is (0: as good as
    production): targets, the candidate's answers, production's.
    """

    name: str
    task: str
    draw: Callable[[np.random.Generator, int, float], tuple[Any, Any, Any]]

    def build_scores(self, random: np.random.Generator, rows: int, worse: float) -> Scores:
        """Return this many rows as the gate sees them."""
        return Scores(*self.draw(random, rows, worse), rows, seen=(), task=self.task)


def _compute_softmax(logits: Any) -> Any:
    """Return the probabilities of logits (N, classes): float32, each row sums to 1."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def _create_classes(shares: tuple[float, ...], strength: float) -> Callable[[Any, int, float], tuple[Any, Any, Any]]:
    """Classes in these shares. The models see the true class through noise, most of which they share."""

    def draw(random: np.random.Generator, rows: int, worse: float) -> tuple[Any, Any, Any]:
        classes = len(shares)
        targets = random.choice(classes, rows, p=shares)
        shared = random.standard_normal((rows, classes), dtype=np.float32)
        answers = []
        for loss in (worse, 0.0):
            own = random.standard_normal((rows, classes), dtype=np.float32)
            logits = np.log(np.array(shares, dtype=np.float32)) + 0.9 * strength * shared + 0.4 * strength * own
            logits[np.arange(rows), targets] += strength**2 * (1 - loss)
            answers.append(_compute_softmax(logits))
        return targets, answers[0], answers[1]

    return draw


def _draw_numbers(random: np.random.Generator, rows: int, worse: float) -> tuple[Any, Any, Any]:
    """Draw waiting times: they have a long tail to the right, and the errors grow with them."""
    signal, shared = random.standard_normal(rows), random.standard_normal(rows)
    targets = np.exp(2 + 0.6 * signal + 0.5 * shared)
    answers = [
        np.exp(2 + 0.6 * signal + 0.5 * (0.3 * shared) + (0.1 + loss) * random.standard_normal(rows))
        for loss in (worse, 0.0)
    ]
    return targets, answers[0], answers[1]


ALL = {
    population.name: population
    for population in (
        Population("images: 10 classes", "image-classification", _create_classes((0.1,) * 10, 2.4)),
        Population("tables: 2 classes, 10 % of the second", "tabular-classification", _create_classes((0.9, 0.1), 1.6)),
        Population(
            "texts: 4 classes, 50 % to 8 %", "text-classification", _create_classes((0.5, 0.27, 0.15, 0.08), 2.2)
        ),
        Population("numbers: a long tail", "tabular-regression", _draw_numbers),
    )
}


@dataclass(frozen=True)
class Truth:
    """The true value of each model by a metric, and how much worse the candidate is."""

    candidate: float
    production: float
    drop: float


@cache
def measure_truth(population: str, policy: Policy, worse: float) -> Truth:
    """Measure the true values on very many rows."""
    drawn = ALL[population].build_scores(np.random.default_rng(1), TRUTH_ROWS, worse)
    ours, theirs = (
        metrics.compute_value(drawn.targets, answers, policy)
        for answers in (drawn.candidate, drawn.production)
        if answers is not None
    )
    return Truth(ours, theirs, ours - theirs if metrics.get_metric(policy).error else theirs - ours)


@dataclass(frozen=True)
class Case:
    """A metric of a population. worse: by how much the candidate is made worse, if it should be."""

    population: str
    policy: Policy
    worse: float

    @property
    def name(self) -> str:
        """For the tables."""
        return f"{self.population}; {metrics.get_metric(self.policy).title}"

    def build_scores(self, random: np.random.Generator, rows: int, worse: float) -> Scores:
        """Return this many rows of the population."""
        return ALL[self.population].build_scores(random, rows, worse)


def _create_case(population: str, metric: str, worse: float, **limits: float) -> Case:
    return Case(population, Policy("no_worse", None, 0.0, metric=metric, **limits), worse)


IMAGES, TABLES, TEXTS, NUMBERS = ALL
CASES = (
    _create_case(IMAGES, "accuracy", 0.05),
    _create_case(TABLES, "accuracy", 0.1),
    *(_create_case(TABLES, metric, 0.1) for metric in ("balanced_accuracy", "f1", "roc_auc", "log_loss")),
    *(_create_case(TEXTS, metric, 0.08) for metric in ("accuracy", "balanced_accuracy", "f1")),
    _create_case(NUMBERS, "within_tolerance", 0.1, tolerance=4.0),
    *(_create_case(NUMBERS, metric, 0.1, tolerance=4.0) for metric in ("mean_absolute_error", "mean_squared_error")),
    _create_case(NUMBERS, "pinball", 0.1, tolerance=4.0, quantile=0.9),
)


@dataclass(frozen=True)
class Rates:
    """
    Fractions of the draws. refused: no_worse refuses a drop that is exactly the margin. reached: a model that is
    exactly at the floor reaches it. better: one of two equally good models is called better. shown: non_inferior
    passes a drop that is exactly the margin.
    """

    refused: float
    reached: float
    better: float
    shown: float


def simulate_edge(case: Case, rows: int, draws: int, seed: int = 0) -> Rates:
    """Return how often each method errs where it may err in 5 % of the draws."""
    random = np.random.default_rng(seed)
    true = measure_truth(case.population, case.policy, case.worse)
    limit = "at_most" if metrics.get_metric(case.policy).error else "at_least"
    limits: dict[str, Any] = {limit: true.candidate}
    edge = replace(case.policy, margin=true.drop, **limits)
    counts = np.zeros(4)
    for _ in range(draws):
        scores = case.build_scores(random, rows, case.worse)
        compared = _compute_difference(scores, edge)
        counts += (
            compared.at_least > compared.margin,
            comparison.reaches_limit(edge, comparison.estimate(scores, edge)),
            _compute_difference(case.build_scores(random, rows, 0.0), edge).gain_shown,
            compared.at_most <= compared.margin,
        )
    return Rates(*(counts / draws).tolist())


def simulate_null(case: Case, rows: int, draws: int, seed: int = 0) -> list[tuple[str, ...]]:
    """
    Return which of all rules refuse a candidate that is as good as production.

    The margin is half a point, or 1/200 of an error; the floor is far below.
    """
    random = np.random.default_rng(seed)
    true = measure_truth(case.population, case.policy, 0.0)
    policy = replace(case.policy, at_least=true.candidate / 2, margin=0.005)
    if metrics.get_metric(case.policy).error:
        policy = replace(case.policy, at_most=4 * true.candidate, margin=None, margin_relative=0.005)
    return [list_refusing(case.build_scores(random, rows, 0.0), policy) for _ in range(draws)]


def list_refusing(scores: Scores, policy: Policy) -> tuple[str, ...]:
    """Return the rules that refuse these scores."""
    return tuple(outcome.rule for outcome in rules.judge(scores, policy) if outcome.blocking and not outcome.passed)


def plant_drop(case: Case, rows: int, draws: int, seed: int = 0) -> tuple[float, float, float]:
    """
    Return how much worse the candidate truly is, how often no_worse refuses it, and what the stated power predicts.
    """
    from scipy.special import ndtr

    random = np.random.default_rng(seed)
    drop = measure_truth(case.population, case.policy, case.worse).drop
    caught, power = 0, 0.0
    for _ in range(draws):
        scores = case.build_scores(random, rows, case.worse)
        compared = _compute_difference(scores, case.policy)
        caught += compared.at_least > 0
        if metrics.get_metric(case.policy).made_of == metrics.SHARE:
            churn = 2 * min(comparison.count_moved(scores, case.policy)) / rows
            power += statistics.compute_power(drop, churn, rows, 0.0)
        else:
            power += float(ndtr(drop / compared.error - statistics.Z_95))
    return drop, caught / draws, power / draws


def _compute_difference(scores: Scores, policy: Policy) -> comparison.Difference:
    compared = comparison.compute_difference(scores, policy)
    if compared is None:
        raise ValueError("the populations have a production")
    return compared
