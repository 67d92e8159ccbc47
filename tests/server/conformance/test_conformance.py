"""The harness of `make conformance`, on a few tests of our own that look to it like W&B's.

pytest tests/server/conformance/test_conformance.py
"""

import json
import sys
import urllib.request
from pathlib import Path

import pytest

from modelgate_server.store import accounts
from modelgate_server.store.db import Database
from tests.server.conformance import __main__ as conformance
from tests.server.conformance import page
from tests.server.conformance.fixture_service import serving_fixtures
from tests.server.conformance.suite import FOLDERS, HERE, Outcome, Result, Suite, exclusions
from tests.serving import Server

BACKEND = """
from dataclasses import dataclass
@dataclass(frozen=True)
class LocalWandbBackendAddress:
    host: str
    base_port: int
    fixture_port: int
def connect_to_local_wandb_backend(name):
    raise AssertionError("there is no image to connect to")
"""
TESTS = """
import pathlib, pytest
from tests.system_tests.backend_fixtures import connect_to_local_wandb_backend
def test_it_is_told_where_the_server_is():
    address = connect_to_local_wandb_backend("x")
    assert address.base_url.endswith(str(address.base_port)) and "127.0.0.1" in address.fixture_service_url
def test_that_always_fails():
    assert 1 == 2
def test_that_fails_the_first_time():
    mark = pathlib.Path(__file__).with_suffix(".once")
    there = mark.exists()
    mark.touch()
    assert there
def test_that_skips_itself():
    pytest.skip("not today")
def test_that_is_left_out():
    raise AssertionError
"""


def checkout(folder: Path) -> Path:
    """What looks like W&B's tests: a folder of five, and three with one each."""
    tests = folder / "tests"
    for name in FOLDERS:
        (tests / "system_tests" / name).mkdir(parents=True)
        (tests / "system_tests" / name / "test_one.py").write_text("def test_one(): pass\n")
    (tests / "system_tests" / "test_core" / "test_one.py").write_text(TESTS)
    (tests / "system_tests" / "backend_fixtures.py").write_text(BACKEND)
    return tests


def test_each_test_is_accounted_for_and_a_failing_one_is_run_again_alone(tmp_path: Path) -> None:
    suite = Suite.prepare(
        checkout(tmp_path),
        tmp_path / "scratch",
        python=Path(sys.executable),
        server="http://127.0.0.1:1",
        fixtures="http://127.0.0.1:2",
        workers=2,
        left_out=["test_core/test_one.py::test_that_is_left_out"],
    )
    found = {one.test.partition("::")[2]: one for one in suite.run("test_core", name="test_core")}
    assert {name: (one.together, one.alone) for name, one in found.items()} == {
        "test_it_is_told_where_the_server_is": ("passed", ""),
        "test_that_always_fails": ("failed", "failed"),
        "test_that_fails_the_first_time": ("failed", "passed"),
        "test_that_skips_itself": ("skipped", ""),
    }
    assert found["test_that_skips_itself"].cause == "not today"
    assert "1 == 2" in found["test_that_always_fails"].cause


def test_a_module_that_cannot_be_imported_is_a_failure(tmp_path: Path) -> None:
    tests = checkout(tmp_path)
    (tests / "system_tests" / "test_api" / "test_broken.py").write_text("import nothing_of_that_name\n")
    suite = Suite.prepare(
        tests,
        tmp_path / "scratch",
        python=Path(sys.executable),
        server="http://127.0.0.1:1",
        fixtures="http://127.0.0.1:2",
        workers=0,
        left_out=[],
    )
    broken = [one for one in suite.run("test_api", name="test_api") if one.together == "failed"]
    assert [one.test for one in broken] == ["test_api/test_broken.py"] and broken[0].alone == "failed"


def test_the_fixtures_of_wandb_are_users_teams_and_organizations_here(server: Server) -> None:
    name = "user_gw0-" + "e" * 40
    team = {"planName": "p", "team": {"name": "fixture-team"}, "organization": {"name": "fixture-org"}}
    with serving_fixtures(server.data) as url:

        def send(path: str, **body: object) -> int:
            request = urllib.request.Request(f"{url}/{path}", json.dumps(body).encode())  # noqa: S310
            return int(urllib.request.urlopen(request, timeout=60).status)  # noqa: S310

        assert send("db/user", command="up", username=name, admin=False) == 200
        assert send("db/user", command="password", username=name, password=name) == 200
        for _ in range(2):
            assert send("db/organization", command="up", orgName="fixture-org", username=name) == 200
        assert send("db/team", command="up", username=name, fixtureData=team) == 200
        with pytest.raises(urllib.error.HTTPError, match="500"):
            send("db/organization", command="up", orgName="other-org", username="nobody")
    database = Database(server.data / "server.db")
    with database.read() as db:
        user = accounts.find_user_by_key(db, name)
        assert user is not None and user.username == name
        assert [one.name for one in accounts.list_teams(db, user.id)] == [name, "fixture-team"]
    database.close()


def test_a_checkout_without_the_tests_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert conformance.main([str(tmp_path)]) == 2
    assert "has no test_artifacts" in capsys.readouterr().err


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_names_every_test_that_is_left_out_and_why() -> None:
    text = page.PATH.read_text(encoding="utf-8")
    for sdk in conformance.SDKS:
        left_out = exclusions(HERE / f"wandb-{sdk}" / "exclusions.txt")
        assert left_out and f"## wandb {sdk}" in text
        assert page._left_out(Result(sdk, "", "", [], left_out)) in text


def test_a_failing_test_is_on_the_page_with_both_results(tmp_path: Path) -> None:
    outcomes = [
        Outcome("test_core/a.py::a", "passed"),
        Outcome("test_core/a.py::b", "failed", "broke", "passed"),
        Outcome("test_core/a.py::c", "failed", "broke <b>", "failed"),
        Outcome("test_core/a.py::d", "skipped", "not here"),
    ]
    result = Result("0.31.0", "2026-11-24", "abc", outcomes, [("test_api/x.py::y", "downloads")])
    result.write(tmp_path / "result.json")
    text = page.render([Result.read(tmp_path / "result.json")])
    assert "**2 of 3**" in text
    assert "| `test_core/a.py::b` | passed | broke |" in text and "| failed | broke &lt;b> |" in text
    assert "- not here (1)" in text and "- downloads:" in text


def test_the_page_holds_no_name_that_was_drawn() -> None:
    cause = f"no file in user_gw1-{'0' * 40}/uncategorized/abc123"
    outcomes = [Outcome(f"test_core/test_one.py::test_{number}", "skipped", cause) for number in range(2)]
    assert "- no file in USER/PROJECT/RUN (2)" in page.render([Result("0.31.0", "2026-01-01", "0", outcomes)])


def test_a_test_that_is_left_out_without_a_reason_is_refused(tmp_path: Path) -> None:
    (tmp_path / "exclusions.txt").write_text("test_core/a.py::a\n")
    with pytest.raises(ValueError, match="without a reason"):
        exclusions(tmp_path / "exclusions.txt")
