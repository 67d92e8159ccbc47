"""
Work that only one thread should do at a time.

    pytest tests/server/test_keyed_locks.py
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelgate_server.errors import TooLong
from modelgate_server.keyed_locks import KeyedLocks
from modelgate_server.web import tables


def test_one_thread_at_a_time_holds_a_key() -> None:
    locks, inside, most = KeyedLocks(), 0, 0

    def work(_: int) -> None:
        nonlocal inside, most
        with locks.hold("a"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert most == 1
    assert len(locks) == 0


def test_different_keys_do_not_wait_for_each_other() -> None:
    locks = KeyedLocks()
    with locks.hold("a"), locks.hold("b"):
        assert len(locks) == 2
    assert len(locks) == 0


def test_a_thread_that_waits_can_be_stopped_and_the_key_stays_held() -> None:
    locks = KeyedLocks()

    def refuse() -> None:
        raise TooLong("the request took too long")

    with locks.hold("a"):
        with pytest.raises(TooLong), locks.hold("a", refuse):
            raise AssertionError("two hold one key")
        assert len(locks) == 1
    with locks.hold("a", refuse):
        pass
    assert len(locks) == 0


def test_work_that_fails_gives_its_key_back() -> None:
    locks = KeyedLocks()
    with pytest.raises(ValueError, match="broken"), locks.hold("a"):
        raise ValueError("broken")
    assert len(locks) == 0


def test_requests_for_one_table_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []
    build = tables._build_index
    together = threading.Barrier(6)

    def slow(path: Path, check: tables.Check) -> tables.Index:
        built.append(path)
        time.sleep(0.3)
        return build(path, check)

    monkeypatch.setattr(tables, "_build_index", slow)
    path = tmp_path / "table"
    path.write_text(json.dumps({"columns": ["a"], "data": [[number] for number in range(100)]}))

    def ask(_: int) -> int:
        together.wait(10)
        question = tables.Question(filter="a > 49", sort="-a")
        return tables.read(path, question, str, lambda: None).count

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, range(6))) == [50] * 6
    assert built == [path]
