"""A page of a run shows its newest alerts, and reads no others: there may be 1,000 of 64 KiB.

pytest tests/server/store/test_alerts.py
"""

import sqlite3

from modelgate_server.store import alerts, runs
from modelgate_server.store.accounts import User
from modelgate_server.store.projects import Project


def test_the_newest_alerts_of_a_run_are_read_without_the_rest(
    db: sqlite3.Connection, project: Project, user: User
) -> None:
    noisy, other = (runs.create(db, project, user, name, {}) for name in ("noisy", "other"))
    for number in range(5):
        alerts.add(db, noisy, "INFO", f"alert {number}", "")
        alerts.add(db, other, "INFO", "another run's", "")
    assert [alert.title for alert in alerts.list_by_run(db, noisy.id, 3)] == ["alert 4", "alert 3", "alert 2"]
    assert alerts.count_by_run(db, noisy.id) == 5
