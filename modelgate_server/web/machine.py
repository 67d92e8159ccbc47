"""Show the system metrics of a run as a table: each metric with its last, lowest and highest value."""

from dataclasses import dataclass, field

from modelgate_server.store import history
from modelgate_server.store.runs import Run
from modelgate_server.web import filters, series
from modelgate_server.web.access import Visit

# The SDK measures every 15 seconds: up to four hours are read in full; for a longer run, as many measurements are
# sampled.
MEASUREMENTS = 1_000


@dataclass(frozen=True)
class Metric:
    name: str
    last: float
    low: float
    high: float


@dataclass(frozen=True)
class Machine:
    """`read` of `count` measurements were read. Without measurements, there are no metrics."""

    count: int = 0
    read: int = 0
    metrics: list[Metric] = field(default_factory=list)


def summarize_run(visit: Visit, run: Run) -> Machine:
    rows = series.read_system_rows(visit, run, MEASUREMENTS)
    values: dict[str, list[float]] = {}
    for row in rows:
        for key, value in filters.select_numbers(row).items():
            if filters.is_finite(value):
                values.setdefault(key, []).append(value)
    metrics = [
        Metric(key.removeprefix("system."), measured[-1], min(measured), max(measured))
        for key, measured in filters.list_facts(values)
    ]
    return Machine(history.count_events(visit.db, run.id), len(rows), metrics)
