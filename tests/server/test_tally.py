"""What is counted of what clients ask, and where it ends.

pytest tests/server/test_tally.py
"""

from modelgate_server.api.tally import Tally
from modelgate_server.settings import MAX_TALLIED, MAX_TALLIED_CHARS


def test_names_that_somebody_invents_do_not_fill_the_memory() -> None:
    tally = Tally()
    tally.answered("Viewer", "sdk")
    for number in range(2 * MAX_TALLIED):
        tally.refused(f"Invented{number}", "x" * 10_000, "y" * 10_000)
    tally.answered("Viewer", "sdk")
    found = tally.listing()
    assert len(found) == MAX_TALLIED and found[-1].operation == "Viewer" and found[-1].times == 2
    assert all(len(one.refused) <= MAX_TALLIED_CHARS and len(one.client) <= MAX_TALLIED_CHARS for one in found)


def test_what_was_refused_comes_first() -> None:
    tally = Tally()
    tally.answered("A", "sdk")
    tally.refused("B", "unknown", "sdk")
    assert [one.operation for one in tally.listing()] == ["B", "A"]
