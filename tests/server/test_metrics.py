"""What is counted of what clients ask, and where it ends.

pytest tests/server/test_metrics.py
"""

from modelgate_server.api.metrics import Metrics
from modelgate_server.settings import MAX_METRIC_CHARS, MAX_METRICS


def test_names_that_somebody_invents_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    metrics.count_answer("Viewer", "sdk")
    for number in range(2 * MAX_METRICS):
        metrics.count_refusal(f"Invented{number}", "x" * 10_000, "y" * 10_000)
    metrics.count_answer("Viewer", "sdk")
    found = metrics.list_counts()
    assert len(found) == MAX_METRICS and found[-1].operation == "Viewer" and found[-1].times == 2
    assert all(len(one.refused) <= MAX_METRIC_CHARS and len(one.client) <= MAX_METRIC_CHARS for one in found)


def test_what_was_refused_comes_first() -> None:
    metrics = Metrics()
    metrics.count_answer("A", "sdk")
    metrics.count_refusal("B", "unknown", "sdk")
    assert [one.operation for one in metrics.list_counts()] == ["B", "A"]
