"""
The `data.py` that docs/how-to/adapting.md shows for rows that are downloaded: with a server of our own.

    pytest tests/steps/test_rows_on_github.py
"""

from __future__ import annotations

import hashlib
import re
import types

import pytest

from modelgate import rows
from modelgate.rows.dataset import SourceUnavailable, SourceUnreadable
from tests.fake_server import FakeServer, Request
from tests.own import ROOT

ROWS = "monthly_charge,support_calls,churned\n"
ROWS += "".join(f"{20 + number / 7:.3f},{number % 9},{'yes' if number % 3 else 'no'}\n" for number in range(60))
TOKEN = "t" * 40


class _Handler(Request):
    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Authorization"]))
        status, body = self.server.answer
        if self.path == "/moved.csv":
            self.say(b"", 302, Location=self.server.moved_to)
        elif self.server.claims:  # and ends before
            self.send_response(status)
            self.send_header("Content-Length", str(self.server.claims))
            self.end_headers()
            self.wfile.write(body)
        else:
            self.say(body, status)


class Files(FakeServer):
    """A server of one file."""

    def __init__(self):
        self.answer = (200, ROWS.encode())
        self.claims = 0
        self.moved_to = ""
        self.requests = []
        super().__init__(_Handler)


@pytest.fixture
def files():
    server = Files()
    yield server
    server.close()


@pytest.fixture
def data(files, monkeypatch):
    """The page's data.py, with the address and the hash of the server's file, and the credential."""
    page = (ROOT / "docs/how-to/adapting.md").read_text(encoding="utf-8").partition("### Your rows on GitHub")[2]
    (code,) = re.findall(r"^```python\n(.*?)^```$", page.partition("\n## ")[0], flags=re.MULTILINE | re.DOTALL)
    module = types.ModuleType("usecases.letters.data")
    exec(compile(code, "data.py", "exec"), module.__dict__)  # noqa: S102 - it is the page's own
    assert re.fullmatch(r"[0-9a-f]{64}", module.SHA256)
    module.URL, module.SHA256 = f"{files.url}/churn.csv", hashlib.sha256(ROWS.encode()).hexdigest()
    monkeypatch.setenv("DATA_TOKEN", TOKEN)
    return module


def test_the_rows_are_those_of_the_hash_and_pass_the_checks(data, files):
    source = data.source()
    assert (source.name, source.sha256, files.requests) == (data.URL, data.SHA256, [])  # cheap
    dataset = data.load(40, 20)
    assert files.requests == [("/churn.csv", f"Bearer {TOKEN}")]
    assert (len(dataset.x_train), len(dataset.x_eval)) == (40, 20)
    assert rows.load_checks("tabular-classification").find_violations(dataset, data, may_repeat=False) == []


def test_other_rows_are_refused_with_their_hash(data, files):
    other = ROWS.replace("yes", "no", 1).encode()
    files.answer = (200, other)
    with pytest.raises(SourceUnreadable, match=hashlib.sha256(other).hexdigest()):
        data.load(40, 20)


def test_a_file_that_is_too_large_is_not_read_to_its_end(data, files):
    data.MAX_BYTES, files.claims = len(ROWS) - 1, 10**9
    with pytest.raises(SourceUnreadable, match="has more than"):
        data.load(40, 20)


def test_without_the_credential_no_server_is_asked(data, files, monkeypatch):
    """So for a fork, `build` ends as `source_unavailable`, and its check is neutral."""
    monkeypatch.delenv("DATA_TOKEN")
    with pytest.raises(SourceUnavailable, match="DATA_TOKEN is not set") as raised:
        data.load(40, 20)
    assert not isinstance(raised.value, SourceUnreadable)
    assert files.requests == []


def test_a_server_that_refuses_is_named_without_the_credential(data, files):
    files.answer = (403, b"no")
    with pytest.raises(SourceUnavailable, match="403") as raised:
        data.load(40, 20)
    assert TOKEN not in f"{raised.value} {raised.value.hint}"


def test_a_redirect_to_another_server_does_not_get_the_credential(data, files):
    elsewhere = Files()
    try:
        files.moved_to = f"{elsewhere.url}/churn.csv"
        data.URL = f"{files.url}/moved.csv"
        data.load(40, 20)
        assert elsewhere.requests == [("/churn.csv", None)]
    finally:
        elsewhere.close()
